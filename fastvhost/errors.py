"""What can go wrong before a question is asked, and whose move it is.

What happens while questions are answered (a time-out, a spent budget, a malformed host) is no error
but a verdict: see `fastvhost.model`.
"""

__all__ = [
    "ConfigError",
    "FastvhostError",
    "ListenError",
    "PidFileError",
    "StoppedError",
    "StoreError",
    "StoreUnavailableError",
]


class FastvhostError(Exception):
    """Base of all errors that fastvhost raises on purpose; `str()` is one line for an operator."""


class ConfigError(FastvhostError):
    """The configuration is not usable: the operator must edit the file that the message names."""


class ListenError(FastvhostError):
    """A listen address could not be bound: the operator must free it or choose another."""


class PidFileError(FastvhostError):
    """The daemon of a PID file cannot be told something, or did not do it: the message says why."""


class StoppedError(FastvhostError):
    """The service has ended: the program must ask within the block of `open_service`."""


class StoreError(FastvhostError):
    """The database cannot be used, and will not be until the operator acts on what the message names."""


class StoreUnavailableError(StoreError):
    """The database cannot be used for now; the same call may succeed later."""
