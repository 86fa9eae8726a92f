"""What the admin face is let see of a service: its figures, by name, and what may be asked of its parts."""

import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastvhost.admin.face import AdminFace
from fastvhost.admin.process import Process, build
from fastvhost.admin.sight import Sight, Stored
from fastvhost.asking import Asking
from fastvhost.config import Listen

if TYPE_CHECKING:
    from fastvhost.domains.keeper import Keeper
    from fastvhost.service import Service

__all__ = ["admin_face"]


def admin_face(
    sock: socket.socket,
    listen: Listen,
    service: "Service",
    *,
    asking: Asking,
    keeper: "Keeper | None",
) -> AdminFace:
    """The admin face of a service, on a listening socket."""
    process = Process()

    def figures(now: float) -> Mapping[str, float]:
        config = service.config
        return {
            **service.counters(),
            "service.ready": int(not service.stopped),
            **{f"budget.{name}": value for name, value in asking.budget(now).items()},
            "sources.established": len(asking.budgets.sources),
            "limit.limits.upstream_qps": config.limits.upstream_qps,
            "limit.limits.upstream_inflight": config.limits.upstream_inflight,
            "limit.cache.hosted_entries": config.cache.hosted_entries,
            "limit.cache.unknown_entries": config.cache.unknown_entries,
            **process.figures(),
        }

    sight = Sight(
        figures=figures,
        latencies=lambda: {
            name: face.latencies for name, face in service.faces.items() if face.latencies is not None
        },
        belief=service.belief,
        walk=asking.check,
        talkers=service.talkers,
        stored=None if keeper is None else _stored(keeper),
        recent=(lambda: ()) if keeper is None else keeper.recent.latest,
        not_ready=lambda: "stopping: no more requests are taken" if service.stopped else None,
        wall_clock=time.time,  # noqa: TID251 - for people and other machines
        build=build(),
    )
    return AdminFace(sock, listen, sight)


def _stored(keeper: "Keeper") -> Stored:
    return Stored(
        record=lambda host: keeper.ask(lambda store: store.get(host)),
        page=lambda state, after, most: keeper.ask(lambda store: store.find(state, after, limit=most)),
    )
