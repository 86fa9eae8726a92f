"""`fastvhost explain` from scratch, as people see it, on zones that a real Knot DNS serves."""

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

import pytest

from fastvhost.config import Config, Dns, Endpoint, Own, Transport
from fastvhost.explain_command.command import explain_from_scratch
from fastvhost.model import VerdictKind
from tests.documents import documented_block, without_times
from tests.knot import running_knot

HOSTED, NOT_HOSTED = VerdictKind.HOSTED, VerdictKind.NOT_HOSTED
UNDETERMINED, LIMITED = VerdictKind.UNDETERMINED, VerdictKind.LIMITED

OWN = Own(
    addresses=(ip_network("203.0.113.10"),),
    names=frozenset({"sip.own.test"}),
    ports={Transport.UDP: frozenset({5060})},
)
"""One transport and one family: nothing is asked side by side, so the walk is the same each time."""

LABEL = "a-label-as-long-as-a-label-may-be-which-is-sixty-three-of-octets"[:63]
SHORT = "one-of-thirty-five-octets-below-that"[:35]

SOA = """$TTL 600
@                 SOA   ns hostmaster 1 3600 600 86400 300
@                 NS    ns
ns                A     127.0.0.1
"""

ZONE = f"""$ORIGIN e.test.
{SOA}\
edge          400 A     203.0.113.10
other             A     198.51.100.7
naptr             NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.edge
_sip._udp.edge    SRV   10 10 5060 edge
_sip._udp.srv     SRV   10 10 5060 edge
_sip._udp.name    SRV   10 10 5060 sip.own.test.
a              20 A     203.0.113.10
chain             CNAME chain-1
chain-1           CNAME chain-2
chain-2           CNAME edge
_sip._udp.away    SRV   10 10 5060 other
nodata            TXT   "no address"
xn--bcher-kva     A     203.0.113.10
_sip._udp.half    SRV   10 10 5060 other
_sip._udp.half    SRV   20 10 5060 host.broken.test.
_sip._udp.long    SRV   10 10 5060 {LABEL}.{SHORT}
{LABEL}.{SHORT} A 203.0.113.10
"""

NO_NAPTR = """├─ NAPTR {host}
│  NODATA, TTL 300 s, T ms from KNOT
│  → no NAPTR: SRV decides
"""
NO_SRV = """├─ SRV _sip._udp.{host}
│  NXDOMAIN, TTL 300 s, T ms from KNOT
│  ✗ no SRV
"""

SHOWN = {
    "naptr.e.test": (
        HOSTED,
        """naptr.e.test: HOSTED for 400 s
  edge.e.test has our address 203.0.113.10
  TTL 400 s from A edge.e.test

naptr.e.test
└─ NAPTR naptr.e.test
   NOERROR, TTL 600 s, T ms from KNOT
     10 10 "s" "sip+d2u" "" _sip._udp.edge.e.test.
   → 1 rule to follow
   └─ SRV _sip._udp.edge.e.test
      NOERROR, TTL 600 s, T ms from KNOT
        10 10 5060 edge.e.test.
      → 1 target to look up
      └─ A edge.e.test
         NOERROR, TTL 400 s, T ms from KNOT
           203.0.113.10
         ✓ 203.0.113.10 is ours
""",
    ),
    "SRV.E.Test.": (
        HOSTED,
        f"""srv.e.test: HOSTED for 300 s
  edge.e.test has our address 203.0.113.10
  TTL 300 s from NAPTR srv.e.test

srv.e.test
{NO_NAPTR.format(host="srv.e.test")}\
└─ SRV _sip._udp.srv.e.test
   NOERROR, TTL 600 s, T ms from KNOT
     10 10 5060 edge.e.test.
   → 1 target to look up
   └─ A edge.e.test
      NOERROR, TTL 400 s, T ms from KNOT
        203.0.113.10
      ✓ 203.0.113.10 is ours
""",
    ),
    "name.e.test": (
        HOSTED,
        f"""name.e.test: HOSTED for 300 s
  SRV _sip._udp.name.e.test names sip.own.test
  TTL 300 s from NAPTR name.e.test

name.e.test
{NO_NAPTR.format(host="name.e.test")}\
└─ SRV _sip._udp.name.e.test
   NOERROR, TTL 600 s, T ms from KNOT
     10 10 5060 sip.own.test.
   ✓ sip.own.test is one of own.names
""",
    ),
    "a.e.test": (
        HOSTED,
        f"""a.e.test: HOSTED for 30 s
  a.e.test has our address 203.0.113.10
  TTL 20 s from A a.e.test, raised to 30 s by cache.hosted_ttl

a.e.test
{NO_NAPTR.format(host="a.e.test")}\
{NO_SRV.format(host="a.e.test")}\
└─ A a.e.test
   NOERROR, TTL 20 s, T ms from KNOT
     203.0.113.10
   ✓ 203.0.113.10 is ours
""",
    ),
    "Bücher.e.test": (
        HOSTED,
        f"""Bücher.e.test (xn--bcher-kva.e.test): HOSTED for 300 s
  xn--bcher-kva.e.test has our address 203.0.113.10
  TTL 300 s from SRV _sip._udp.xn--bcher-kva.e.test

xn--bcher-kva.e.test
{NO_NAPTR.format(host="xn--bcher-kva.e.test")}\
{NO_SRV.format(host="xn--bcher-kva.e.test")}\
└─ A xn--bcher-kva.e.test
   NOERROR, TTL 600 s, T ms from KNOT
     203.0.113.10
   ✓ 203.0.113.10 is ours
""",
    ),
    "chain.e.test": (
        HOSTED,
        f"""chain.e.test: HOSTED for 300 s
  chain.e.test has our address 203.0.113.10
  TTL 300 s from SRV _sip._udp.chain.e.test

chain.e.test
├─ NAPTR chain.e.test
│  NODATA, TTL 300 s, T ms from KNOT
│    CNAME chain-1.e.test.
│    CNAME chain-2.e.test.
│    CNAME edge.e.test.
│  → no NAPTR: SRV decides
{NO_SRV.format(host="chain.e.test")}\
└─ A chain.e.test
   NOERROR, TTL 400 s, T ms from KNOT
     CNAME chain-1.e.test.
     CNAME chain-2.e.test.
     CNAME edge.e.test.
     203.0.113.10
   ✓ 203.0.113.10 is ours
""",
    ),
    "away.e.test": (
        NOT_HOSTED,
        f"""away.e.test: NOT_HOSTED for 300 s
  other.e.test has addresses elsewhere
  TTL 300 s from NAPTR away.e.test

away.e.test
{NO_NAPTR.format(host="away.e.test")}\
└─ SRV _sip._udp.away.e.test
   NOERROR, TTL 600 s, T ms from KNOT
     10 10 5060 other.e.test.
   → 1 target to look up
   └─ A other.e.test
      NOERROR, TTL 600 s, T ms from KNOT
        198.51.100.7
      ✗ elsewhere
""",
    ),
    "nothing.e.test": (
        NOT_HOSTED,
        """nothing.e.test: NOT_HOSTED for 300 s
  the name does not exist
  TTL 300 s from NAPTR nothing.e.test

nothing.e.test
└─ NAPTR nothing.e.test
   NXDOMAIN, TTL 300 s, T ms from KNOT
   ✗ no such domain
""",
    ),
    "nodata.e.test": (
        NOT_HOSTED,
        f"""nodata.e.test: NOT_HOSTED for 300 s
  nodata.e.test has no address
  TTL 300 s from A nodata.e.test

nodata.e.test
{NO_NAPTR.format(host="nodata.e.test")}\
{NO_SRV.format(host="nodata.e.test")}\
└─ A nodata.e.test
   NODATA, TTL 300 s, T ms from KNOT
   ✗ no A
""",
    ),
    "broken.test": (
        UNDETERMINED,
        """broken.test: UNDETERMINED for 1 s
  NAPTR broken.test: SERVFAIL
  TTL from the back-off after 1 failure (RFC 9520)

broken.test
└─ NAPTR broken.test
   SERVFAIL, T ms from KNOT
   ? no evidence
""",
    ),
    # One target is elsewhere, of the other DNS says nothing: it might have been us.
    "half.e.test": (
        UNDETERMINED,
        f"""half.e.test: UNDETERMINED for 1 s
  A host.broken.test: SERVFAIL
  TTL from the back-off after 1 failure (RFC 9520)

half.e.test
{NO_NAPTR.format(host="half.e.test")}\
└─ SRV _sip._udp.half.e.test
   NOERROR, TTL 600 s, T ms from KNOT
     10 10 5060 other.e.test.
     20 10 5060 host.broken.test.
   → 2 targets to look up
   ├─ A other.e.test
   │  NOERROR, TTL 600 s, T ms from KNOT
   │    198.51.100.7
   │  ✗ elsewhere
   └─ A host.broken.test
      SERVFAIL, T ms from KNOT
      ? no evidence
""",
    ),
    # Names that are wider than the page go on in the next line.
    "long.e.test": (
        HOSTED,
        f"""long.e.test: HOSTED for 300 s
  {LABEL}.
    {SHORT}.e.test has our address 203.0.113.10
  TTL 300 s from NAPTR long.e.test

long.e.test
{NO_NAPTR.format(host="long.e.test")}\
└─ SRV _sip._udp.long.e.test
   NOERROR, TTL 600 s, T ms from KNOT
     10 10 5060
       {LABEL}.
       {SHORT}.e.test.
   → 1 target to look up
   └─ A
        {LABEL}.
        {SHORT}.e.test
      NOERROR, TTL 600 s, T ms from KNOT
        203.0.113.10
      ✓ 203.0.113.10 is ours
""",
    ),
    "203.0.113.10": (
        HOSTED,
        """203.0.113.10: HOSTED for 86400 s
  203.0.113.10 is one of own.addresses
  TTL from cache.hosted_ttl: DNS has no say in it
""",
    ),
    "[2001:DB8::1]": (
        NOT_HOSTED,
        """[2001:db8::1]: NOT_HOSTED for 3600 s
  2001:db8::1 is none of own.addresses
  TTL from cache.not_hosted_ttl: DNS has no say in it
""",
    ),
    "foo_bar": (
        VerdictKind.MALFORMED,
        """foo_bar: MALFORMED
  not a host: a character that no host may have
""",
    ),
}


@pytest.fixture(scope="module")
def knot() -> Iterator[Endpoint]:
    with running_knot({"e.test": ZONE}, unloadable={"broken.test": "no zone\n"}) as endpoint:
        yield endpoint


def explained(config: Config, host: str) -> tuple[VerdictKind, str]:
    """What is shown, with the same time and server everywhere."""
    kind, shown = explain_from_scratch(config, host, as_json=False)
    return kind, re.sub(r"[0-9]+\.[0-9] ms from 127\.0\.0\.1:[0-9]+", "T ms from KNOT", shown) + "\n"


@pytest.mark.server("knotd")
@pytest.mark.parametrize("host", SHOWN)
def test_explanation_of_a_host_reads_as_it_should(knot: Endpoint, host: str) -> None:
    config = Config(own=OWN, dns=Dns(servers=(knot,)))
    assert explained(config, host) == SHOWN[host]
    assert all(len(line) <= 80 for line in SHOWN[host][1].split("\n"))


@pytest.mark.server("knotd")
def test_explanation_as_json_has_verdict_steps_and_what_is_published(knot: Endpoint) -> None:
    kind, shown = explain_from_scratch(Config(own=OWN, dns=Dns(servers=(knot,))), "a.e.test", as_json=True)
    found = json.loads(shown)
    steps = found["verdict"].pop("steps")
    assert kind is HOSTED
    assert found == {
        "host": "a.e.test",
        "verdict": {
            "kind": "HOSTED",
            "ttl": pytest.approx(30, abs=1),
            "reason": "a.e.test has our address 203.0.113.10",
            "stale": False,
            "failures": 0,
            "ttl_from": {"question": "A a.e.test", "ttl": 20},
        },
        "published": {"did": None, "aliases": [], "attributes": [], "skipped": []},
    }
    assert [step["question"] for step in steps] == ["NAPTR a.e.test", "SRV _sip._udp.a.e.test", "A a.e.test"]
    assert 0 < steps[2].pop("seconds") < 10
    assert steps[2] == {
        "depth": 0,
        "question": "A a.e.test",
        "rcode": "NOERROR",
        "records": ["203.0.113.10"],
        "ttl": 20,
        "server": str(knot),
        "proved": "203.0.113.10 is ours",
        "kind": "HOSTED",
    }


def test_server_that_does_not_answer_is_named_with_the_time_it_was_given() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dns = Dns(servers=(Endpoint(*silent.getsockname()),), timeout=0.05)
        kind, shown = explained(Config(own=OWN, dns=dns), "a.e.test")
    assert kind is UNDETERMINED
    assert (
        shown
        == """a.e.test: UNDETERMINED for 1 s
  NAPTR a.e.test: time-out
  TTL from the back-off after 1 failure (RFC 9520)

a.e.test
└─ NAPTR a.e.test
   time-out, T ms from KNOT
   ? no evidence
"""
    )


@pytest.mark.server("knotd")
def test_budget_that_is_spent_on_the_way_is_said_where_it_ended(knot: Endpoint) -> None:
    config = Config(own=OWN, dns=Dns(servers=(knot,), timeout=0.2, walk_timeout=0.3))
    config = replace(config, limits=replace(config.limits, upstream_qps=1, upstream_inflight=1))
    kind, shown = explained(config, "srv.e.test")
    assert kind is LIMITED
    assert shown.startswith(
        f"""srv.e.test: LIMITED
  SRV _sip._udp.srv.e.test: limits.upstream_qps is spent

srv.e.test
{NO_NAPTR.format(host="srv.e.test")}\
└─ SRV _sip._udp.srv.e.test
   limits.upstream_qps is spent, T ms from KNOT
   ? no evidence
"""
    )


@pytest.mark.server("knotd")
def test_explanation_in_the_readme_is_what_is_shown() -> None:
    zone = f"$ORIGIN example.com.\n{SOA}_sip._udp SRV 10 10 5060 edge\nedge A 203.0.113.10\n"
    with running_knot({"example.com": zone}) as knot:
        _, shown = explain_from_scratch(
            Config(own=OWN, dns=Dns(servers=(knot,))), "example.com", as_json=False
        )
    assert without_times(f"{shown}\n") == without_times(documented_block("README.md", "explain"))
