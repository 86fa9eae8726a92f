"""evapi's wire: whatever comes is read or passed over, and however it is cut."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvhost.faces.evapi_codec import (
    MAX_PAYLOAD,
    Netstrings,
    Question,
    read_question,
    write_answer,
)
from fastvhost.model import VerdictKind

MOST = 2**32 - 1


def netstring(payload: bytes) -> bytes:
    return b"%d:%b," % (len(payload), payload)


def taken(*pieces: bytes) -> tuple[list[bytes], bool]:
    """All payloads of a stream that comes in these pieces, and whether it broke."""
    netstrings = Netstrings()
    return [payload for piece in pieces for payload in netstrings.take(piece)], netstrings.broken


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 500)))
def test_netstrings_however_cut_are_the_payloads_that_were_sent(
    payloads: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(map(netstring, payloads))
    edges = [0, *sorted(cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    assert taken(*pieces) == (payloads, False)


@given(st.lists(st.binary(max_size=60)))
def test_netstrings_of_any_octets_never_raise_and_hold_little(pieces: list[bytes]) -> None:
    netstrings = Netstrings()
    for piece in pieces:
        netstrings.take(piece)
        assert len(netstrings._held) <= MAX_PAYLOAD + 10


@pytest.mark.parametrize("length", [MAX_PAYLOAD - 1, MAX_PAYLOAD])
def test_netstring_up_to_the_bound_is_read(length: int) -> None:
    assert taken(netstring(b"x" * length)) == ([b"x" * length], False)


@pytest.mark.parametrize("length", [MAX_PAYLOAD + 1, 70_000, 1_000_000])
def test_netstring_over_the_bound_is_passed_over_and_the_next_is_read(length: int) -> None:
    stream = netstring(b"x" * length) + netstring(b"next")
    assert taken(stream) == ([b"", b"next"], False)
    assert taken(*(stream[at : at + 999] for at in range(0, len(stream), 999))) == ([b"", b"next"], False)


@pytest.mark.parametrize(
    "stream",
    [
        b"1000001:",
        b"12345678",
        b"01:x,",
        b"-1:x,",
        b" 1:x,",
        b":x,",
        b"1:xy",
        b"1:x\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\xff",
        "١:x,".encode(),
    ],
)
def test_stream_that_is_no_netstring_is_broken_for_good(stream: bytes) -> None:
    assert taken(stream, netstring(b"x")) == ([], True)
    assert taken(*(stream[at : at + 1] for at in range(len(stream)))) == ([], True)


def test_payloads_before_a_break_are_given() -> None:
    assert taken(netstring(b"one") + b"?") == ([b"one"], True)


def payload(**changes: object) -> bytes:
    fields = {"index": 107, "label": 290852203, "host": "example.com", "source": "192.0.2.1", **changes}
    return json.dumps({key: value for key, value in fields.items() if value is not ...}).encode()


def test_question_is_read() -> None:
    assert read_question(payload()) == Question(
        index=107, label=290852203, host="example.com", source="192.0.2.1"
    )


@pytest.mark.parametrize("source", ["", ...])
def test_question_without_source_is_read(source: object) -> None:
    question = read_question(payload(source=source))
    assert question is not None
    assert question.source == ""


@pytest.mark.parametrize("number", [0, MOST])
def test_question_with_a_number_within_the_bounds_is_read(number: int) -> None:
    question = read_question(payload(index=number, label=number))
    assert question is not None
    assert (question.index, question.label) == (number, number)


def test_question_with_octets_that_are_no_utf8_keeps_its_transaction() -> None:
    question = read_question(b'{"index":1,"label":2,"host":"a\xe9b"}')
    assert question == Question(index=1, label=2, host="a\ufffdb", source="")


@pytest.mark.parametrize(
    "octets",
    [
        payload(index=...),
        payload(label=...),
        payload(host=...),
        payload(index=-1),
        payload(label=MOST + 1),
        payload(index=True),
        payload(index=1.0),
        payload(index="1"),
        payload(host=1),
        payload(host=None),
        payload(source=None),
        payload(source=1),
        payload(more=1),
        b"",
        b"{}",
        b"[]",
        b"1",
        b"null",
        payload() + b"x",
        b"[" * MAX_PAYLOAD,
        b'{"index":1,"label":2,"host":"a"b"}',
        # A host that was not quoted, and names the transaction of somebody else.
        b'{"index":1,"label":2,"host":"x","index":3,"label":4,"source":""}',
        b'{"index":1,"label":2,"host":"x","host":"y"}',
        b"9" * MAX_PAYLOAD,
    ],
)
def test_payload_that_is_not_exactly_a_question_is_none(octets: bytes) -> None:
    assert read_question(octets) is None


@given(
    st.binary()
    | st.builds(
        json.dumps,
        st.dictionaries(st.sampled_from(["index", "label", "host", "source"]), st.integers() | st.text()),
    ).map(str.encode)
)
def test_payload_of_any_octets_never_raises(octets: bytes) -> None:
    question = read_question(octets)
    assert question is None or 0 <= question.index <= MOST


@pytest.mark.parametrize("number", [0, MOST])
@pytest.mark.parametrize("kind", VerdictKind)
def test_answer_is_one_netstring(number: int, kind: VerdictKind) -> None:
    answer = write_answer(Question(index=number, label=number, host="h", source=""), kind)
    (octets,), broken = taken(answer)
    assert not broken
    assert json.loads(octets) == {"index": number, "label": number, "verdict": kind}
    assert len(answer) <= 61
