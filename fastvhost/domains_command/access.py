"""What the commands of `fastvhost domains` share: the store while one runs, names, pages, refusals."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import assert_never

from fastvhost.config import Config, ProxySchema
from fastvhost.domains.engine import missing_file
from fastvhost.domains.record import DomainRecord, DomainState
from fastvhost.domains.rows import domain_fault
from fastvhost.domains.store import Store
from fastvhost.errors import ConfigError, FastvhostError
from fastvhost.host import DomainName, Malformed, parse_host

__all__ = ["RefusedError", "canonical_domain", "open_store", "pages", "put", "wall_now"]

_PAGE = 1_000
"""Records read at a time."""

_SHOWN = 3
"""Refusals in one line."""


class RefusedError(FastvhostError):
    """What the operator named cannot be done as asked: he must name something else."""


def wall_now() -> float:
    """Wall-clock seconds since the epoch: what is written outlives the process."""
    return datetime.now(UTC).timestamp()


@contextmanager
def open_store(config: Config, *, only_looks: bool = False) -> Iterator[Store]:
    """The store that the configuration names, ready for use.

    Raises:
        ConfigError: it names none.
        RefusedError: the command `only_looks`, and the file is not there: to make an empty one would hide
            that the daemon's is elsewhere.
        StoreError: see `Store.prepare`.
    """
    if not config.domains.store:
        raise ConfigError("domains.store is empty: no domains are kept; name a database there")
    missing = missing_file(config.domains.store) if only_looks else None
    if missing is not None:
        raise RefusedError(
            f"domains.store: {missing}: no such file; "
            "a relative name counts from the directory of the command"
        )
    match config.domains.schema:
        case ProxySchema.KAMAILIO:
            store = Store(config.domains.store, proxy="kamailio")
        case ProxySchema.OPENSIPS:
            store = Store(config.domains.store, proxy="opensips")
        case never:
            assert_never(never)
    with closing(store):
        store.prepare()
        yield store


def canonical_domain(text: str) -> str:
    """The one spelling of a host that the store knows.

    Raises:
        RefusedError: it is no host, or one that the proxy's table cannot hold.
    """
    match parse_host(text):
        case Malformed(why=why):
            raise RefusedError(f"{text!r} is no domain: {why}")
        case DomainName(name=name):
            domain = name
        case address:
            domain = f"[{address}]" if address.version == 6 else str(address)
    fault = domain_fault(domain)
    if fault is not None:
        raise RefusedError(f"{domain}: {fault}, so the proxy's table cannot hold it")
    return domain


def pages(store: Store, state: DomainState | None = None) -> Iterator[Sequence[DomainRecord]]:
    """All records by name, a page at a time; what is written meanwhile may be among them or not."""
    after = ""
    while page := store.find(state, after, limit=_PAGE):
        yield page
        after = page[-1].domain


def put(store: Store, records: Sequence[DomainRecord]) -> None:
    """Write records, at most `MAX_BATCH`.

    Raises:
        RefusedError: some were not, or not all their attributes; the others are written.
    """
    refused = store.put(records).refused
    if refused:
        raise RefusedError(f"not written: {_in_one_line([f'{one.domain}: {one.why}' for one in refused])}")


def _in_one_line(refusals: Iterable[str]) -> str:
    shown = list(refusals)
    more = len(shown) - _SHOWN
    return "; ".join(shown[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
