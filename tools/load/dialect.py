"""What a face speaks, as far as load needs it: how a request is written, and what its reply says."""

from typing import Protocol

__all__ = ["RANDOM_LABEL", "Dialect"]

RANDOM_LABEL = b"u%b%08d"
"""The label of a host that nobody asked before: 8 digits of the run, 8 of the request. A top label must begin
with a letter."""


class Dialect(Protocol):
    """A request and response protocol over UDP whose replies repeat the request's id and name."""

    @property
    def id_at(self) -> int:
        """Where the two octets of the id stand, in requests and replies."""
        ...

    @property
    def name_at(self) -> int:
        """Where the first label of the host stands in requests."""
        ...

    @property
    def echo_at(self) -> int:
        """Where a reply repeats what `echo` has."""
        ...

    @property
    def room(self) -> int:
        """Octets by which a reply is longer than its request; what is longer is cut when it is received."""
        ...

    @property
    def default_port(self) -> int:
        """Where a fastvhost listens for it."""
        ...

    def request(self, name: bytes, message_id: int) -> bytes:
        """The request for `name`, which may be `HOST SOURCE` where the protocol has sources.

        Raises:
            LoadError: it cannot be said.
        """
        ...

    def echo(self, request: bytes | bytearray) -> bytes:
        """The octets that a reply to this request has at `echo_at`, whatever it says."""
        ...

    def outcome(self, reply: bytearray, start: int, length: int, echo: bytes) -> int | None:
        """What the reply at `start` says, `echo` having been found in it; None when it is none after all."""
        ...

    def describe(self, outcome: int) -> str:
        """That outcome in words."""
        ...
