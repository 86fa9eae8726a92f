"""The admin face: what operators and their tools see of a running daemon. Nothing is changed by it."""
