"""What a running daemon says of a host: asked over its admin face, and read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from math import inf
from typing import Any
from urllib.parse import urlencode

import trio

from fastvhost.admin_client import NoAdminError, fetch
from fastvhost.config import Endpoint
from fastvhost.errors import FastvhostError
from fastvhost.model import Step, Verdict, VerdictKind

__all__ = ["Answer", "DaemonError", "RefusedError", "Station", "ask_daemon", "read_answer"]

_SECONDS = 20.0
"""The admin face gives a page 15 s."""


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


async def ask_daemon(server: Endpoint, host: str, *, source: str | None, walk: bool) -> str:
    """What the admin face at `server` says of `host`, in JSON, were `source` to ask for it.

    `walk`: and what DNS says now. Takes 20 seconds at most.

    Raises:
        DaemonError: it does not answer, or cannot now.
        RefusedError: it takes no such question, or `host` is no text.
    """
    asked = {"host": host} | ({"source": source} if source else {}) | ({"walk": "1"} if walk else {})
    try:
        question = urlencode(asked)
    except UnicodeEncodeError as error:
        raise RefusedError(f"HOST: found {host!r}; allowed: UTF-8") from error
    try:
        with trio.fail_after(_SECONDS):
            answer = await fetch(server, f"/explain?{question}")
    except NoAdminError as error:
        raise DaemonError(str(error)) from error
    except trio.TooSlowError as error:
        raise DaemonError(f"no answer from {server} within {_SECONDS:g} s") from error
    if answer.status == HTTPStatus.OK:
        return answer.text
    said = " ".join(answer.text.split())[:200]
    if answer.status == HTTPStatus.BAD_REQUEST:
        raise RefusedError(f"the daemon at {server} refuses: {said}")
    raise DaemonError(f"the daemon at {server} cannot answer: {answer.status} {said}")


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
