"""What differs between two configurations, and what of it a running service can take on.

Pure: sections in, names of keys out.
"""

from dataclasses import dataclass, fields, replace

from fastvhost.config import Config

__all__ = ["Changes", "changes"]

_AFTER_RESTART = {
    "cache": frozenset({"hosted_entries", "unknown_entries", "snapshot", "snapshot_every"}),
    "attributes": None,
    "housekeeping": None,
    "proxies": None,
}
"""By section the keys, None for all, of parts that stay as they are built for as long as the service."""

_DOMAINS_AT_ONCE = frozenset({"always", "never"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """One configuration after another; keys are named as in the file, `section.key`."""

    config: Config
    """What is in force from now on: the new one, but for the keys of `after_restart`, which stay."""
    at_once: tuple[str, ...]
    after_restart: tuple[str, ...]

    def __str__(self) -> str:
        parts = []
        if self.at_once:
            parts.append(f"{', '.join(self.at_once)} changed")
        if self.after_restart:
            parts.append(f"only after a restart: {', '.join(self.after_restart)}")
        return "; ".join(parts) or "nothing changed"


def changes(running: Config, wanted: Config) -> Changes:
    """What turning from `running` to `wanted` changes."""
    at_once: list[str] = []
    after_restart: list[str] = []
    sections = {}
    for section in fields(Config):
        before, after = getattr(running, section.name), getattr(wanted, section.name)
        kept = {}
        for key in fields(before):
            old, new = getattr(before, key.name), getattr(after, key.name)
            if old == new:
                continue
            if _waits(section.name, key.name):
                after_restart.append(f"{section.name}.{key.name}")
                kept[key.name] = old
            else:
                at_once.append(f"{section.name}.{key.name}")
        sections[section.name] = replace(after, **kept)
    return Changes(config=Config(**sections), at_once=tuple(at_once), after_restart=tuple(after_restart))


def _waits(section: str, key: str) -> bool:
    if section == "domains":
        return key not in _DOMAINS_AT_ONCE
    if section not in _AFTER_RESTART:
        return False
    keys = _AFTER_RESTART[section]
    return keys is None or key in keys
