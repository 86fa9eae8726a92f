"""Programs for tests, demos and benchmarks; none of them is part of the installed package."""
