"""The walk over an injected query: what no real server answers on demand, failures, order, time."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from math import inf

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvhost.config import Config, Dns, Endpoint, Match, Own, Transport
from fastvhost.evidence import ttl_source
from fastvhost.model import Finding, VerdictKind
from fastvhost.resolve.reply import Answer, Failure, Naptr, Negative, Record, Reply, RrType, Srv
from fastvhost.resolve.rfc3263 import MAX_ALIASES, MAX_RULES, MAX_TARGETS, walk
from fastvhost.resolve.upstream import Upstream
from fastvhost.resolve.walker import Walker

HOSTED, NOT_HOSTED = VerdictKind.HOSTED, VerdictKind.NOT_HOSTED
UNDETERMINED, LIMITED = VerdictKind.UNDETERMINED, VerdictKind.LIMITED

HOST = "example.com"
OURS, OURS6 = IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10")
AWAY, AWAY6 = IPv4Address("203.0.113.9"), IPv6Address("2001:db8:ffff::9")

OWN = Own(
    addresses=(ip_network("192.0.2.10"), ip_network("2001:db8::10")),
    names=frozenset({"sip.provider.example"}),
)
OWN_V4 = replace(OWN, addresses=(ip_network("192.0.2.10"),))
OWN_UDP = replace(OWN_V4, ports={Transport.UDP: frozenset({5060})})

NODATA = Negative(nxdomain=False, ttl=600)
NXDOMAIN = Negative(nxdomain=True, ttl=600)
SERVFAIL = Failure(why="SERVFAIL")
TIME_OUT = Failure(why="time-out")
SPENT = Failure(why="limits.upstream_qps is spent", limited=True)


def answer(*records: Record, ttl: int = 300, aliases: tuple[str, ...] = ()) -> Answer:
    return Answer(records=records, ttl=ttl, aliases=aliases)


def srv(target: str, port: int = 5060, *, priority: int = 10, weight: int = 0) -> Srv:
    return Srv(priority=priority, weight=weight, port=port, target=target)


def naptr(
    replacement: str,
    *,
    order: int = 10,
    preference: int = 10,
    flags: str = "s",
    services: str = "sip+d2u",
    regexp: str = "",
) -> Naptr:
    return Naptr(
        order=order,
        preference=preference,
        flags=flags,
        services=services,
        regexp=regexp,
        replacement=replacement,
    )


class FakeDns:
    """Answers from a table keyed as in `SRV _sip._udp.example.com`, NODATA for all else; counts."""

    def __init__(self, replies: Mapping[str, Reply | Callable[[], Awaitable[Reply]]]) -> None:
        self._replies = replies
        self.asked: Counter[str] = Counter()

    async def query(self, name: str, rrtype: RrType) -> Reply:
        question = f"{rrtype.name} {name}"
        self.asked[question] += 1
        await trio.lowlevel.checkpoint()
        reply = self._replies.get(question, NODATA)
        return await reply() if callable(reply) else reply


async def walked(
    replies: Mapping[str, Reply | Callable[[], Awaitable[Reply]]],
    *,
    host: str = HOST,
    own: Own = OWN,
    dns: Dns | None = None,
) -> tuple[Finding, Counter[str]]:
    fake = FakeDns(replies)
    with trio.fail_after(5):
        finding = await walk(host, own=own, dns=dns or Dns(), query=fake.query)
    return finding, fake.asked


# A failure is never a "no".

UDP_OURS: dict[str, Reply] = {"SRV _sip._udp.example.com": answer(srv("ours.example.com"))}
UDP_AWAY: dict[str, Reply] = {"SRV _sip._udp.example.com": answer(srv("away.example.com"))}
TCP_OURS: dict[str, Reply] = {"SRV _sip._tcp.example.com": answer(srv("ours.example.com"))}
A_OURS: dict[str, Reply] = {"A ours.example.com": answer(OURS, ttl=200)}
A_AWAY: dict[str, Reply] = {"A away.example.com": answer(AWAY, ttl=100)}


@pytest.mark.parametrize("failure", [SERVFAIL, TIME_OUT, SPENT], ids=lambda failure: failure.why)
@pytest.mark.parametrize(
    ("replies", "question"),
    [
        ({}, "NAPTR example.com"),
        ({}, "SRV _sip._udp.example.com"),
        ({}, "SRV _sips._tcp.example.com"),
        ({}, "A example.com"),
        ({}, "AAAA example.com"),
        (UDP_AWAY | A_AWAY, "SRV _sip._tcp.example.com"),
        (UDP_AWAY | A_AWAY, "AAAA away.example.com"),
        (UDP_AWAY, "A away.example.com"),
        ({"NAPTR example.com": answer(naptr("u.example.com"))}, "SRV u.example.com"),
        ({"NAPTR example.com": answer(naptr("a.example.com", flags="a"))}, "A a.example.com"),
        ({"NAPTR example.com": answer(naptr("n.example.com", flags=""))}, "NAPTR n.example.com"),
        (
            {"NAPTR example.com": answer(naptr("u.example.com"), naptr("t.example.com", services="sip+d2t"))},
            "SRV t.example.com",
        ),
    ],
)
async def test_walk_that_fails_at_one_step_is_undecided(
    replies: dict[str, Reply], question: str, failure: Failure
) -> None:
    finding, asked = await walked(replies | {question: failure})
    assert finding.kind is (LIMITED if failure.limited else UNDETERMINED)
    assert finding.reason == f"{question}: {failure.why}"
    assert asked[question] == 1


async def test_walk_that_fails_at_naptr_asks_nothing_more() -> None:
    finding, asked = await walked(UDP_OURS | A_OURS | {"NAPTR example.com": SERVFAIL})
    assert finding.kind is UNDETERMINED
    assert asked == {"NAPTR example.com": 1}


@pytest.mark.parametrize("failure", [SERVFAIL, SPENT], ids=lambda failure: failure.why)
@pytest.mark.parametrize(
    "failed",
    ["SRV _sip._udp.example.com", "SRV _sips._tcp.example.com", "AAAA ours.example.com"],
)
async def test_walk_that_fails_at_one_step_is_hosted_where_another_proves_it(
    failed: str, failure: Failure
) -> None:
    finding, _ = await walked(TCP_OURS | A_OURS | {failed: failure})
    assert (finding.kind, finding.ttl) == (HOSTED, 200)


async def test_walk_that_fails_at_srv_does_not_fall_back_on_addresses() -> None:
    finding, asked = await walked({"SRV _sip._tcp.example.com": SERVFAIL, "A example.com": answer(OURS)})
    assert finding.kind is UNDETERMINED
    assert not asked["A example.com"]


async def test_walk_short_of_our_own_budget_is_limited_rather_than_undetermined() -> None:
    finding, _ = await walked({"SRV _sip._udp.example.com": SERVFAIL, "SRV _sip._tcp.example.com": SPENT})
    assert finding.kind is LIMITED


# Negative answers.


@pytest.mark.parametrize("ttl", [0, 1, 600])
async def test_host_that_does_not_exist_is_not_hosted_after_one_question(ttl: int) -> None:
    finding, asked = await walked({"NAPTR example.com": replace(NXDOMAIN, ttl=ttl)} | UDP_OURS | A_OURS)
    assert (finding.kind, finding.ttl, asked.total()) == (NOT_HOSTED, ttl, 1)


async def test_nxdomain_at_the_end_of_an_alias_says_nothing_of_the_host() -> None:
    gone = replace(NXDOMAIN, aliases=("gone.example",))
    finding, _ = await walked({"NAPTR example.com": gone} | UDP_OURS | A_OURS)
    assert finding.kind is HOSTED


async def test_nxdomain_at_every_srv_says_nothing_of_the_host() -> None:
    names = ("_sip._udp", "_sip._tcp", "_sips._tcp")
    finding, _ = await walked(
        {f"SRV {name}.example.com": NXDOMAIN for name in names} | {"A example.com": answer(OURS)}
    )
    assert finding.kind is HOSTED


async def test_alias_to_our_name_is_hosted_though_the_name_has_no_address() -> None:
    alias = replace(NXDOMAIN, aliases=("sip.provider.example",), ttl=40)
    finding, _ = await walked({"A example.com": alias, "AAAA example.com": alias})
    assert (finding.kind, finding.ttl) == (HOSTED, 40)


# TTLs.


@pytest.mark.parametrize(
    ("naptr_ttl", "srv_ttl", "address_ttl", "least"), [(10, 20, 30, 10), (20, 10, 30, 10), (30, 20, 10, 10)]
)
async def test_hosted_lives_for_the_least_ttl_of_its_path_and_no_other(
    naptr_ttl: int, srv_ttl: int, address_ttl: int, least: int
) -> None:
    finding, _ = await walked(
        {
            "NAPTR example.com": replace(NODATA, ttl=naptr_ttl),
            "SRV _sip._udp.example.com": replace(NODATA, ttl=1),  # not on the path
            "SRV _sip._tcp.example.com": answer(srv("ours.example.com"), ttl=srv_ttl),
            "A ours.example.com": answer(OURS, ttl=address_ttl),
            "AAAA ours.example.com": replace(NODATA, ttl=2),  # neither
        }
    )
    assert (finding.kind, finding.ttl) == (HOSTED, least)


async def test_hosted_by_fallback_lives_no_longer_than_the_absence_of_srv() -> None:
    finding, _ = await walked(
        {"SRV _sips._tcp.example.com": replace(NODATA, ttl=7), "A example.com": answer(OURS)}
    )
    assert (finding.kind, finding.ttl) == (HOSTED, 7)


@pytest.mark.parametrize(
    "question",
    [
        "NAPTR example.com",
        "SRV _sip._udp.example.com",
        "SRV _sips._tcp.example.com",
        "A away.example.com",
        "AAAA away.example.com",
    ],
)
async def test_not_hosted_lives_for_the_least_ttl_of_all_that_disproved_it(question: str) -> None:
    replies: dict[str, Reply] = {"NAPTR example.com": NODATA, "AAAA away.example.com": NODATA}
    replies |= UDP_AWAY | A_AWAY | {"SRV _sips._tcp.example.com": NODATA}
    reply = replies[question]
    assert isinstance(reply, Answer | Negative)
    finding, _ = await walked(replies | {question: replace(reply, ttl=3)})
    assert (finding.kind, finding.ttl) == (NOT_HOSTED, 3)


# Addresses.


@pytest.mark.parametrize(
    ("question", "address", "kind"),
    [
        ("A", OURS, HOSTED),
        ("A", AWAY, NOT_HOSTED),
        ("AAAA", OURS6, HOSTED),
        ("AAAA", AWAY6, NOT_HOSTED),
        ("AAAA", IPv6Address("::ffff:192.0.2.10"), HOSTED),
        ("AAAA", IPv6Address("::ffff:203.0.113.9"), NOT_HOSTED),
        ("AAAA", IPv6Address("::192.0.2.10"), NOT_HOSTED),
    ],
)
async def test_address_of_the_host_is_compared_with_ours(
    question: str, address: IPv4Address | IPv6Address, kind: VerdictKind
) -> None:
    finding, _ = await walked({f"{question} example.com": answer(address)})
    assert finding.kind is kind


async def test_host_with_one_address_of_ours_among_others_is_hosted() -> None:
    finding, _ = await walked({"A example.com": answer(AWAY, IPv4Address("203.0.113.10"), OURS)})
    assert finding.kind is HOSTED


async def test_own_names_without_addresses_are_found_through_aliases_of_either_family() -> None:
    own = Own(names=OWN.names)
    reply = answer(AWAY6, aliases=("sip.provider.example",))
    finding, _ = await walked({"AAAA example.com": reply}, own=own)
    assert finding.kind is HOSTED


# Lengths.


def host_of(length: int) -> str:
    return ("a" * 50 + ".") * 4 + "b" * (length - 4 * 51 - 4) + ".com"


@pytest.mark.parametrize(("length", "asked_srv"), [(242, 3), (243, 2), (244, 0), (253, 0)])
async def test_host_too_long_for_an_srv_record_has_none_and_falls_back(length: int, asked_srv: int) -> None:
    host = host_of(length)
    assert len(host) == length
    finding, asked = await walked({f"A {host}": answer(OURS, ttl=90)}, host=host)
    assert (finding.kind, finding.ttl) == (HOSTED, 90)
    assert sum(question.startswith("SRV") for question in asked) == asked_srv


async def test_host_too_long_for_an_srv_record_is_not_hosted_for_a_finite_time() -> None:
    finding, _ = await walked({}, host=host_of(253), dns=Dns(address_fallback=False))
    assert (finding.kind, finding.ttl) == (NOT_HOSTED, 600)
    assert finding.ttl < inf


# Bounds, and the order in which they are reached.


def srv_fan(count: int, *, ours_at: int) -> dict[str, Reply]:
    """SRV records for UDP in reverse order; the target of priority `ours_at` is ours."""
    records = [srv(f"t{place}.example.com", priority=place) for place in range(count, 0, -1)]
    replies: dict[str, Reply] = {f"A t{place}.example.com": answer(AWAY) for place in range(1, count + 1)}
    replies[f"A t{ours_at}.example.com"] = answer(OURS)
    return replies | {"SRV _sip._udp.example.com": answer(*records)}


@pytest.mark.parametrize(("ours_at", "kind"), [(1, HOSTED), (11, HOSTED), (12, HOSTED), (13, UNDETERMINED)])
async def test_srv_targets_are_looked_up_by_priority_12_at_most(ours_at: int, kind: VerdictKind) -> None:
    for _ in range(20):  # Trio schedules at random
        finding, asked = await walked(srv_fan(60, ours_at=ours_at), own=OWN_UDP)
        assert finding.kind is kind
        looked_up = {question for question in asked if question.startswith("A ")}
        assert len(looked_up) <= MAX_TARGETS
        assert looked_up <= {f"A t{place}.example.com" for place in range(1, 13)}


async def test_srv_targets_are_asked_for_in_the_order_of_priority() -> None:
    for _ in range(20):
        _, asked = await walked(srv_fan(12, ours_at=0), own=OWN_UDP)
        assert [question for question in asked if question.startswith("A ")] == [
            f"A t{place}.example.com" for place in range(1, 13)
        ]


async def test_srv_target_of_several_transports_is_looked_up_once() -> None:
    target = answer(srv("away.example.com"), srv("away.example.com", 5061))
    names = ("_sip._udp", "_sip._tcp", "_sips._tcp")
    finding, asked = await walked({**A_AWAY, **{f"SRV {name}.example.com": target for name in names}})
    assert finding.kind is NOT_HOSTED
    assert (asked["A away.example.com"], asked["AAAA away.example.com"]) == (1, 1)


@pytest.mark.parametrize(
    ("count", "kind"), [(MAX_ALIASES, HOSTED), (MAX_ALIASES + 1, UNDETERMINED), (30, UNDETERMINED)]
)
async def test_aliases_of_one_answer_are_8_at_most(count: int, kind: VerdictKind) -> None:
    aliases = tuple(f"c{place}.example" for place in range(count))
    finding, _ = await walked({"A example.com": answer(OURS, aliases=aliases)}, own=OWN_UDP)
    assert finding.kind is kind


@pytest.mark.parametrize(("second", "kind"), [(3, HOSTED), (4, UNDETERMINED)])
async def test_aliases_of_a_walk_are_counted_together(second: int, kind: VerdictKind) -> None:
    first = replace(NODATA, aliases=tuple(f"first{place}.example" for place in range(5)))
    reply = answer(OURS, aliases=tuple(f"second{place}.example" for place in range(second)))
    finding, _ = await walked({"NAPTR example.com": first, "A example.com": reply}, own=OWN_UDP)
    assert finding.kind is kind


# NAPTR.


@pytest.mark.parametrize("match", Match)
async def test_naptr_of_a_higher_order_is_ignored_once_a_lower_is_accepted(match: Match) -> None:
    replies: dict[str, Reply] = {
        "NAPTR example.com": answer(
            naptr("u.example.com", order=20, preference=1), naptr("gone.example.com", order=10, preference=9)
        ),
        "SRV u.example.com": answer(srv("sip.provider.example")),
    }
    finding, asked = await walked(replies, dns=Dns(match=match))
    assert finding.kind is NOT_HOSTED
    assert not asked["SRV u.example.com"]


@pytest.mark.parametrize(
    "unusable",
    [
        naptr("u.example.com", flags="u"),
        naptr("u.example.com", flags="p"),
        naptr("u.example.com", flags="sa"),
        naptr("", flags="s"),
        naptr("u.example.com", regexp="!.*!u.example.com!"),
        naptr("", flags="u", services="e2u+sip", regexp="!^.*$!sip:a@b!"),
        naptr("u.example.com", services="sip+d2s"),  # a transport that we do not serve
        naptr("u.example.com", services="http+d2u"),
        naptr("u.example.com", services=""),
    ],
    ids=str,
)
async def test_naptr_that_cannot_be_followed_counts_as_none(unusable: Naptr) -> None:
    replies: dict[str, Reply] = {"NAPTR example.com": answer(unusable, ttl=50)}
    finding, asked = await walked(replies | UDP_OURS | A_OURS)
    assert (finding.kind, finding.ttl) == (HOSTED, 50)
    assert not asked["SRV u.example.com"]


@pytest.mark.parametrize("match", Match)
async def test_naptr_to_absent_srv_falls_back_on_the_host_s_addresses(match: Match) -> None:
    """RFC 3263 section 4.2: without SRV, also behind NAPTR, a client looks up the domain's addresses."""
    replies: dict[str, Reply] = {"NAPTR example.com": answer(naptr("gone.example.com"))}
    finding, asked = await walked(replies | UDP_OURS | {"A example.com": answer(OURS)}, dns=Dns(match=match))
    assert finding.kind is HOSTED
    assert asked["SRV gone.example.com"] == asked["A example.com"] == 1
    assert not asked["SRV _sip._udp.example.com"], "NAPTR said where SRV is"


@pytest.mark.parametrize(
    "behind",
    [
        {"SRV gone.example.com": answer(srv(""))},
        {"SRV gone.example.com": answer(srv("away.example.com"))},
        {"SRV gone.example.com": Failure(why="SERVFAIL")},
    ],
    ids=["no service", "elsewhere", "failure"],
)
async def test_naptr_to_srv_that_is_not_absent_bars_the_host_s_addresses(behind: dict[str, Reply]) -> None:
    replies: dict[str, Reply] = {"NAPTR example.com": answer(naptr("gone.example.com"))}
    finding, asked = await walked(replies | behind | {"A example.com": answer(OURS)})
    assert finding.kind is not HOSTED
    assert not asked["A example.com"]


# Hostile zones: what a walk may cost us, beside queries.


async def test_mesh_of_non_terminal_naptr_costs_a_rule_once() -> None:
    names = [f"n{number}.example.com" for number in range(40)]
    replies: dict[str, Reply] = {
        f"NAPTR {name}": answer(*(naptr(other, flags="") for other in names if other != name))
        for name in names
    }
    replies["NAPTR example.com"] = answer(*(naptr(name, flags="") for name in names))
    finding, asked = await walked(replies)
    assert finding.kind is UNDETERMINED
    assert asked.total() <= 1 + MAX_RULES
    assert len(finding.steps) <= 3 * MAX_RULES


async def test_product_of_rules_and_targets_is_looked_up_once() -> None:
    """200 rules for the same SRV with 200 targets: 40,000 ways, of which 12 targets are worth a look."""
    rules = [naptr("_sip._udp.example.com", preference=number) for number in range(200)]
    targets = [srv(f"t{number}.example.com", priority=number) for number in range(200)]
    replies: dict[str, Reply] = {
        "NAPTR example.com": answer(*rules),
        "SRV _sip._udp.example.com": answer(*targets),
    } | {f"A t{number}.example.com": answer(AWAY) for number in range(200)}
    finding, asked = await walked(replies)
    assert finding.kind is UNDETERMINED
    assert f"over {MAX_TARGETS} SRV targets" in finding.reason
    assert asked.total() <= 2 + 2 * MAX_TARGETS
    assert len(finding.steps) <= 4 + 2 * MAX_TARGETS
    assert max(len(step.records) for step in finding.steps) <= 9


async def test_target_that_several_srv_sets_name_is_looked_up_once_and_found_for_all() -> None:
    replies: dict[str, Reply] = {
        f"SRV {prefix}.example.com": answer(srv("ours.example.com", port=port))
        for prefix, port in (("_sip._udp", 5060), ("_sip._tcp", 5060), ("_sips._tcp", 5061))
    }
    finding, asked = await walked(replies | A_OURS)
    assert finding.kind is HOSTED
    assert asked["A ours.example.com"] == 1
    finding, asked = await walked(replies | {"A ours.example.com": answer(AWAY, ttl=77)})
    assert (finding.kind, finding.ttl) == (NOT_HOSTED, 77)
    assert asked["A ours.example.com"] == 1


# Time and tasks.


async def test_hosted_branch_ends_the_slower_ones(autojump_clock: trio.testing.MockClock) -> None:
    async def never() -> Reply:
        await trio.sleep_forever()
        raise AssertionError

    slow = {"SRV _sip._udp.example.com": never, "SRV _sips._tcp.example.com": never}
    began = trio.current_time()
    finding, asked = await walked(TCP_OURS | A_OURS | slow | {"AAAA ours.example.com": never})
    assert finding.kind is HOSTED
    assert trio.current_time() == began
    assert asked["SRV _sip._udp.example.com"] == asked["AAAA ours.example.com"] == 1


async def test_srv_of_all_transports_are_asked_side_by_side(autojump_clock: trio.testing.MockClock) -> None:
    async def slow() -> Reply:
        await trio.sleep(1)
        return NODATA

    names = ("_sip._udp", "_sip._tcp", "_sips._tcp")
    finding, _ = await walked(
        {f"SRV {name}.example.com": slow for name in names}
        | {"A example.com": slow, "AAAA example.com": slow}
    )
    assert finding.kind is NOT_HOSTED
    assert trio.current_time() == pytest.approx(2.0)


@pytest.mark.parametrize("question", ["NAPTR example.com", "SRV _sip._tcp.example.com", "A ours.example.com"])
async def test_walk_that_is_cancelled_leaves_no_task(question: str) -> None:
    cancelled: list[str] = []

    async def never() -> Reply:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(question)
        raise AssertionError

    before = trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as nursery:
        nursery.start_soon(walked, UDP_OURS | {question: never})
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living > before
        nursery.cancel_scope.cancel()
    assert cancelled == [question]
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_branch_that_waits_for_an_answer_of_a_cancelled_one_is_ended_with_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Two transports share a target; the one that asks for it is ended by a sibling that proves HOSTED."""

    async def never() -> Reply:
        await trio.sleep_forever()
        raise AssertionError

    both = answer(srv("shared.example.com"), srv("ours.example.com", priority=20))
    replies = {"SRV _sip._udp.example.com": both, "SRV _sip._tcp.example.com": both}

    async def later() -> Reply:
        await trio.sleep(1)
        return answer(OURS)

    finding, asked = await walked(
        {**replies, "A shared.example.com": never, "A ours.example.com": later}, own=OWN_V4
    )
    assert finding.kind is HOSTED
    assert asked["A shared.example.com"] == 1


async def test_fault_in_a_query_comes_out_and_leaves_no_task() -> None:
    async def fault() -> Reply:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    before = trio.lowlevel.current_statistics().tasks_living
    with pytest.raises(ExceptionGroup) as raised:
        await walked({"SRV _sip._tcp.example.com": fault})
    assert raised.group_contains(ZeroDivisionError)
    assert trio.lowlevel.current_statistics().tasks_living == before


@pytest.mark.parametrize(
    ("query_seconds", "walk_seconds", "why", "seconds"),
    [
        (60.0, 8.0, "over dns.walk_timeout", 8.0),
        (2.0, 8.0, "time-out", 1.0 + 2.0),
        (2.0, 2.5, "over dns.walk_timeout", 2.5),
    ],
)
async def test_walk_of_a_silent_server_ends_by_walk_timeout(
    autojump_clock: trio.testing.MockClock,
    query_seconds: float,
    walk_seconds: float,
    why: str,
    seconds: float,
) -> None:
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as silent:
        await silent.bind(("127.0.0.1", 0))
        dns = Dns(
            servers=(Endpoint(*silent.getsockname()),), timeout=query_seconds, walk_timeout=walk_seconds
        )
        finding = await Walker(Config(own=OWN, dns=dns), Upstream(dns, dns.servers)).walk(
            HOST, admitted_at=trio.current_time()
        )
    assert (finding.kind, finding.reason) == (UNDETERMINED, f"NAPTR {HOST}: {why}")
    assert trio.current_time() == pytest.approx(seconds)


# Whatever DNS answers.

NAMES = st.sampled_from([HOST, "a.example", "b.example", "sip.provider.example", "_sip._udp.example.com", ""])
TTLS = st.integers(0, 1000)
ALIASES = st.lists(NAMES.filter(bool), max_size=3).map(tuple)
RECORDS: dict[RrType, st.SearchStrategy[Record]] = {
    RrType.A: st.sampled_from([OURS, AWAY]),
    RrType.AAAA: st.sampled_from([OURS6, AWAY6]),
    RrType.SRV: st.builds(
        Srv,
        priority=st.integers(0, 2),
        weight=st.integers(0, 2),
        port=st.sampled_from([0, 5060, 5061]),
        target=NAMES,
    ),
    RrType.NAPTR: st.builds(
        Naptr,
        order=st.integers(0, 1),
        preference=st.integers(0, 1),
        flags=st.sampled_from(["s", "a", "", "u"]),
        services=st.sampled_from(["sip+d2u", "sips+d2t", "e2u+sip"]),
        regexp=st.sampled_from(["", "", "!a!b!"]),
        replacement=NAMES,
    ),
}


@st.composite
def zones(draw: st.DrawFn) -> dict[str, Reply]:
    replies: dict[str, Reply] = {}
    for name in (HOST, "a.example", "b.example", "_sip._udp.example.com", "_sip._tcp.example.com"):
        for rrtype, records in RECORDS.items():
            answers = st.builds(
                Answer,
                records=st.lists(records, min_size=1, max_size=3).map(tuple),
                ttl=TTLS,
                aliases=ALIASES,
            )
            negatives = st.builds(Negative, nxdomain=st.booleans(), ttl=TTLS, aliases=ALIASES)
            replies[f"{rrtype.name} {name}"] = draw(answers | negatives | st.just(SERVFAIL))
    return replies


@given(zones(), st.sampled_from(Match))
@settings(deadline=None, max_examples=60)
def test_walk_of_any_zone_ends_alike_each_time_and_never_turns_a_failure_into_a_no(
    replies: dict[str, Reply], match: Match
) -> None:
    async def twice() -> None:
        finding, asked = await walked(replies, dns=Dns(match=match))
        again, _ = await walked(replies, dns=Dns(match=match))
        assert finding.kind is again.kind
        assert max(asked.values()) == 1
        failed = any(isinstance(replies.get(question), Failure) for question in asked)
        if finding.kind is NOT_HOSTED:
            assert not failed
        if finding.kind in {HOSTED, NOT_HOSTED}:
            assert 0 <= finding.ttl <= 1000
            source = ttl_source(finding.kind, finding.steps)
            assert source is not None
            assert source.ttl == finding.ttl

    trio.run(twice)
