"""The hosts of a load test: from zones, in a popularity as callers have it, and the sources that ask."""

import random
from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from itertools import accumulate, islice

from fastvhost.host import DomainName, parse_host
from tools.flood.errors import FloodError

__all__ = ["MOST_SOURCES", "by_popularity", "hosts_of", "sources_in"]

MOST_SOURCES = 65_536


def hosts_of(owners: Iterable[str]) -> tuple[bytes, ...]:
    """The hosts that a caller may have in a SIP URI, of the owner names of a zone, each once, in their order.

    What SRV and NAPTR records stand at is left off (`_sip._udp.a.example` is of `a.example`). Wildcards and
    what is no host by SIP's grammar are left out.
    """
    hosts: dict[bytes, None] = {}
    for owner in owners:
        labels = owner.removesuffix(".").split(".")
        while labels and labels[0].startswith("_"):
            del labels[0]
        host = parse_host(".".join(labels))
        if isinstance(host, DomainName):
            hosts[host.name.encode()] = None
    return tuple(hosts)


def by_popularity(names: Sequence[bytes], exponent: float, count: int) -> tuple[bytes, ...]:
    """`count` names drawn by Zipf's law: number n of `names`, from 1 on, with a weight of n to the -exponent.

    The same in every run.

    Raises:
        FloodError: the exponent is not over 0 and at most 10.
    """
    if not 0.0 < exponent <= 10.0:
        raise FloodError(f"--zipf {exponent:g}: the exponent is over 0, at most 10")
    weights = list(accumulate(number**-exponent for number in range(1, len(names) + 1)))
    return tuple(random.Random(0).choices(names, cum_weights=weights, k=count)) if names else ()


def sources_in(text: str) -> tuple[bytes, ...]:
    """The addresses of a network, or of one address; of more than `MOST_SOURCES` so many of the first.

    Raises:
        FloodError: `text` is neither.
    """
    try:
        network = ip_network(text)
    except ValueError as error:
        raise FloodError(f"--sources {text}: {error}") from error
    return tuple(str(address).encode() for address in islice(network, MOST_SOURCES))
