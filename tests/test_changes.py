"""What differs between two configurations, and what of it waits for a restart."""

from dataclasses import replace

import pytest

from fastvhost.changes import changes
from fastvhost.config import Cache, Config, Domains, Housekeeping, Limits
from tests.support import OWN

RUNNING = Config(own=OWN)


def test_same_configuration_changes_nothing() -> None:
    found = changes(RUNNING, Config(own=OWN))
    assert found.config == RUNNING
    assert str(found) == "nothing changed"


def test_keys_that_change_at_once_are_in_force_and_named() -> None:
    wanted = replace(RUNNING, limits=Limits(upstream_qps=7.0), domains=Domains(never=("a.test",)))
    found = changes(RUNNING, wanted)
    assert found.config == wanted
    assert str(found) == "limits.upstream_qps, domains.never changed"


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        (replace(RUNNING, cache=Cache(unknown_entries=7)), "cache.unknown_entries"),
        (replace(RUNNING, cache=Cache(snapshot="x")), "cache.snapshot"),
        (replace(RUNNING, cache=Cache(snapshot_every=7.0)), "cache.snapshot_every"),
        (replace(RUNNING, domains=Domains(store="")), "domains.store"),
        (replace(RUNNING, housekeeping=Housekeeping(negatives=7)), "housekeeping.negatives"),
    ],
)
def test_keys_that_wait_for_a_restart_stay_as_they_were_and_are_named(wanted: Config, key: str) -> None:
    found = changes(RUNNING, wanted)
    assert found.config == RUNNING
    assert (found.at_once, found.after_restart) == ((), (key,))
    assert str(found) == f"only after a restart: {key}"


def test_both_kinds_in_one_section_are_taken_apart() -> None:
    found = changes(RUNNING, replace(RUNNING, cache=Cache(hosted_entries=7, stale=7.0)))
    assert found.config == replace(RUNNING, cache=Cache(stale=7.0))
    assert str(found) == "cache.stale changed; only after a restart: cache.hosted_entries"
