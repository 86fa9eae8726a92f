"""What Kamailio's module evapi sends: the same however the stream is cut, and each question whole or not.

An input is an octet that tells where the stream is cut, then the stream.
"""

import json

from fastvhost.faces.evapi_codec import MAX_PAYLOAD, Netstrings, Question, read_question, write_answer
from fastvhost.model import VerdictKind

__all__ = ["check"]

_LONGEST_ANSWER = 61


def check(octets: bytes) -> None:
    """Take the stream whole, cut in two, in pieces and octet by octet."""
    cut, stream = octets[0] if octets else 0, octets[1:]
    payloads, broken = _taken([stream])
    size = 1 + cut % 16
    for pieces in (
        [stream[:cut], stream[cut:]],
        [stream[at : at + size] for at in range(0, len(stream), size)],
        [stream[at : at + 1] for at in range(len(stream))],
    ):
        assert _taken(pieces) == (payloads, broken)
    _check_payloads(stream, payloads)
    for payload in payloads:
        _check_question(payload)
    _check_question(stream)


def _taken(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    netstrings = Netstrings()
    payloads = [payload for piece in pieces for payload in netstrings.take(piece)]
    return payloads, netstrings.broken


def _check_payloads(stream: bytes, payloads: list[bytes]) -> None:
    """What was read, written again, is what the stream begins with, as far as nothing was passed over."""
    assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
    if b"" not in payloads:
        assert stream.startswith(b"".join(b"%d:%b," % (len(payload), payload) for payload in payloads))


def _check_question(payload: bytes) -> None:
    question = read_question(payload)
    if question is None:
        return
    fields = json.loads(payload.decode(errors="replace"))
    source = {"source": question.source} if "source" in fields else {}
    assert fields == {"index": question.index, "label": question.label, "host": question.host, **source}
    again = Question(index=question.index, label=question.label, host=question.host, source=question.source)
    assert read_question(json.dumps(fields).encode()) == again
    for kind in VerdictKind:
        answer = write_answer(question, kind)
        assert len(answer) <= _LONGEST_ANSWER
        (payload,), broken = _taken([answer])
        assert not broken
        told = json.loads(payload)
        assert told == {"index": question.index, "label": question.label, "verdict": kind.value}
        assert read_question(payload) is None, "an answer that is answered goes back and forth for ever"
