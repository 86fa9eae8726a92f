"""What can be wrong with a load test, beside its plan; each in one line for whoever started it."""

__all__ = ["FloodError"]


class FloodError(Exception):
    """Hosts cannot be read, or a report cannot be written."""
