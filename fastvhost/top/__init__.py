"""The live view of a running daemon: `fastvhost top`."""
