"""The configuration of a command that asks DNS beside a daemon of the same configuration."""

from dataclasses import replace

from fastvhost.config import Config, LearnMode, Proxies

__all__ = ["asking_aside"]


def asking_aside(config: Config) -> Config:
    """`config` for a process that decides as the daemon does and leaves what is the daemon's alone: its
    addresses, its proxies, its store and its snapshot, which is neither believed nor written."""
    return replace(
        config,
        listen=replace(config.listen, pdb=None, dns=None, admin=None),
        cache=replace(config.cache, snapshot=""),
        domains=replace(config.domains, store="", learn=LearnMode.OFF),
        proxies=Proxies(),
    )
