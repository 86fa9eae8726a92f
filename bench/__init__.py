"""Benchmarks: `bench/README.md` says how to run them and what each figure means."""
