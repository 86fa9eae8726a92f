"""Datagrams lost, doubled and out of order, towards DNS and the daemon: late answers, no wrong ones."""

from collections import Counter

import trio

from fastvhost import VerdictKind, open_service
from tests.chaos.form import report, seeded
from tests.chaos.link import open_link
from tests.chaos.zone import zone_of
from tests.support import PdbClient, config_on
from tools.dnslab import open_lab

HOSTED = [f"hosted{number}.test" for number in range(20)]
ELSEWHERE = [f"elsewhere{number}.test" for number in range(20)]

ZONE = zone_of(HOSTED, *(f"{host}. A 198.51.100.7" for host in ELSEWHERE))

UNDECIDED = {VerdictKind.PENDING, VerdictKind.UNDETERMINED, VerdictKind.LIMITED}

LOSS = 0.15
"""Of each datagram; of those to a host's verdict, some dozen, so many that few walks need no retry."""

BAD_SECONDS = 1.0

RETRANSMIT = 0.25
"""Seconds until a client asks again, as a proxy does with the next retransmission of a request."""


async def test_lossy_link_makes_answers_late_and_none_wrong() -> None:
    draw = seeded()
    kinds: dict[str, Counter[VerdictKind]] = {host: Counter() for host in HOSTED + ELSEWHERE}
    right = dict.fromkeys(HOSTED, VerdictKind.HOSTED) | dict.fromkeys(ELSEWHERE, VerdictKind.NOT_HOSTED)
    async with open_lab([ZONE], unknown="nxdomain") as lab, open_link(lab.address, draw, loss=LOSS) as to_dns:
        config = config_on(lab, dns={"servers": (to_dns.address,)}, limits={"upstream_qps": 20_000})
        async with open_service(config) as service:
            assert service.pdb_endpoint is not None
            async with open_link(tuple(service.pdb_endpoint), draw, loss=LOSS) as to_us:

                async def call(host: str) -> None:
                    """Ask again and again until there is a verdict."""
                    with PdbClient(to_us.address) as client:
                        while kinds[host].keys() <= UNDECIDED:
                            with trio.move_on_after(RETRANSMIT):
                                kinds[host][await client.ask(host)] += 1
                                await trio.sleep_forever()

                with trio.fail_after(60):
                    async with trio.open_nursery() as nursery:
                        for host in right:
                            nursery.start_soon(call, host)
                        await trio.sleep(BAD_SECONDS)
                        early = sum(not counts.keys() <= UNDECIDED for counts in kinds.values())
                        lost = to_dns.lost + to_us.lost
                        to_dns.loss = to_us.loss = 0.0
    for host, counts in kinds.items():
        assert counts.keys() <= UNDECIDED | {right[host]}, host
    assert to_dns.lost
    assert to_us.lost
    report(
        f"{LOSS:.0%} of all datagrams lost, {lost} in {BAD_SECONDS:.0f} s: "
        f"{early} of {len(kinds)} hosts decided by then, all right in the end"
    )
