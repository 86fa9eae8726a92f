"""What Kamailio's module evapi and we say to each other: octets in, values out, no I/O.

    question  {"index":107,"label":290852203,"host":"example.com","source":"192.0.2.1"}
    answer    {"index":107,"label":290852203,"verdict":1}

Each is the payload of a netstring, `LENGTH:PAYLOAD,`. Index and label name the suspended transaction. The
question is what the proxy's script writes; see docs/kamailio-evapi.md.

*Source: D. J. Bernstein, Netstrings (1997); Kamailio 5.6 modules evapi and tmx.*
"""

import json
import re
from dataclasses import dataclass

from fastvhost.model import VerdictKind

__all__ = ["MAX_PAYLOAD", "Netstrings", "Question", "read_question", "write_answer"]

MAX_PAYLOAD = 4_096
"""Octets of the longest payload that is read. A Request-URI may be longer, its host may not."""

_MOST_SKIPPED = 1_000_000
"""Octets of the longest payload that is passed over; a SIP message has at most 65,535."""

_MAX_DIGITS = len(str(_MOST_SKIPPED))

_LENGTH = re.compile(rb"0|[1-9][0-9]*")

_MAX_NUMBER = 2**32 - 1
"""Of an index and a label: unsigned int in Kamailio's tm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A suspended transaction asks for a host; both texts as the proxy sent them."""

    index: int
    label: int
    host: str
    source: str
    """The SIP peer's address in text; empty where the proxy does not name it."""


class Netstrings:
    """Takes a stream apart, however it is cut. Holds at most `MAX_PAYLOAD` octets and a few digits."""

    def __init__(self) -> None:
        self._held = b""
        self._to_skip = 0
        self.broken = False
        """Whether what came was no netstring; nothing is read any more, for where one begins is not known."""

    def take(self, octets: bytes) -> list[bytes]:
        """The payloads that begin or end within `octets`, in their order; never raises.

        One over `MAX_PAYLOAD` octets is passed over, and stands as an empty one, which is no question.
        """
        payloads: list[bytes] = []
        held, at = self._held + octets, 0
        while not self.broken and at < len(held):
            if self._to_skip:
                skipped = min(self._to_skip, len(held) - at)
                self._to_skip -= skipped
                at += skipped
                continue
            colon = held.find(b":", at, at + _MAX_DIGITS + 1)
            if colon < 0:
                self.broken = not _may_be_length(held[at : at + _MAX_DIGITS + 1])
                break
            if not _LENGTH.fullmatch(held, at, colon) or (length := int(held[at:colon])) > _MOST_SKIPPED:
                self.broken = True
                break
            if length > MAX_PAYLOAD:
                payloads.append(b"")
                self._to_skip = length + 1
                at = colon + 1
                continue
            comma = colon + 1 + length
            if comma >= len(held):
                break
            if held[comma] != ord(","):
                self.broken = True
                break
            payloads.append(held[colon + 1 : comma])
            at = comma + 1
        self._held = b"" if self.broken else held[at:]
        return payloads


def _may_be_length(octets: bytes) -> bool:
    """Whether these may be the first digits of a netstring whose colon has not come yet."""
    return len(octets) <= _MAX_DIGITS and _LENGTH.fullmatch(octets) is not None


def read_question(payload: bytes) -> Question | None:
    """The question in a payload; None where it is not exactly one.

    A host comes from whoever sent the request, and a script may quote it badly. So a key that stands twice
    or is not known makes the whole unreadable: it may be the host's text that names another transaction.
    Octets that are not UTF-8 become U+FFFD, which no host has.
    """
    try:
        fields = json.loads(payload.decode(errors="replace"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or fields.keys() | {"source"} != {"index", "label", "host", "source"}:
        return None
    index, label, host, source = fields["index"], fields["label"], fields["host"], fields.get("source", "")
    if not (_is_number(index) and _is_number(label) and isinstance(host, str) and isinstance(source, str)):
        return None
    return Question(index=index, label=label, host=host, source=source)


def write_answer(question: Question, kind: VerdictKind) -> bytes:
    """The answer to `question`: a netstring of at most 61 octets."""
    payload = b'{"index":%d,"label":%d,"verdict":%d}' % (question.index, question.label, kind)
    return b"%d:%b," % (len(payload), payload)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice")
    return fields


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_NUMBER
