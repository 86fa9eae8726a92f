"""PDB version 1: every octet string is a query or a drop, and a reply is 2 octets longer than its request."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastvhost.faces.pdb_codec import MAX_NAME, read_reply, read_request, write_reply, write_request
from fastvhost.model import VerdictKind

names = st.binary(max_size=MAX_NAME).map(lambda octets: octets.replace(b"\0", b"-"))
ids = st.integers(0, 0xFFFF)
kinds = st.sampled_from(VerdictKind)


def test_request_by_hand_is_read() -> None:
    frame = b"\x01\x00\x00\x12\xab\xcdexample.com\0"
    assert len(frame) == 0x12
    assert read_request(frame) == b"example.com"


def test_reply_by_hand_is_written() -> None:
    frame = b"\x01\x00\x00\x12\xab\xcdExample.Com\0"
    assert write_reply(frame, VerdictKind.LIMITED) == b"\x01\x01\x01\x14\xab\xcdExample.Com\0\x00\x05"


@given(name=names, message_id=ids)
def test_request_written_is_read_back(name: bytes, message_id: int) -> None:
    assert read_request(write_request(name, message_id)) == name


@given(octets=st.binary(max_size=300))
@example(b"")
@example(b"\x01\x00\x00\x06\x00\x00")
@example(b"\x01\x00\x00\x07\x00\x00\x00")
def test_any_octets_are_a_query_or_a_drop(octets: bytes) -> None:
    name = read_request(octets)
    if name is None:
        return
    assert octets == write_request(name, int.from_bytes(octets[4:6], "big"))
    for kind in VerdictKind:
        reply = write_reply(octets, kind)
        assert len(reply) == len(octets) + 2
        assert reply[3] == len(reply)
        assert reply[4 : len(octets)] == octets[4:]
        assert read_reply(reply, octets) is kind


@given(name=names, message_id=ids, kind=kinds, place=st.integers(0, 260), octet=st.integers(0, 255))
def test_reply_with_one_octet_changed_is_not_taken_for_the_reply(
    name: bytes, message_id: int, kind: VerdictKind, place: int, octet: int
) -> None:
    request = write_request(name, message_id)
    reply = bytearray(write_reply(request, kind))
    place %= len(reply) - 2  # the value itself may differ
    if reply[place] == octet:
        return
    reply[place] = octet
    assert read_reply(bytes(reply), request) is None


@pytest.mark.parametrize(
    ("what", "frame"),
    [
        ("version 2", b"\x02\x00\x00\x08\x00\x00a\0"),
        ("a reply", b"\x01\x01\x00\x08\x00\x00a\0"),
        ("a code", b"\x01\x00\x01\x08\x00\x00a\0"),
        ("length one short", b"\x01\x00\x00\x07\x00\x00a\0"),
        ("length one long", b"\x01\x00\x00\x09\x00\x00a\0"),
        ("no NUL", b"\x01\x00\x00\x08\x00\x00ab"),
        ("a NUL within", b"\x01\x00\x00\x0a\x00\x00a\0b\0"),
        ("octets after the NUL", b"\x01\x00\x00\x09\x00\x00a\0b"),
        ("a header alone", b"\x01\x00\x00\x06\x00\x00"),
    ],
)
def test_frame_that_is_not_pdb_is_dropped(what: str, frame: bytes) -> None:
    assert read_request(frame) is None, what


@pytest.mark.parametrize(
    ("octets", "taken"), [(0, True), (245, True), (246, True), (247, False), (248, False)]
)
def test_name_at_the_bound_is_taken_and_above_dropped(octets: int, taken: bool) -> None:
    name = b"a" * octets
    frame = b"\x01\x00\x00" + bytes([6 + octets + 1]) + b"\x00\x00" + name + b"\0"
    assert (read_request(frame) == name) is taken


@pytest.mark.parametrize("name", [b"a" * (MAX_NAME + 1), b"a\0b"])
def test_request_that_no_frame_can_carry_is_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match="246 octets and no NUL"):
        write_request(name, 0)


@pytest.mark.parametrize("value", [b"\x00\x00", b"\x00\x07", b"\xff\xff"])
def test_reply_with_a_value_that_means_nothing_is_none(value: bytes) -> None:
    request = write_request(b"a", 1)
    assert read_reply(write_reply(request, VerdictKind.HOSTED)[:-2] + value, request) is None
