"""What can be wrong with a load run, each in one line for whoever started it."""

__all__ = ["LoadError"]


class LoadError(Exception):
    """The plan cannot be run, or nothing listens at the server's address."""
