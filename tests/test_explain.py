"""A verdict and its walk as text."""

from math import inf

import pytest

from fastvhost.explain import explanation
from fastvhost.model import Step, Verdict, VerdictKind


def verdict(*steps: Step, expires: float = 160.0, host: str = "example.com") -> Verdict:
    return Verdict(kind=VerdictKind.HOSTED, host=host, expires=expires, reason="because", steps=steps)


def test_explanation_of_a_walk_shows_each_question_indented_by_depth() -> None:
    shown = explanation(
        verdict(
            Step(
                depth=0,
                question="NAPTR example.com",
                rcode="NODATA",
                ttl=60,
                server="127.0.0.1:53",
                seconds=0.0123,
                proved="no NAPTR: SRV decides",
            ),
            Step(
                depth=1,
                question="SRV _sip._udp.example.com",
                rcode="NOERROR",
                records=("0 0 5060 sip.example.net.", "1 0 5060 b.example.net."),
                ttl=0,
                proved="leads to us",
            ),
            Step(depth=2, question="A b.example.net", rcode="time-out", proved="no evidence"),
        ),
        100.0,
    )
    assert shown.splitlines() == [
        "example.com: HOSTED for 60 s",
        "  because",
        "",
        "  NAPTR example.com",
        "    NODATA, TTL 60 s, 12.3 ms from 127.0.0.1:53",
        "    -> no NAPTR: SRV decides",
        "",
        "    SRV _sip._udp.example.com",
        "      NOERROR, TTL 0 s",
        "        0 0 5060 sip.example.net.",
        "        1 0 5060 b.example.net.",
        "      -> leads to us",
        "",
        "      A b.example.net",
        "        time-out",
        "        -> no evidence",
    ]


@pytest.mark.parametrize(
    ("expires", "lifetime"),
    [(inf, ", as long as it is listed"), (160.0, " for 60 s"), (101.4, " for 1 s"), (100.0, ""), (99.0, "")],
)
def test_explanation_says_how_long_the_verdict_holds(expires: float, lifetime: str) -> None:
    assert explanation(verdict(expires=expires), 100.0) == f"example.com: HOSTED{lifetime}\n  because"


def test_explanation_of_a_step_that_proved_nothing_has_no_arrow() -> None:
    shown = explanation(verdict(Step(depth=0, question="A example.com", rcode="")), 100.0)
    assert shown.splitlines()[-1] == "  A example.com"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb", r"a\nb"),
        ("\u202e", r"\u202e"),
        ("\udc80", r"\udc80"),
        ("ü 'q'", "ü 'q'"),
    ],
)
def test_explanation_of_control_characters_shows_them_escaped(raw: str, shown: str) -> None:
    step = Step(depth=0, question="NAPTR example.com", rcode="NOERROR", records=(raw,))
    lines = explanation(verdict(step, host=raw), 100.0).splitlines()
    assert lines[0] == f"{shown}: HOSTED for 60 s"
    assert lines[-1] == f"      {shown}"
