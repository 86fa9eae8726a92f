"""The proxies of this machine: each one's link, and what all of them are told."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import trio

from fastvhost.config import Proxies
from fastvhost.model import VerdictKind
from fastvhost.target import parse_target

if TYPE_CHECKING:
    from fastvhost.domains.jsonrpc import RpcClient
    from fastvhost.domains.proxies import HtablePush, ReloadDebouncer

__all__ = ["ProxyLinks"]


class ProxyLinks:
    """Tells every configured proxy; with none it does nothing."""

    def __init__(self, proxies: Proxies, *, known: Callable[[], Iterable[str]], ttl: float) -> None:
        """`known`: the names that are HOSTED now, for a proxy that has lost them; `ttl`: seconds that a
        proxy may believe what it was told without hearing it again."""
        self._config = proxies
        self._known = known
        self._ttl = ttl
        self._reloads: list[ReloadDebouncer] = []
        self._pushes: list[HtablePush] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Link with the proxies for the length of the block.

        Raises:
            ListenError: no socket could be had.
            ValueError: a proxy of the configuration is not on this machine.
        """
        targets = dict.fromkeys((*self._config.kamailio, *self._config.opensips))
        if not targets:
            yield
            return
        from fastvhost.domains.jsonrpc import open_rpc  # late: 4 ms of each start with what it brings

        with ExitStack() as sockets:
            clients = {text: sockets.enter_context(open_rpc(parse_target(text))) for text in targets}
            self._link(clients)
            async with trio.open_nursery() as nursery:
                for client in clients.values():
                    nursery.start_soon(client.receive)
                for reload in self._reloads:
                    nursery.start_soon(reload.run)
                for push in self._pushes:
                    nursery.start_soon(push.run)
                # The daemon may have died between a write and the reload that it called for.
                self.rows_changed()
                yield
                nursery.cancel_scope.cancel()

    def rows_changed(self) -> None:
        """The proxies' own tables differ: have them read again."""
        for reload in self._reloads:
            reload.changed()

    def hosted(self, domain: str) -> None:
        """`domain` is one of ours from now on, or still."""
        for push in self._pushes:
            push.set(domain, VerdictKind.HOSTED, self._ttl)

    def gone(self, domain: str) -> None:
        """`domain` is one of ours no more."""
        for push in self._pushes:
            push.delete(domain)

    def counts(self) -> dict[str, int]:
        """Every counter, summed over the proxies."""
        total: Counter[str] = Counter()
        for reload in self._reloads:
            total.update({f"reload.{name}": n for name, n in asdict(reload.counters).items()})
        for push in self._pushes:
            total.update({f"htable.{name}": n for name, n in asdict(push.counters).items()})
        return dict(total)

    def _link(self, clients: "dict[str, RpcClient]") -> None:
        from fastvhost.domains.proxies import HtablePush, ReloadDebouncer, kamailio_reload, opensips_reload

        def push_to(text: str) -> HtablePush:
            def emptied() -> None:
                push.push_all((name, VerdictKind.HOSTED, self._ttl) for name in self._known())

            push = HtablePush(clients[text].call, name=text, table=self._config.htable, emptied=emptied)
            return push

        config = self._config
        for reload_of, texts in ((kamailio_reload, config.kamailio), (opensips_reload, config.opensips)):
            self._reloads += [
                ReloadDebouncer(reload_of(clients[text].call), name=text, interval=config.reload_interval)
                for text in texts
            ]
        if config.htable:
            self._pushes += map(push_to, config.kamailio)
