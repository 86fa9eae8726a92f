"""PDB, the protocol of the hot path, for load; see docs/protocol.md."""

from fastvhost.faces.pdb_codec import MAX_NAME, write_request
from fastvhost.model import VerdictKind
from tools.load.errors import LoadError

__all__ = ["Pdb"]

_VALUE_OCTETS = 2


class Pdb:
    """Names are `HOST` or `HOST SOURCE`; an outcome is the value of the reply."""

    id_at = 4
    name_at = 6
    echo_at = 0
    room = _VALUE_OCTETS + 1  # so that a reply that is too long shows
    default_port = 5380

    def request(self, name: bytes, message_id: int) -> bytes:
        """See `Dialect`."""
        if not 0 < len(name) <= MAX_NAME or 0 in name:
            raise LoadError(f"{name!r}: a PDB name has 1 to {MAX_NAME} octets and no NUL")
        return write_request(name, message_id)

    def echo(self, request: bytes | bytearray) -> bytes:
        """All of the reply but its value."""
        return b"\x01\x01\x01%c%b" % (len(request) + _VALUE_OCTETS, bytes(request[4:]))

    def outcome(self, reply: bytearray, start: int, length: int, echo: bytes) -> int | None:
        """The value; None for a datagram that is shorter or longer than the reply."""
        if length != len(echo) + _VALUE_OCTETS:
            return None
        return reply[start + length - 2] << 8 | reply[start + length - 1]

    def describe(self, outcome: int) -> str:
        """The verdict's name."""
        try:
            return VerdictKind(outcome).name
        except ValueError:
            return f"value {outcome}"
