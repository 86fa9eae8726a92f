"""The upstream against a lab server with faults: what is an answer, who is asked next, what it costs."""

import resource
import socket
from collections.abc import AsyncIterator
from math import inf

import pytest
import trio
import trio.testing

from fastvhost.config import Dns, Endpoint
from fastvhost.limits import Bucket, Gcra
from fastvhost.resolve.account import MAX_OCTETS, MAX_QUERIES, Account, Lane
from fastvhost.resolve.reply import Answer, Failure, Negative, Reply, RrType
from fastvhost.resolve.slots import Slots
from fastvhost.resolve.upstream import Upstream
from tests.support import OURS, ZONE
from tools.dnslab import Effect, Fault, Lab, open_lab, parse_zone


def new_account(*, rate: float = 1e6, deadline: float | None = None, slots: int = 100) -> Account:
    return Account(
        lane=Lane(bucket=Bucket(Gcra(rate, 1.0)), slots=Slots(slots)),
        deadline=trio.current_time() + 10.0 if deadline is None else deadline,
    )


def upstream_on(*labs: Lab, timeout: float = 0.2) -> Upstream:
    return Upstream(Dns(timeout=timeout), [Endpoint(*lab.address) for lab in labs])


async def ask(upstream: Upstream, name: str = "edge.example", account: Account | None = None) -> Reply:
    return await upstream.query(name, RrType.A, account or new_account())


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab([ZONE]) as lab:
        yield lab


def is_ours(reply: Reply) -> bool:
    return isinstance(reply, Answer) and [str(record) for record in reply.records] == [OURS]


@pytest.mark.parametrize("effect", [Effect.WRONG_PORT_FIRST, Effect.DOUBLED])
async def test_forged_reply_that_reaches_no_socket_is_not_even_seen(lab: Lab, effect: Effect) -> None:
    """From another port it never reaches a connected socket; doubled, the second comes too late."""
    lab.faults = [Fault(effect=effect)]
    upstream = upstream_on(lab)
    assert is_ours(await ask(upstream))
    assert (lab.total, upstream.counters.strays) == (1, 0)


@pytest.mark.parametrize("effect", [Effect.WRONG_ID_FIRST, Effect.WRONG_QUESTION_FIRST])
async def test_near_miss_is_asked_about_over_tcp_and_paid_for(lab: Lab, effect: Effect) -> None:
    lab.faults = [Fault(effect=effect, transport="udp")]
    upstream = upstream_on(lab, timeout=2.0)
    account = new_account()
    assert is_ours(await ask(upstream, account=account))
    assert (lab.udp_queries, lab.tcp_queries, account.queries) == (1, 1, 2)
    assert (upstream.counters.strays, upstream.counters.near_misses) == (1, 1)


@pytest.mark.parametrize("effect", [Effect.WRONG_ID_ONLY, Effect.WRONG_QUESTION_ONLY])
async def test_near_miss_over_udp_and_tcp_is_a_failure_after_two_attempts(lab: Lab, effect: Effect) -> None:
    lab.faults = [Fault(effect=effect)]
    reply = await ask(upstream_on(lab, timeout=2.0))
    assert isinstance(reply, Failure)
    assert reply.why == "another reply than the one asked for"
    assert (lab.udp_queries, lab.tcp_queries) == (2, 2)


async def test_account_over_tcp_asks_over_tcp_and_a_server_without_it_over_udp(lab: Lab) -> None:
    account = new_account()
    account.over_tcp = True
    assert is_ours(await ask(upstream_on(lab), account=account))
    assert (lab.udp_queries, lab.tcp_queries) == (0, 1)
    lab.faults = [Fault(effect=Effect.DROP, transport="tcp")]
    assert is_ours(await ask(upstream_on(lab, timeout=0.1), account=account))
    assert (lab.udp_queries, lab.tcp_queries) == (1, 2)


async def test_question_without_a_retry_left_is_asked_once(lab: Lab) -> None:
    lab.faults = [Fault(effect=Effect.DROP)]
    account = new_account(deadline=inf)
    while account.lane.retries.take():
        pass
    upstream = upstream_on(lab, timeout=0.02)
    for _ in range(4):
        await ask(upstream, account=account)
    assert lab.total == 4
    await ask(upstream, account=account)
    assert (lab.total, upstream.counters.retries) == (6, 1), "five questions earn one retry"


async def test_answered_question_gives_its_retry_back(lab: Lab) -> None:
    account = new_account()
    while account.lane.retries.take():
        pass
    account.lane.retries.give_back()
    upstream = upstream_on(lab, timeout=2.0)
    for name in ("edge.example", "none.example", "refused.test"):
        await ask(upstream, name, account)
    assert account.lane.retries.take()


@pytest.mark.parametrize("effect", [Effect.WRONG_PORT_ONLY, Effect.DROP])
async def test_no_right_reply_is_a_timeout_after_two_attempts(lab: Lab, effect: Effect) -> None:
    lab.faults = [Fault(effect=effect)]
    reply = await ask(upstream_on(lab, timeout=0.05))
    assert isinstance(reply, Failure)
    assert reply.why == "time-out"
    assert lab.total == 2


async def test_right_reply_after_the_wrong_one_and_a_delay_is_used(lab: Lab) -> None:
    lab.faults = [Fault(effect=Effect.WRONG_ID_FIRST, delay=0.1, transport="udp")]
    assert is_ours(await ask(upstream_on(lab, timeout=2.0)))


async def test_lost_datagram_is_sent_again(lab: Lab) -> None:
    lab.faults = [Fault(effect=Effect.DROP, times=1)]
    assert is_ours(await ask(upstream_on(lab, timeout=0.05)))
    assert lab.total == 2


async def test_truncated_reply_is_asked_for_over_tcp(lab: Lab) -> None:
    lab.faults = [Fault(effect=Effect.TRUNCATE, transport="udp")]
    upstream = upstream_on(lab)
    account = new_account()
    assert is_ours(await ask(upstream, account=account))
    assert (lab.udp_queries, lab.tcp_queries) == (1, 1)
    assert (upstream.counters.udp, upstream.counters.tcp) == (1, 1)
    assert account.queries == 2


@pytest.mark.parametrize("effect", [Effect.DROP, Effect.WRONG_ID_ONLY, Effect.WRONG_QUESTION_ONLY])
async def test_truncated_reply_without_right_one_over_tcp_is_a_failure(lab: Lab, effect: Effect) -> None:
    lab.faults = [Fault(effect=Effect.TRUNCATE, transport="udp"), Fault(effect=effect, transport="tcp")]
    assert isinstance(await ask(upstream_on(lab)), Failure)


@pytest.mark.parametrize(
    ("effect", "why"),
    [
        (Effect.SERVFAIL, "SERVFAIL"),
        (Effect.REFUSED, "REFUSED"),
        (Effect.FORMERR, "FORMERR"),
        (Effect.NOTIMP, "NOTIMP"),
        (Effect.LAME, "empty answer without SOA"),
    ],
)
async def test_answer_that_proves_nothing_is_a_failure_and_not_asked_again(
    lab: Lab, effect: Effect, why: str
) -> None:
    lab.faults = [Fault(effect=effect)]
    reply = await ask(upstream_on(lab))
    assert isinstance(reply, Failure)
    assert (reply.why, lab.total) == (why, 1)
    assert not reply.limited


async def test_negative_without_soa_is_a_failure(lab: Lab) -> None:
    lab.faults = [Fault(effect=Effect.NO_SOA)]
    upstream = upstream_on(lab)
    for name, why in (("none.example", "NXDOMAIN without SOA"), ("example", "empty answer without SOA")):
        reply = await ask(upstream, name)
        assert isinstance(reply, Failure)
        assert reply.why == why


async def test_negative_lives_for_the_least_of_soa_ttl_and_minimum(lab: Lab) -> None:
    upstream = upstream_on(lab)
    nxdomain, nodata = await ask(upstream, "none.example"), await ask(upstream, "example")
    assert isinstance(nxdomain, Negative)
    assert isinstance(nodata, Negative)
    assert (nxdomain.nxdomain, nxdomain.ttl) == (True, 300)
    assert (nodata.nxdomain, nodata.ttl) == (False, 300)


@pytest.mark.parametrize("effect", [Effect.SERVFAIL, Effect.REFUSED, Effect.LAME, Effect.DROP])
async def test_second_server_is_asked_where_the_first_has_no_answer(effect: Effect) -> None:
    async with open_lab([ZONE]) as first, open_lab([ZONE]) as second:
        first.faults = [Fault(effect=effect)]
        reply = await ask(upstream_on(first, second, timeout=0.05))
        assert is_ours(reply)
        assert reply.via.server == str(Endpoint(*second.address))
        assert (first.total, second.total) == (1, 1)


async def test_server_that_is_silent_five_times_is_asked_last_for_a_while_and_then_first_again(
    lab: Lab,
) -> None:
    async with open_lab([ZONE]) as other:
        upstream = upstream_on(lab, other, timeout=0.02)
        lab.faults = [Fault(effect=Effect.DROP)]
        for _ in range(7):
            assert is_ours(await ask(upstream))
        assert (lab.total, other.total) == (5, 7)
        now = trio.current_time()
        silent, answering = Endpoint(*lab.address), Endpoint(*other.address)
        assert upstream._turns(now)[0] == answering
        assert upstream._turns(now + 10.0)[0] == silent


async def test_server_silent_about_one_zone_only_is_still_asked_first(lab: Lab) -> None:
    """Anybody can own a zone whose servers are silent: that must not cost others their first server."""
    async with open_lab([ZONE]) as other:
        upstream = upstream_on(lab, other, timeout=0.02)
        lab.faults = [Fault(effect=Effect.DROP, name="slow.example")]
        for _ in range(10):
            await ask(upstream, "slow.example")
            assert is_ours(await ask(upstream))
        assert lab.queries["edge.example", "A"] == 10
        assert other.queries["edge.example", "A"] == 0


async def test_negative_answer_of_the_first_server_is_not_doubted() -> None:
    async with open_lab([ZONE]) as first, open_lab([ZONE]) as second:
        assert isinstance(await ask(upstream_on(first, second), "none.example"), Negative)
        assert second.total == 0


async def test_closed_port_is_noticed_at_once() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        closed = Endpoint(*sock.getsockname())
    started = trio.current_time()
    reply = await ask(Upstream(Dns(timeout=60.0), [closed]))
    assert isinstance(reply, Failure)
    assert reply.why == "Connection refused"
    assert trio.current_time() - started < 30.0
    upstream, over_tcp = Upstream(Dns(timeout=60.0), [closed]), new_account()
    over_tcp.over_tcp = True
    await ask(upstream, account=over_tcp)
    assert upstream.counters.outcomes.keys() == {"Connection refused"}, "what happened, not where"


async def test_each_query_comes_from_a_fresh_port_with_a_fresh_id() -> None:
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as server:
        await server.bind(("127.0.0.1", 0))
        upstream = Upstream(Dns(timeout=0.01), [Endpoint(*server.getsockname())])
        seen = set()
        for _ in range(20):
            await ask(upstream)
            for _ in range(2):
                octets, client = await server.recvfrom(512)
                seen.add((client[1], octets[:2]))
        ports, ids = {port for port, _ in seen}, {message_id for _, message_id in seen}
        assert len(ports) > 30
        assert len(ids) > 30


async def test_query_over_a_walk_s_bound_is_not_sent(lab: Lab) -> None:
    account = new_account()
    account.queries = MAX_QUERIES - 1
    upstream = upstream_on(lab)
    assert is_ours(await ask(upstream, account=account))
    reply = await ask(upstream, account=account)
    assert isinstance(reply, Failure)
    assert reply.why == "over 24 upstream queries"
    assert lab.total == 1


async def test_reply_over_a_walk_s_octets_is_not_read(lab: Lab) -> None:
    upstream = upstream_on(lab)
    account = new_account()
    assert is_ours(await ask(upstream, account=account))
    one = account.octets
    account.octets = MAX_OCTETS - one
    assert is_ours(await ask(upstream, account=account))
    reply = await ask(upstream, account=account)
    assert isinstance(reply, Failure)
    assert reply.why == "over 65536 octets of replies"


async def test_reply_over_tcp_is_read_no_further_than_a_walk_s_octets(lab: Lab) -> None:
    lab.faults = [Fault(effect=Effect.TRUNCATE, transport="udp")]
    account = new_account()
    account.octets = MAX_OCTETS - 40
    reply = await ask(upstream_on(lab), account=account)
    assert isinstance(reply, Failure)
    assert reply.why == "over 65536 octets of replies"
    assert account.octets <= MAX_OCTETS + 1


async def test_known_lane_uses_what_the_unknown_one_leaves(lab: Lab) -> None:
    lab.faults = [Fault(delay=0.1)]
    unknown = Lane(bucket=Bucket(Gcra(10.0, 4.0)), slots=Slots(2))
    known = Lane(bucket=Bucket(Gcra(1.0, 1.0)), slots=Slots(1), spare=unknown)
    started = trio.current_time()
    upstream = upstream_on(lab, timeout=2.0)
    accounts = [Account(lane=known, deadline=started + 10.0) for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for account in accounts:
            nursery.start_soon(ask, upstream, "edge.example", account)
        await lab.wait_for_queries(3)
        assert (known.slots.value, unknown.slots.value) == (0, 0)
    assert (known.slots.value, unknown.slots.value) == (1, 2)
    now = trio.current_time()
    assert known.bucket.wait(now) > 0.0
    assert unknown.bucket.wait(now) == 0.0


async def test_query_that_its_budget_cannot_pay_in_time_is_limited_and_not_sent(lab: Lab) -> None:
    upstream = upstream_on(lab)
    account = new_account(rate=0.1, deadline=trio.current_time() + 5.0)
    assert is_ours(await ask(upstream, account=account))
    reply = await ask(upstream, account=account)
    assert isinstance(reply, Failure)
    assert reply.limited
    assert lab.total == 1


async def test_retries_and_tcp_are_paid_for(lab: Lab) -> None:
    """Two lost datagrams and a truncated one: every packet that left has drawn a token."""
    lab.faults = [
        Fault(effect=Effect.DROP, times=1),
        Fault(effect=Effect.TRUNCATE, transport="udp"),
    ]
    account = new_account()
    upstream = upstream_on(lab, timeout=0.05)
    assert is_ours(await ask(upstream, account=account))
    assert account.queries == lab.total == upstream.counters.udp + upstream.counters.tcp == 3


async def test_walk_s_deadline_ends_a_query(lab: Lab) -> None:
    lab.faults = [Fault(effect=Effect.DROP)]
    account = new_account(deadline=trio.current_time() + 0.05)
    reply = await ask(upstream_on(lab, timeout=60.0), account=account)
    assert isinstance(reply, Failure)
    assert reply.why == "over dns.walk_timeout"


async def test_query_waits_for_a_slot(lab: Lab) -> None:
    lab.faults = [Fault(delay=0.05)]
    account = new_account(slots=1)
    upstream = upstream_on(lab, timeout=2.0)
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(ask, upstream, f"n{number}.example", account)
        await lab.wait_for_queries(1)
        await trio.testing.wait_all_tasks_blocked()
        assert lab.total == 1
    assert lab.total == 3
    assert account.lane.slots.value == 1


async def test_cancelled_query_gives_its_slot_back(lab: Lab) -> None:
    lab.faults = [Fault(effect=Effect.DROP)]
    account = new_account(slots=1, deadline=inf)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, upstream_on(lab, timeout=60.0), "edge.example", account)
        await lab.wait_for_queries(1)
        nursery.cancel_scope.cancel()
    assert account.lane.slots.value == 1


async def test_no_file_descriptor_is_a_failure_and_never_a_no(lab: Lab) -> None:
    upstream = upstream_on(lab)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        highest = probe.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    try:
        reply = await ask(upstream, "none.example")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert isinstance(reply, Failure)
    assert reply.why == "no socket (Too many open files)"
    assert reply.limited, "it is we who have too few, so it is no failure of DNS"
    assert isinstance(await ask(upstream, "none.example"), Negative)


async def test_alias_that_a_server_leaves_unfinished_is_followed() -> None:

    aliases = parse_zone(
        "$ORIGIN alias.test.\n$TTL 60\n@ SOA ns h 1 2 3 4 60\n@ NS ns\na CNAME edge.example.\n"
    )
    # Two servers in one: the zone of the target is loaded only later, so the lab ends the chain there.
    async with open_lab([aliases]) as lab:
        reply = await ask(upstream_on(lab), "a.alias.test")
        assert isinstance(reply, Failure)
        assert reply.why == "REFUSED"
        assert lab.queries == {("a.alias.test", "A"): 1, ("edge.example", "A"): 1}
        lab.replace_zones([aliases, ZONE])
        reply = await ask(upstream_on(lab), "a.alias.test")
        assert is_ours(reply)
        assert isinstance(reply, Answer)
        assert (reply.aliases, reply.ttl) == (("edge.example",), 60)


async def test_outcomes_are_counted(lab: Lab) -> None:
    upstream = upstream_on(lab)
    for name in ("edge.example", "none.example", "example", "other.test"):
        await ask(upstream, name)
    assert upstream.counters.outcomes == {"NOERROR": 1, "NXDOMAIN": 1, "NODATA": 1, "REFUSED": 1}


def test_upstream_without_servers_is_refused() -> None:
    with pytest.raises(ValueError, match="no DNS server"):
        Upstream(Dns(), [])
