"""The reply table: who has room, what a retraction takes away."""

from collections.abc import Callable

import pytest

from fastvhost.faces import reply_table
from fastvhost.faces.entries import PythonEntries, Repeated
from fastvhost.faces.reply_table import ReplyTable
from fastvhost.model import VerdictKind

HOSTED, NOT_HOSTED = VerdictKind.HOSTED, VerdictKind.NOT_HOSTED
PLACES = 4


class Rig:
    """A small table, its entries, and a client with one-octet names."""

    def __init__(self) -> None:
        self.entries = PythonEntries(0, 2 * PLACES)
        self.table = ReplyTable(self.entries, hosted_places=PLACES, other_places=PLACES)

    def put(
        self, host: str, key: str = "", *, kind: VerdictKind = HOSTED, until: float = 10.0, now: float = 0.0
    ) -> None:
        octets = (key or host).encode()
        repeated = Repeated(
            key=octets, reply=b"id" + host.encode(), kind=kind, until=until, expires=until, ttl_at=()
        )
        self.table.put(host, repeated, now)

    def repeats(self, key: str, now: float = 0.0) -> str | None:
        repeated = self.entries.repeat(b"ID" + key.encode(), now)
        return None if repeated is None else repeated[0].removeprefix(b"ID").decode()

    def known(self, *keys: str) -> set[str]:
        return {key for key in keys if self.repeats(key) is not None}


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def chance(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set what the next draws are."""
    return lambda drawn: monkeypatch.setattr(reply_table.random, "random", lambda: drawn)


def test_reply_is_repeated_with_the_id_of_the_request_until_its_instant(rig: Rig) -> None:
    rig.put("a", until=5.0)
    assert rig.repeats("a", 4.999) == "a"
    assert rig.repeats("a", 5.0) is None


def test_put_for_the_same_key_replaces(rig: Rig) -> None:
    rig.put("a", "k")
    rig.put("b", "k")
    assert rig.repeats("k") == "b"
    rig.table.retract("a")
    assert rig.repeats("k") == "b"
    assert len(rig.table) == 1


def test_retraction_takes_every_reply_about_the_host_and_no_other(rig: Rig) -> None:
    for key in ("a", "a 1", "a 2"):
        rig.put("a", key)
    rig.put("b")
    rig.table.retract("a")
    assert rig.known("a", "a 1", "a 2", "b") == {"b"}


@pytest.mark.parametrize("middle", ["a", "a 1", "a 2"])
def test_reply_replaced_within_the_list_of_its_host_leaves_the_list_whole(rig: Rig, middle: str) -> None:
    for key in ("a", "a 1", "a 2"):
        rig.put("a", key)
    rig.put("b", middle)
    rig.table.retract("a")
    assert rig.known("a", "a 1", "a 2") == {middle}
    rig.table.retract("b")
    assert rig.known("a", "a 1", "a 2") == set()
    assert len(rig.table) == 0


def test_retraction_of_a_host_without_replies_is_nothing(rig: Rig) -> None:
    rig.table.retract("a")


def test_retraction_of_everything_leaves_nothing_and_room_for_new(rig: Rig) -> None:
    for number in range(PLACES):
        rig.put(f"h{number}")
        rig.put(f"n{number}", kind=NOT_HOSTED)
    rig.table.retract_everything()
    assert len(rig.table) == 0
    assert rig.known("h0", "n0") == set()
    rig.put("h0")
    assert rig.known("h0") == {"h0"}


def test_other_hosts_at_any_number_push_out_no_hosted_one(rig: Rig, chance: Callable[[float], None]) -> None:
    chance(0.0)
    hosted = [f"h{number}" for number in range(PLACES)]
    for host in hosted:
        rig.put(host)
    for number in range(10 * PLACES):
        rig.put(f"n{number}", kind=NOT_HOSTED)
    assert rig.known(*hosted) == set(hosted)
    assert len(rig.table) == 2 * PLACES


def test_live_reply_gives_way_to_a_new_one_only_by_chance(rig: Rig, chance: Callable[[float], None]) -> None:
    for number in range(PLACES):
        rig.put(f"h{number}")
    chance(0.5)
    rig.put("new")
    assert rig.known("h0", "new") == {"h0"}
    chance(0.0)
    rig.put("new")
    assert rig.known("h0", "new") == {"new"}


def test_expired_reply_gives_way_at_once(rig: Rig, chance: Callable[[float], None]) -> None:
    chance(1.0)
    for number in range(PLACES):
        rig.put(f"h{number}", until=5.0)
    rig.put("new", now=5.0)
    assert rig.repeats("new", 5.0) == "new"


def test_retracted_reply_gives_way_at_once(rig: Rig, chance: Callable[[float], None]) -> None:
    chance(1.0)
    for number in range(PLACES):
        rig.put(f"h{number}")
    rig.table.retract("h0")
    rig.put("new")
    assert rig.known("new") == {"new"}


def test_host_that_changes_its_class_changes_its_room(rig: Rig, chance: Callable[[float], None]) -> None:
    chance(0.0)
    rig.put("a", kind=NOT_HOSTED)
    rig.put("a", kind=HOSTED)
    for number in range(10 * PLACES):
        rig.put(f"n{number}", kind=NOT_HOSTED)
    assert rig.known("a") == {"a"}
    assert len(rig.table) == PLACES + 1


def test_reply_too_long_to_keep_is_not_kept_and_costs_no_other(rig: Rig) -> None:
    rig.put("b")
    long = "a" * 2000
    rig.put(long, "k")
    assert rig.known("k", "b") == {"b"}
    rig.table.retract(long)
