"""What is at which path: from a request to its response."""

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import trio

from fastvhost.admin.answers import json_belief, json_changes, json_finding, json_talkers
from fastvhost.admin.exposition import CONTENT_TYPE, exposition
from fastvhost.admin.history import History
from fastvhost.admin.page import Shown, page
from fastvhost.admin.sight import Sight
from fastvhost.domains.record import DomainState
from fastvhost.domains.record_json import json_record
from fastvhost.errors import StoreError
from fastvhost.faces.http_message import HttpRequest, HttpResponse, refusal
from fastvhost.host import DomainName, Host, parse_address, parse_host
from fastvhost.talkers import HALF_LIFE

__all__ = ["Site"]

_SHOWN = 12
"""Rows of each table of the page."""

_MOST_TALKERS = 100
_MOST_DOMAINS = 1_000
"""Records of one page; some 600 octets each."""

_USUAL_TALKERS = 20
_USUAL_DOMAINS = 100

_STORE_SECONDS = 2.0
"""While a database is away, its turn does not come."""

_WALKS_AT_ONCE = 4
"""Walks that are asked for here; they spend what housekeeping has."""


class _BadParameterError(Exception):
    """A parameter that is none, or is missing; the text says what is allowed."""


class Site:
    """Answers requests from what `sight` shows; `history` is somebody else's to fill."""

    def __init__(self, sight: Sight, history: History) -> None:
        self._sight = sight
        self._history = history
        self._walks = 0
        self._started = sight.wall_clock()
        self._pages: Mapping[str, tuple[_Page, frozenset[str]]] = {
            "/": (self._front, frozenset()),
            "/metrics": (self._metrics, frozenset()),
            "/healthz": (self._health, frozenset()),
            "/readyz": (self._ready, frozenset()),
            "/explain": (self._explain, frozenset({"host", "source", "walk"})),
            "/domains": (self._domains, frozenset({"state", "after", "limit"})),
            "/sources": (self._sources, frozenset({"limit"})),
            "/changes": (self._changes, frozenset()),
        }

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """The response; at most 1 MB, but for domains with many attributes."""
        found = self._pages.get(request.path)
        if found is None:
            return refusal(HTTPStatus.NOT_FOUND, f"not here; here are {', '.join(self._pages)}")
        answer, known = found
        try:
            _check_names(request.parameters, known)
            return await answer(request.parameters)
        except _BadParameterError as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error))

    async def _front(self, _: Mapping[str, str]) -> HttpResponse:
        sight, now = self._sight, trio.current_time()
        shown = Shown(
            now=now,
            figures=sight.figures(now),
            history=self._history,
            zones=sight.talkers.zones(_SHOWN, now),
            sources=sight.talkers.sources(_SHOWN, now),
            changes=sight.recent()[:_SHOWN],
            not_ready=sight.not_ready(),
            version=sight.build["version"],
            up=sight.wall_clock() - self._started,
        )
        return HttpResponse(body=page(shown).encode(), content_type="text/html; charset=utf-8")

    async def _metrics(self, _: Mapping[str, str]) -> HttpResponse:
        sight = self._sight
        histograms = {name: one.histograms() for name, one in sight.latencies().items()}
        text = exposition(sight.figures(trio.current_time()), histograms, sight.build)
        return HttpResponse(body=text.encode(), content_type=CONTENT_TYPE)

    async def _health(self, _: Mapping[str, str]) -> HttpResponse:
        return HttpResponse(body=b"ok\n")

    async def _ready(self, _: Mapping[str, str]) -> HttpResponse:
        why = self._sight.not_ready()
        return HttpResponse(body=b"ready\n") if why is None else refusal(HTTPStatus.SERVICE_UNAVAILABLE, why)

    async def _explain(self, parameters: Mapping[str, str]) -> HttpResponse:
        text = parameters.get("host", "")
        if not text:
            raise _BadParameterError("parameter 'host': missing")
        named = parameters.get("source", "")
        source = parse_address(named) if named else None
        if named and source is None:
            raise _BadParameterError(f"parameter 'source': {named!r} is no IP address")
        walk = parameters.get("walk", "0")
        if walk not in ("0", "1"):
            raise _BadParameterError(f"parameter 'walk': found {walk!r}; allowed: 0 or 1")
        now = trio.current_time()
        answer = json_belief(self._sight.belief(text, source, now), now)
        host = parse_host(text)
        answer |= await self._stored(host)
        if walk == "0":
            return _json(answer)
        if not isinstance(host, DomainName):
            raise _BadParameterError("parameter 'walk': DNS cannot be asked about what is no name")
        if self._walks >= _WALKS_AT_ONCE:
            why = f"{_WALKS_AT_ONCE} walks are under way"
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, why, ("Retry-After", "1"))
        self._walks += 1
        try:
            finding = await self._sight.walk(host.name)
        finally:
            self._walks -= 1
        return _json(answer | {"walk": json_finding(finding)})

    async def _stored(self, host: Host) -> Mapping[str, object]:
        """What is stored of a host, or why that cannot be said now."""
        stored, why = None, ""
        if self._sight.stored is not None and isinstance(host, DomainName):
            why = f"the store has not answered within {_STORE_SECONDS:g} s"
            with trio.move_on_after(_STORE_SECONDS):
                try:
                    stored, why = await self._sight.stored.record(host.name), ""
                except StoreError as error:
                    why = str(error)
        return {"stored": None if stored is None else json_record(stored), "store_error": why}

    async def _domains(self, parameters: Mapping[str, str]) -> HttpResponse:
        if self._sight.stored is None:
            return refusal(HTTPStatus.NOT_FOUND, "nothing is stored: domains.store is empty")
        state = _state(parameters.get("state", ""))
        after = _name(parameters.get("after", ""))
        limit = _limit(parameters, _USUAL_DOMAINS, _MOST_DOMAINS)
        try:
            records = await self._sight.stored.page(state, after, limit)
        except StoreError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        return _json(
            {
                "domains": [json_record(record) for record in records],
                "next": records[-1].domain if len(records) == limit else None,
            }
        )

    async def _sources(self, parameters: Mapping[str, str]) -> HttpResponse:
        limit = _limit(parameters, _USUAL_TALKERS, _MOST_TALKERS)
        now = trio.current_time()
        return _json(
            {
                "counted": "walks for unknown hosts, and what was refused of them",
                "half_life": HALF_LIFE,
                "sources": json_talkers(self._sight.talkers.sources(limit, now)),
                "zones": json_talkers(self._sight.talkers.zones(limit, now)),
            }
        )

    async def _changes(self, _: Mapping[str, str]) -> HttpResponse:
        return _json({"changes": json_changes(self._sight.recent())})


_Page = Callable[[Mapping[str, str]], Awaitable[HttpResponse]]


def _check_names(parameters: Mapping[str, str], known: frozenset[str]) -> None:
    for name in parameters:
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise _BadParameterError(f"parameter {name!r}: unknown; allowed: {allowed}")


def _state(text: str) -> DomainState | None:
    if not text:
        return None
    try:
        return DomainState(text)
    except ValueError:
        allowed = ", ".join(state.value for state in DomainState)
        raise _BadParameterError(f"parameter 'state': found {text!r}; allowed: {allowed}") from None


def _name(text: str) -> str:
    """A canonical host, or nothing."""
    host = parse_host(text) if text else DomainName("")
    if not isinstance(host, DomainName):
        raise _BadParameterError(f"parameter 'after': found {text!r}; allowed: the name of a domain")
    return host.name


def _limit(parameters: Mapping[str, str], usual: int, most: int) -> int:
    text = parameters.get("limit", str(usual))
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= most):
        raise _BadParameterError(f"parameter 'limit': found {text!r}; allowed: 1 to {most}")
    return int(text)


def _json(answer: object) -> HttpResponse:
    # Lone surrogates and the like are escaped, so what strangers wrote is always UTF-8.
    body = json.dumps(answer, indent=1).encode()
    return HttpResponse(body=body + b"\n", content_type="application/json")
