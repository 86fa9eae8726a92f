"""The daemon of a play: an operator's configuration on the lab's DNS, and nothing of theirs touched."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from fastvhost.config import Config, Endpoint, Log, Proxies
from fastvhost.config_file import load_config, parse_endpoint
from fastvhost.serve import run_daemon

__all__ = ["main", "on_the_lab"]

_FREE = Endpoint("127.0.0.1", 0)
_LOOPBACK = ip_network("127.0.0.0/8")


def on_the_lab(config: Config, lab: Endpoint, *, store: str) -> Config:
    """`config` with `lab` as its only DNS server, faces on free ports of loopback, no proxy, no snapshot,
    and `store`.

    The PDB and the admin face are on in any case: load comes in by one, figures go out by the other. So is
    the log, which says where they are.
    """
    listen = config.listen
    return replace(
        config,
        listen=replace(
            listen,
            pdb=_FREE,
            dns=None if listen.dns is None else _FREE,
            admin=_FREE,
            allow=(*listen.allow, _LOOPBACK),
        ),
        dns=replace(config.dns, servers=(lab,)),
        cache=replace(config.cache, snapshot=""),
        domains=replace(config.domains, store=store),
        proxies=Proxies(),
        log=Log(),
    )


def main(argv: Sequence[str]) -> None:
    """Serve until a signal: CONFIG, the lab's ADDR:PORT, and the URL of a store, which may be empty."""
    path, lab, store = argv
    endpoint = parse_endpoint(lab, default_port=53)
    run_daemon(lambda: on_the_lab(load_config(Path(path)), endpoint, store=store))


if __name__ == "__main__":
    main(sys.argv[1:])
