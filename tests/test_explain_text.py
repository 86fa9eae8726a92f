"""What is laid out for people: margins, characters, colours; and what stands where."""

import fcntl
import io
import os
import pty
import re
import struct
import termios
from math import inf
from unicodedata import combining, east_asian_width

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvhost.config import AttributeType, Cache
from fastvhost.domains.attributes import Published, Skipped
from fastvhost.domains.record import Attribute
from fastvhost.explain_command.look import Look, Paragraph, Style, look_for
from fastvhost.explain_command.text import explanation, laid_out
from fastvhost.model import Step, Verdict, VerdictKind

HOSTED, NOT_HOSTED = VerdictKind.HOSTED, VerdictKind.NOT_HOSTED
UNDETERMINED, LIMITED = VerdictKind.UNDETERMINED, VerdictKind.LIMITED

STEPS = (
    Step(
        depth=0,
        question="NAPTR a.test",
        rcode="NODATA",
        ttl=60,
        server="127.0.0.1:53",
        seconds=0.0123,
        proved="no NAPTR: SRV decides",
    ),
    Step(
        depth=0,
        question="SRV _sip._udp.a.test",
        rcode="NOERROR",
        records=("0 0 5060 b.test.",),
        ttl=70,
        proved="1 target to look up",
    ),
    Step(
        depth=1,
        question="A b.test",
        rcode="NOERROR",
        records=("192.0.2.1",),
        ttl=80,
        proved="ours",
        kind=HOSTED,
    ),
    Step(depth=1, question="AAAA b.test", rcode="time-out", proved="no evidence", kind=UNDETERMINED),
    Step(depth=0, question="SRV _sip._tcp.a.test", rcode="NXDOMAIN", ttl=5, proved="no SRV", kind=NOT_HOSTED),
)


def verdict(
    *steps: Step,
    kind: VerdictKind = HOSTED,
    expires: float = 160.0,
    host: str = "a.test",
    failures: int = 0,
) -> Verdict:
    return Verdict(kind=kind, host=host, expires=expires, reason="because", steps=steps, failures=failures)


def shown(
    said: Verdict, look: Look | None = None, asked: str = "a.test", published: Published | None = None
) -> list[str]:
    return explanation(said, 100.0, look or Look(), Cache(), asked, published).split("\n")


def test_walk_is_a_tree_of_questions_with_what_came_back_and_what_that_proved() -> None:
    assert shown(verdict(*STEPS)) == [
        "a.test: HOSTED for 60 s",
        "  because",
        "  TTL 60 s from NAPTR a.test",
        "",
        "a.test",
        "├─ NAPTR a.test",
        "│  NODATA, TTL 60 s, 12.3 ms from 127.0.0.1:53",
        "│  → no NAPTR: SRV decides",
        "├─ SRV _sip._udp.a.test",
        "│  NOERROR, TTL 70 s",
        "│    0 0 5060 b.test.",
        "│  → 1 target to look up",
        "│  ├─ A b.test",
        "│  │  NOERROR, TTL 80 s",
        "│  │    192.0.2.1",
        "│  │  ✓ ours",
        "│  └─ AAAA b.test",
        "│     time-out",
        "│     ? no evidence",
        "└─ SRV _sip._tcp.a.test",
        "   NXDOMAIN, TTL 5 s",
        "   ✗ no SRV",
    ]


def test_tree_without_drawn_characters_is_ascii() -> None:
    lines = shown(verdict(*STEPS), Look(encoding="ascii", drawn=False))
    assert lines[5:8] == [
        "|- NAPTR a.test",
        "|  NODATA, TTL 60 s, 12.3 ms from 127.0.0.1:53",
        "|  > no NAPTR: SRV decides",
    ]
    assert lines[-8:] == [
        "|  |    192.0.2.1",
        "|  |  + ours",
        "|  `- AAAA b.test",
        "|     time-out",
        "|     ? no evidence",
        "`- SRV _sip._tcp.a.test",
        "   NXDOMAIN, TTL 5 s",
        "   x no SRV",
    ]


def test_colours_are_all_that_differs_with_colours() -> None:
    plain, coloured = shown(verdict(*STEPS)), shown(verdict(*STEPS), Look(coloured=True))
    assert [re.sub(r"\x1b\[[0-9]*m", "", line) for line in coloured] == plain
    assert coloured[0] == "\x1b[32ma.test: HOSTED for 60 s\x1b[0m"
    assert coloured[-1] == "   \x1b[31m✗ no SRV\x1b[0m"


@pytest.mark.parametrize(
    ("expires", "lifetime"),
    [(inf, ", as long as it is listed"), (160.0, " for 60 s"), (101.4, " for 1 s"), (100.0, ""), (99.0, "")],
)
def test_headline_says_how_long_the_verdict_holds(expires: float, lifetime: str) -> None:
    assert shown(verdict(expires=expires))[0] == f"a.test: HOSTED{lifetime}"


@pytest.mark.parametrize(
    ("kind", "ttl", "line"),
    [
        (HOSTED, 29, "TTL 29 s from A a.test, raised to 30 s by cache.hosted_ttl"),
        (HOSTED, 30, "TTL 30 s from A a.test"),
        (HOSTED, 86_400, "TTL 86400 s from A a.test"),
        (HOSTED, 86_401, "TTL 86401 s from A a.test, lowered to 86400 s by cache.hosted_ttl"),
        (NOT_HOSTED, 4, "TTL 4 s from A a.test, raised to 5 s by cache.not_hosted_ttl"),
        (NOT_HOSTED, 3_601, "TTL 3601 s from A a.test, lowered to 3600 s by cache.not_hosted_ttl"),
    ],
)
def test_ttl_is_said_with_its_question_and_the_bound_that_it_met(
    kind: VerdictKind, ttl: int, line: str
) -> None:
    step = Step(depth=0, question="A a.test", rcode="NOERROR", ttl=ttl, kind=kind)
    assert shown(verdict(step, kind=kind))[2] == f"  {line}"


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        (verdict(), ["TTL from cache.hosted_ttl: DNS has no say in it"]),
        (verdict(kind=NOT_HOSTED), ["TTL from cache.not_hosted_ttl: DNS has no say in it"]),
        (verdict(expires=inf), []),
        (verdict(kind=LIMITED, expires=100.0), []),
        (verdict(kind=UNDETERMINED, failures=1), ["TTL from the back-off after 1 failure (RFC 9520)"]),
        (
            verdict(kind=UNDETERMINED, failures=3),
            ["TTL from the back-off after 3 failures in a row (RFC 9520)"],
        ),
    ],
)
def test_ttl_that_no_record_gave_is_said_to_be_from_elsewhere(said: Verdict, lines: list[str]) -> None:
    assert shown(said)[2:] == [f"  {line}" for line in lines]


def test_host_with_u_labels_is_shown_both_as_asked_and_as_looked_up() -> None:
    said = verdict(host="xn--bcher-kva.test")
    assert shown(said, asked="Bücher.test")[0] == "Bücher.test (xn--bcher-kva.test): HOSTED for 60 s"
    ascii_only = shown(said, Look(encoding="ascii", drawn=False), asked="Bücher.test")
    assert ascii_only[0] == r"B\xfccher.test (xn--bcher-kva.test): HOSTED for 60 s"
    assert shown(verdict(), asked="A.Test.")[0] == "a.test: HOSTED for 60 s"


def test_what_a_domain_publishes_stands_below_the_walk() -> None:
    published = Published(
        attributes=(Attribute(name="dns.max", type=AttributeType.INTEGER, value="7"),),
        did="b.test",
        aliases=("c.test", "d.test"),
        skipped=(Skipped("color", "unknown"),),
    )
    assert shown(verdict(), published=published)[-6:] == [
        "",
        "attributes at _vhost._sip.a.test",
        "  dns.max = 7",
        "  did = b.test (if it agrees)",
        "  alias = c.test, d.test",
        "  not used: color: unknown",
    ]
    assert shown(verdict(), published=Published()) == shown(verdict())


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb", r"a\nb"),
        ("\u202e", r"\u202e"),
        ("\udc80", r"\udc80"),
        ("ü 'q'", "ü 'q'"),
    ],
)
def test_control_characters_are_shown_escaped(raw: str, line: str) -> None:
    step = Step(depth=0, question="NAPTR a.test", rcode="NOERROR", records=(raw,))
    lines = shown(verdict(step, host=raw), asked=raw)
    assert lines[0] == f"{line}: HOSTED for 60 s"
    assert lines[-1] == f"     {line}"


# Margins.


def columns(line: str) -> int:
    bare = re.sub(r"\x1b\[[0-9]*m", "", line)
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in bare)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("x" * 40, ["x" * 40]),
        ("x" * 41, ["x" * 40, "x"]),
        ("a " + "x" * 40, ["a", "x" * 40]),
        ("aaa. " * 9 + "end", ["aaa. aaa. aaa. aaa. aaa. aaa. aaa. aaa.", "aaa. end"]),
        # A name is broken after a dot, unless that would leave half of the line empty.
        (f"{'y' * 30}.{'z' * 30}", [f"{'y' * 30}.", "z" * 30]),
        (f"{'y' * 10}.{'z' * 40}", [f"{'y' * 10}.{'z' * 29}", "z" * 11]),
        ("漢" * 21, ["漢" * 20, "漢"]),
        ("", [""]),
    ],
)
def test_text_is_broken_at_the_margin(text: str, lines: list[str]) -> None:
    assert list(Look(width=40).lines(Paragraph(text=text))) == lines


def test_line_goes_on_below_what_it_says_and_not_below_the_tree() -> None:
    paragraph = Paragraph(text="aaaa bbbb cccc", first="├─ ", rest="│    ")
    assert list(Look(width=14).lines(paragraph)) == ["├─ aaaa bbbb", "│    cccc"]


TEXTS = st.text(max_size=130) | st.text("ab.", max_size=253)
ANY_STEP = st.builds(
    Step,
    depth=st.integers(0, 11),
    question=TEXTS,
    rcode=TEXTS,
    records=st.lists(TEXTS, max_size=3).map(tuple),
    ttl=st.none() | st.integers(0, 2**31),
    server=st.sampled_from(["", "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535"]),
    proved=TEXTS,
    kind=st.none() | st.sampled_from(VerdictKind),
)


@given(
    st.lists(ANY_STEP, max_size=12),
    TEXTS,
    st.sampled_from(VerdictKind),
    st.builds(
        Look,
        width=st.integers(40, 80),
        encoding=st.sampled_from(["utf-8", "ascii", "latin-1"]),
        coloured=st.booleans(),
    ),
)
@settings(deadline=None, max_examples=60)
def test_whatever_is_shown_stays_within_the_margin_and_has_no_control_character(
    steps: list[Step], host: str, kind: VerdictKind, look: Look
) -> None:
    look = Look(
        width=look.width, encoding=look.encoding, coloured=look.coloured, drawn=look.encoding == "utf-8"
    )
    for line in shown(verdict(*steps, kind=kind, host=host), look, asked=host):
        assert columns(line) <= look.width
        line.encode(look.encoding)
        assert re.sub(r"\x1b\[[0-9]*m", "", line).isprintable()


# What a stream can show.


def test_look_for_what_is_no_terminal_is_80_columns_without_colours() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    assert look_for(stream, {"COLUMNS": "200", "TERM": "xterm"}) == Look(width=80, coloured=False)


@pytest.mark.parametrize(("encoding", "drawn"), [("utf-8", True), ("ascii", False), ("latin-1", False)])
def test_look_for_an_encoding_without_box_drawing_is_ascii(encoding: str, drawn: bool) -> None:
    look = look_for(io.TextIOWrapper(io.BytesIO(), encoding=encoding), {})
    assert (look.drawn, look.encoding) == (drawn, encoding)


@pytest.mark.parametrize(
    ("columns", "environment", "width", "coloured"),
    [
        (80, {"TERM": "xterm"}, 80, True),
        (200, {"TERM": "xterm", "NO_COLOR": ""}, 80, True),
        (60, {"TERM": "xterm", "NO_COLOR": "1"}, 60, False),
        (39, {"TERM": "dumb"}, 40, False),
        (0, {}, 80, True),
    ],
)
def test_look_for_a_terminal_is_as_wide_as_it_and_coloured_unless_told_not_to_be(
    columns: int, environment: dict[str, str], width: int, coloured: bool
) -> None:
    leader, follower = pty.openpty()
    try:
        set_columns(follower, columns)
        with os.fdopen(follower, "w", encoding="utf-8", closefd=True) as terminal:
            look = look_for(terminal, environment)
    finally:
        os.close(leader)
    assert (look.width, look.coloured) == (width, coloured)


def set_columns(terminal: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))


def test_paragraph_without_text_is_an_empty_line() -> None:
    blank = Paragraph(style=Style.YES)
    assert laid_out([Paragraph(text="a"), blank, Paragraph(text="b")], Look(coloured=True)) == "a\n\nb"
