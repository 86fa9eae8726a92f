"""DNS, for load: A queries as a resolver or `dnsperf` sends them; a source is named by a client subnet.

*Source: RFC 1035 section 4, RFC 7871 section 6.*
"""

from ipaddress import ip_address
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
_OPT = Struct("!BHHIHHHHBB")
"""An OPT record with one option, of client subnet, as far as its address (RFC 6891 section 6.1)."""
_OPT_TYPE, _UDP_SIZE, _CLIENT_SUBNET, _ADDRESS_AT = 41, 1_232, 8, 4
_FAMILIES = {4: 1, 6: 2}


class Dns:
    """Names are `HOST` or `HOST SOURCE`, asked for below `zone`; an outcome is RCODE and answers."""

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
        host, _, source = name.partition(b" ")
        question = b"%b%b\0" % (_labels(host), self._zone)
        if len(question) > _MAX_NAME:
            raise LoadError(f"{name!r}: over {_MAX_NAME} octets as a DNS name")
        header = _HEADER.pack(message_id, _RECURSION_DESIRED, 1, 0, 0, 1 if source else 0)
        return header + question + _A_IN + (_client_subnet(source) if source else b"")

    def echo(self, request: bytes | bytearray) -> bytes:
        """The question, in the case in which it was asked."""
        return bytes(request[_HEADER.size : request.index(0, _HEADER.size) + 1 + len(_A_IN)])

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
        raise LoadError(f"{name!r}: no domain name")
    return b"".join(b"%c%b" % (len(label), label) for label in labels)


def _client_subnet(source: bytes) -> bytes:
    try:
        address = ip_address(source.decode())
    except ValueError as error:
        raise LoadError(f"{source!r}: no address to name as a source") from error
    octets = address.packed
    option = len(octets) + _ADDRESS_AT
    prefix = 8 * len(octets)
    family = _FAMILIES[address.version]
    fixed = (0, _OPT_TYPE, _UDP_SIZE, 0, option + 4, _CLIENT_SUBNET, option, family, prefix, 0)
    return _OPT.pack(*fixed) + octets
