"""The last changes: how many are kept, in which order."""

from fastvhost.domains.recent import Change, RecentChanges
from fastvhost.domains.record import DomainState


def test_latest_change_of_each_domain_comes_first() -> None:
    recent = RecentChanges()
    recent.note("a.test", DomainState.ACTIVE, 1.0)
    recent.note("b.test", DomainState.ACTIVE, 2.0)
    recent.note("a.test", DomainState.DISABLED, 3.0)
    assert recent.latest() == (
        Change(domain="a.test", state=DomainState.DISABLED, at=3.0),
        Change(domain="b.test", state=DomainState.ACTIVE, at=2.0),
    )


def test_no_more_than_fifty_are_kept() -> None:
    recent = RecentChanges()
    for number in range(200):
        recent.note(f"d{number}.test", DomainState.ACTIVE, float(number))
    assert [change.domain for change in recent.latest()] == [f"d{n}.test" for n in range(199, 149, -1)]
