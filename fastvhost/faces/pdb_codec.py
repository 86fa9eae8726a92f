"""PDB version 1, the wire of Kamailio's module `pdb`: octets in, values out, no I/O.

    request   0 version=1 | 1 type=0 | 2 code=0 | 3 length | 4..5 id | 6.. name, NUL
    reply     0 version=1 | 1 type=1 | 2 code=1 | 3 length | 4..5 id | 6.. name, NUL, value int16

Numbers are big-endian; the length counts every octet of the frame.
"""

from struct import Struct

from fastvhost.model import VerdictKind

__all__ = ["ID_AT", "MAX_NAME", "read_reply", "read_request", "write_reply", "write_request"]

MAX_NAME = 246
"""Octets of the longest name whose reply still has a length of one octet."""

ID_AT = 4
"""Where the two octets of the id stand."""

_REQUEST = b"\x01\x00\x00"
_REPLY = b"\x01\x01\x01"
_HEADER_OCTETS = 6
_VALUE = Struct("!h")


def read_request(frame: bytes) -> bytes | None:
    """The name that a request asks for; None where the frame is not a request of PDB version 1."""
    length = len(frame)
    if (
        frame[:3] != _REQUEST
        or not _HEADER_OCTETS < length <= _HEADER_OCTETS + MAX_NAME + 1
        or frame[3] != length
        # The first NUL ends the name and the frame: a client that sees another compares another name.
        or frame.find(0, _HEADER_OCTETS) != length - 1
    ):
        return None
    return frame[_HEADER_OCTETS:-1]


def write_reply(request: bytes, kind: VerdictKind) -> bytes:
    """The reply to a frame that `read_request` accepted: 2 octets longer, its id and name as they came."""
    return b"%b%c%b%b" % (_REPLY, len(request) + 2, request[4:], _VALUE.pack(kind))


def write_request(name: bytes, message_id: int) -> bytes:
    """A request for `name`.

    Raises:
        ValueError: `name` has a NUL or is over `MAX_NAME` octets.
    """
    if len(name) > MAX_NAME or 0 in name:
        raise ValueError(f"a PDB name has at most {MAX_NAME} octets and no NUL")
    return b"%b%c%b%b\0" % (
        _REQUEST,
        _HEADER_OCTETS + len(name) + 1,
        message_id.to_bytes(2, "big"),
        name,
    )


def read_reply(frame: bytes, request: bytes) -> VerdictKind | None:
    """The value of the reply to `request`; None where the frame is not that."""
    if (
        len(frame) != len(request) + 2
        or frame[:4] != _REPLY + bytes([len(frame)])
        or frame[4:-2] != request[4:]
    ):
        return None
    (value,) = _VALUE.unpack(frame[-2:])
    try:
        return VerdictKind(value)
    except ValueError:
        return None
