"""Verdicts, beliefs and talkers as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isinf

from fastvhost.belief import Belief
from fastvhost.domains.recent import Change
from fastvhost.domains.record_json import iso_instant
from fastvhost.evidence import ttl_source
from fastvhost.model import Finding, Step, Verdict, VerdictKind
from fastvhost.talkers import Talker

__all__ = ["json_belief", "json_changes", "json_finding", "json_talkers", "json_verdict"]


def json_belief(belief: Belief, now: float) -> dict[str, object]:
    """Host, station and why; the verdict, or null where it has to be found out; what else is known."""
    return {
        "host": belief.host,
        **_json_station(belief, now),
        "behind": [_json_station(other, now) for other in belief.behind],
    }


def _json_station(belief: Belief, now: float) -> dict[str, object]:
    return {
        "station": belief.station.value,
        "why": belief.why,
        "verdict": None if belief.verdict is None else json_verdict(belief.verdict, now),
    }


def json_finding(finding: Finding) -> dict[str, object]:
    """What a walk found, and how; `ttl` in seconds, null where nothing bounds it."""
    return {
        "kind": finding.kind.name,
        "ttl": _json_seconds(finding.ttl),
        "reason": finding.reason,
        "ttl_from": _json_source(finding.kind, finding.steps),
        "steps": _json_steps(finding.steps),
    }


def json_talkers(talkers: Sequence[Talker]) -> list[dict[str, object]]:
    """The first asked most."""
    return [asdict(talker) for talker in talkers]


def json_changes(changes: Sequence[Change]) -> list[dict[str, object]]:
    """The latest first; instants in UTC, to the second."""
    return [
        {"domain": one.domain, "state": one.state.value, "at": iso_instant(float(int(one.at)))}
        for one in changes
    ]


def json_verdict(verdict: Verdict, now: float) -> dict[str, object]:
    """A verdict at `now`: `ttl` is what is left of it, in seconds, null where nothing bounds it."""
    return {
        "kind": verdict.kind.name,
        "ttl": _json_seconds(verdict.ttl(now)),
        "reason": verdict.reason,
        "stale": verdict.stale,
        "failures": verdict.failures,
        "ttl_from": _json_source(verdict.kind, verdict.steps),
        "steps": _json_steps(verdict.steps),
    }


def _json_steps(steps: Sequence[Step]) -> list[dict[str, object]]:
    return [asdict(step) | {"kind": None if step.kind is None else step.kind.name} for step in steps]


def _json_source(kind: VerdictKind, steps: Sequence[Step]) -> dict[str, object] | None:
    """The question whose answer the TTL is from, and that answer's TTL."""
    source = ttl_source(kind, steps)
    return None if source is None else {"question": source.question, "ttl": source.ttl}


def _json_seconds(seconds: float) -> float | None:
    """To the millisecond; JSON has no infinity."""
    return None if isinf(seconds) else round(seconds, 3)
