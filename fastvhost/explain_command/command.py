"""What `fastvhost explain` says: from scratch, or by asking a daemon; as text or as JSON."""

import json
import os
import sys
from dataclasses import asdict
from functools import partial

import trio

from fastvhost.aside import asking_aside
from fastvhost.config import Config, Endpoint
from fastvhost.domains.attributes import Published
from fastvhost.explain_command.look import look_for
from fastvhost.host import DomainName, parse_host
from fastvhost.model import VerdictKind

__all__ = ["explain_belief", "explain_from_scratch"]


def explain_from_scratch(config: Config, host: str, *, as_json: bool) -> tuple[VerdictKind, str]:
    """Look `host` up in DNS: the verdict, and what to print. No daemon is needed, and none is disturbed."""
    from fastvhost.service import open_service

    async def explain() -> tuple[VerdictKind, str]:
        async with open_service(asking_aside(config)) as service:
            verdict = await service.lookup(host)
            now = trio.current_time()
            hosted = verdict.kind is VerdictKind.HOSTED and verdict.steps
            published = await service.published(verdict.host) if hosted else None
        if as_json:
            from fastvhost.admin.answers import json_verdict

            found = {"host": verdict.host, "verdict": json_verdict(verdict, now)}
            return verdict.kind, json.dumps(found | {"published": _json_published(published)}, indent=1)
        from fastvhost.explain_command.text import explanation

        look = look_for(sys.stdout, os.environ)
        return verdict.kind, explanation(verdict, now, look, config.cache, host, published)

    return trio.run(explain)


def explain_belief(
    server: Endpoint, host: str, *, source: str | None, walk: bool, as_json: bool
) -> tuple[VerdictKind | None, str]:
    """What the daemon whose admin face is at `server` believes of `host`, were `source` to ask for it.

    Returns what it would answer at once, None where it would have to find out; and what to print. `walk`: and
    what DNS says now.

    Raises:
        DaemonError: it does not answer, or cannot now.
        RefusedError: it takes no such question.
    """
    from fastvhost.explain_command.belief_text import believed
    from fastvhost.explain_command.daemon import ask_daemon, read_answer

    is_name = isinstance(parse_host(host), DomainName)  # of others DNS knows nothing
    text = trio.run(partial(ask_daemon, server, host, source=source, walk=walk and is_name))
    answer = read_answer(text)
    if as_json:
        return answer.kind, text.rstrip("\n")
    return answer.kind, believed(answer, look_for(sys.stdout, os.environ), host)


def _json_published(published: Published | None) -> object:
    """What the domain publishes about itself; null where that was not asked, or DNS failed."""
    if published is None:
        return None
    return {
        "did": published.did,
        "aliases": list(published.aliases),
        "attributes": [
            {"name": one.name, "type": one.type.name.lower(), "value": one.value}
            for one in published.attributes
        ],
        "skipped": [asdict(one) for one in published.skipped],
    }
