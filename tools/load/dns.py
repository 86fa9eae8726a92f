"""DNS, for load: A queries without EDNS, as a resolver or `dnsperf` sends them.

*Source: RFC 1035 section 4.*
"""

from struct import Struct

from fastvhost.faces.dns_query import Rcode
from tools.load.errors import LoadError

__all__ = ["Dns"]

_HEADER = Struct("!6H")
_RECURSION_DESIRED = 0x0100
_RESPONSE = 0x80
_A_IN = b"\x00\x01\x00\x01"
_MAX_LABEL = 63
_MAX_NAME = 255


class Dns:
    """Names are hosts, asked for below `zone`; an outcome is the RCODE and how many answers there are."""

    id_at = 0
    name_at = _HEADER.size + 1
    echo_at = _HEADER.size
    room = 112  # an SOA of modest names; of longer replies the end is not needed
    default_port = 5381

    def __init__(self, zone: str = "vhost.internal") -> None:
        """`zone` may be empty, for servers that are asked for the hosts themselves.

        Raises:
            LoadError: it is no domain name.
        """
        self._zone = _labels(zone.encode()) if zone else b""

    def request(self, name: bytes, message_id: int) -> bytes:
        """See `Dialect`."""
        question = b"%b%b\0" % (_labels(name), self._zone)
        if len(question) > _MAX_NAME:
            raise LoadError(f"{name!r}: over {_MAX_NAME} octets as a DNS name")
        return _HEADER.pack(message_id, _RECURSION_DESIRED, 1, 0, 0, 0) + question + _A_IN

    def echo(self, request: bytes | bytearray) -> bytes:
        """The question, in the case in which it was asked."""
        return bytes(request[_HEADER.size :])

    def outcome(self, reply: bytearray, start: int, length: int, echo: bytes) -> int | None:
        """RCODE, then 16 bits of answers; None for a datagram that is too short, or a query."""
        if length < _HEADER.size + len(echo) or not reply[start + 2] & _RESPONSE:
            return None
        return (reply[start + 3] & 0xF) << 16 | reply[start + 6] << 8 | reply[start + 7]

    def describe(self, outcome: int) -> str:
        """Such as `NOERROR, 1 answer`."""
        rcode, answers = outcome >> 16, outcome & 0xFFFF
        counted = f"{answers} answer{'' if answers == 1 else 's'}" if answers else "no answer"

        name = Rcode(rcode).name if rcode in {*Rcode} else f"RCODE {rcode}"
        return f"{name}, {counted}"


def _labels(name: bytes) -> bytes:
    """The labels of a name as they stand in a message, without the root."""
    labels = name.removesuffix(b".").split(b".")
    if not name.isascii() or not all(0 < len(label) <= _MAX_LABEL for label in labels) or b" " in name:
        raise LoadError(f"{name!r}: no domain name; a DNS query has a host and no source")
    return b"".join(b"%c%b" % (len(label), label) for label in labels)
