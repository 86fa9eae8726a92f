"""PDB frames: what is read is what can be written, and a reply answers its own request only."""

from contextlib import suppress

from fastvhost.faces.pdb_codec import read_reply, read_request, write_reply, write_request
from fastvhost.model import VerdictKind

__all__ = ["check"]

_LONGEST_REPLY = 255


def check(octets: bytes) -> None:
    """Read `octets` as a request and as a reply."""
    name = read_request(octets)
    assert name == _name_by_the_writer(octets)
    if name is not None:
        _check_replies(octets, name)
    _check_as_reply(octets)


def _name_by_the_writer(frame: bytes) -> bytes | None:
    """The name for which the writer would have written this very frame."""
    name, message_id = frame[6:-1], int.from_bytes(frame[4:6], "big")
    with suppress(ValueError):
        if write_request(name, message_id) == frame:
            return name
    return None


def _check_replies(request: bytes, name: bytes) -> None:
    other = write_request(name[:-1] + bytes([name[-1] ^ 0x80 or 1]) if name else b"a", 0)
    for kind in VerdictKind:
        reply = write_reply(request, kind)
        assert len(reply) == len(request) + 2 <= _LONGEST_REPLY
        assert reply[3] == len(reply)
        assert reply[4:6] == request[4:6]
        assert reply[6:-2] == name + b"\0"
        assert read_reply(reply, request) is kind
        assert read_reply(reply, other) is None
        assert read_request(reply) is None, "a reply that is answered goes back and forth for ever"


def _check_as_reply(octets: bytes) -> None:
    """Whatever is taken for the reply to the request it echoes is what the writer writes."""
    with suppress(ValueError):
        request = write_request(octets[6:-3], int.from_bytes(octets[4:6], "big"))
        kind = read_reply(octets, request)
        assert kind is None or write_reply(request, kind) == octets
