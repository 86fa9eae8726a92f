"""What a running daemon says of a host: asked over its admin face, read, and laid out for people."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from math import inf
from typing import Any
from urllib.parse import urlencode

from fastvhost.config import Endpoint
from fastvhost.errors import FastvhostError
from fastvhost.explain_command.look import Look, Paragraph, Style
from fastvhost.explain_command.text import headline, laid_out, lifetime, style_of, ttl_line, walk_tree
from fastvhost.model import Step, Verdict, VerdictKind

__all__ = ["Answer", "DaemonError", "RefusedError", "ask_daemon", "believed", "read_answer"]

_SECONDS = 20.0
"""The admin face gives a page 15 s."""

_MOST_OCTETS = 1 << 20


class DaemonError(FastvhostError):
    """The daemon did not answer: it does not run there, or does not allow this client."""


class RefusedError(FastvhostError):
    """The daemon does not answer such a question: ask it otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One of the places where the daemon has an answer, or none."""

    name: str
    """As in `fastvhost.belief.Station`."""
    why: str
    verdict: Verdict | None
    """With what is left of its TTL as `expires`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the daemon believes of a host, and what DNS says where that was asked too."""

    host: str
    stations: tuple[Station, ...]
    """The first is where the next one who asks gets the answer."""
    stored: Mapping[str, Any] | None
    """The record of a learned domain, as in `fastvhost.domains.record_json`."""
    store_error: str
    walk: Verdict | None

    @property
    def kind(self) -> VerdictKind | None:
        """What the next one who asks is told at once."""
        verdict = self.stations[0].verdict
        return None if verdict is None else verdict.kind


def ask_daemon(server: Endpoint, host: str, *, source: str | None, walk: bool) -> str:
    """What the admin face at `server` says of `host`, in JSON, were `source` to ask for it.

    `walk`: and what DNS says now. Takes 20 seconds at most.

    Raises:
        DaemonError: it does not answer, or cannot now.
        RefusedError: it takes no such question.
    """
    asked = {"host": host} | ({"source": source} if source else {}) | ({"walk": "1"} if walk else {})
    connection = HTTPConnection(server.address, server.port, timeout=_SECONDS)
    try:
        connection.request("GET", f"/explain?{urlencode(asked, errors='surrogateescape')}")
        response = connection.getresponse()
        text = response.read(_MOST_OCTETS).decode(errors="replace")
    except OSError as error:
        raise DaemonError(f"no daemon answers at http://{server}: {error.strerror or error}") from error
    except HTTPException as error:
        raise DaemonError(f"what answers at http://{server} is no daemon") from error
    finally:
        connection.close()
    if response.status == HTTPStatus.OK:
        return text
    said = " ".join(text.split())[:200]
    if response.status == HTTPStatus.BAD_REQUEST:
        raise RefusedError(f"the daemon at http://{server} refuses: {said}")
    raise DaemonError(f"the daemon at http://{server} cannot answer: {response.status} {said}")


def read_answer(text: str) -> Answer:
    """Read what `ask_daemon` returned. Keys that are not known are left out.

    Raises:
        DaemonError: it is not what the admin face of fastvhost says.
    """
    try:
        found = json.loads(text)
        host = str(found["host"])
        walk = found.get("walk")
        return Answer(
            host=host,
            stations=tuple(_station(host, one) for one in (found, *found["behind"])),
            stored=None if found["stored"] is None else dict(found["stored"]),
            store_error=str(found["store_error"]),
            walk=None if walk is None else _verdict(host, walk),
        )
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DaemonError("what the daemon says cannot be read: is it of another version?") from error


def _station(host: str, found: Mapping[str, Any]) -> Station:
    verdict = found["verdict"]
    return Station(
        name=str(found["station"]),
        why=str(found["why"]),
        verdict=None if verdict is None else _verdict(host, verdict),
    )


def _verdict(host: str, found: Mapping[str, Any]) -> Verdict:
    ttl = found["ttl"]
    return Verdict(
        kind=VerdictKind[found["kind"]],
        host=host,
        expires=inf if ttl is None else float(ttl),
        reason=str(found["reason"]),
        stale=bool(found.get("stale", False)),
        failures=int(found.get("failures", 0)),
        steps=tuple(_step(one) for one in found["steps"]),
    )


def _step(found: Mapping[str, Any]) -> Step:
    kind, ttl = found["kind"], found["ttl"]
    return Step(
        depth=int(found["depth"]),
        question=str(found["question"]),
        rcode=str(found["rcode"]),
        records=tuple(str(one) for one in found["records"]),
        ttl=None if ttl is None else int(ttl),
        server=str(found["server"]),
        seconds=float(found["seconds"]),
        proved=str(found["proved"]),
        kind=None if kind is None else VerdictKind[kind],
    )


def believed(answer: Answer, look: Look, asked: str) -> str:
    """What the daemon believes, what else it knows, and what DNS says where that was asked."""
    first, *behind = answer.stations
    said = _said(first.verdict, first.name) if first.verdict else f"{first.name}, no verdict yet"
    paragraphs = [
        *headline(asked, answer.host, said, answer.kind),
        Paragraph(text=f"{first.name}: {first.why}", first="  ", rest="    "),
    ]
    if first.verdict is not None:
        paragraphs += ttl_line(first.verdict, None)
    for station in behind:
        verdict = f"{_said(station.verdict, station.name)}: " if station.verdict else ""
        text = f"{station.name}, behind that: {verdict}{station.why}"
        paragraphs.append(Paragraph(text=text, first="  ", rest="    "))
    paragraphs += _stored(answer)
    steps = next((one.verdict.steps for one in answer.stations if one.verdict and one.verdict.steps), ())
    if steps:
        paragraphs += [Paragraph(), *walk_tree(f"{answer.host}, as the daemon walked it", steps, look)]
    if answer.walk is not None:
        paragraphs += [Paragraph(), *_beside(answer.walk, answer.kind)]
        paragraphs += [Paragraph(), *walk_tree(f"{answer.host}, as DNS has it", answer.walk.steps, look)]
    return laid_out(paragraphs, look)


def _said(verdict: Verdict, station: str) -> str:
    if station == "learned":
        return f"{verdict.kind.name}, until checks find that it has left DNS"
    stale = " past its TTL," if verdict.stale else ""
    return f"{verdict.kind.name}{stale}{lifetime(verdict, 0.0)}"


def _stored(answer: Answer) -> Iterator[Paragraph]:
    if answer.store_error:
        text = f"the store cannot be read: {answer.store_error}"
        yield Paragraph(text=text, style=Style.UNDECIDED, first="  ", rest="    ")
    if answer.stored is None:
        return
    found = answer.stored.get
    text = f"stored: {found('state')}, decided by {found('decided_by')}; {found('evidence') or 'no evidence'}"
    yield Paragraph(text=text, first="  ", rest="    ")
    dates = (
        f"verified {_to_the_second(found('last_verified'))}, next check {_to_the_second(found('next_check'))}"
    )
    did = f"; did {found('did')}" if found("did") else ""
    yield Paragraph(text=f"{dates}{did}", first="    ", rest="    ")


def _to_the_second(instant: object) -> str:
    """An instant of ISO 8601 without its fraction."""
    return f"{str(instant).partition('.')[0].rstrip('Z')}Z" if instant else "never"


def _beside(walk: Verdict, kind: VerdictKind | None) -> Iterator[Paragraph]:
    """What DNS says now, and whether that is what the daemon says."""
    if kind is None:
        beside = ""
    elif walk.kind is kind:
        beside = ", as the daemon says"
    elif walk.kind in (VerdictKind.HOSTED, VerdictKind.NOT_HOSTED):
        beside = f", and the daemon says {kind.name}"
    else:
        beside = f", which leaves the daemon's {kind.name} as it is"
    text = f"DNS now: {walk.kind.name}{lifetime(walk, 0.0)}{beside}"
    yield Paragraph(text=text, style=style_of(walk.kind), rest="  ")
    yield Paragraph(text=walk.reason, first="  ", rest="    ")
    yield from ttl_line(walk, None)
