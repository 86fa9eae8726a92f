"""What can go wrong before the lab serves, and whose move it is."""

__all__ = ["AddressError", "LabError", "ZoneError"]


class LabError(Exception):
    """Base of all errors that the lab raises on purpose; `str()` is one line."""


class ZoneError(LabError):
    """A zone cannot be served: its author must edit what the message names."""


class AddressError(LabError):
    """The address cannot be bound: the caller must free it or choose another."""
