"""The configuration file: what is read, and what every mistake is told."""

import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvhost.config import Cache, Config, Dns, Domains, Endpoint, Limits, Listen, Match, Own, Transport
from fastvhost.config_file import load_config, parse_config, parse_endpoint
from fastvhost.errors import ConfigError

OWN = 'own.names = ["sip.example.net"]\n'

EVERY_KEY = """
[own]
addresses = ["203.0.113.10", "2001:db8::10", "198.51.100.0/24"]
names = ["sip.example.net"]
ports = { udp = [5060, 5062], tls = [5061], sctp = [1], ws = [80], wss = [65535] }

[listen]
pdb = "[::1]:5399"
dns = "[::1]:5398"
admin = "[::1]:5397"
zone = "Ours.Example."
allow = ["10.0.0.0/8"]
answer_within = 0.1

[dns]
servers = ["192.0.2.53", "192.0.2.54:5353", "2001:db8::53", "[2001:db8::54]:5353"]
trusted = true
timeout = 1
walk_timeout = 0.5
match = "first"
address_fallback = false

[cache]
hosted_entries = 10
unknown_entries = 20
hosted_ttl = [0, 60]
not_hosted_ttl = [1.5, 1.5]
stale = 0
snapshot = "/var/lib/fastvhost/snapshot"
snapshot_every = 60

[limits]
upstream_qps = 50
upstream_inflight = 8
source_rate = 2.5
source_prefix = [24, 48]
zone_rate = 5
waiters = 3

[domains]
always = ["example.com", ".example.org"]
never = ["example.org"]
"""


def complaint(text: str) -> str:
    """What an operator is told about this file, without its name."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, name="f.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("f.toml: ")
    return message.removeprefix("f.toml: ")


def own(line: str) -> Own:
    return parse_config(f"[own]\n{line}", name="f.toml").own


def read(line: str) -> Config:
    return parse_config(OWN + line, name="f.toml")


def test_config_with_every_key_is_read_whole() -> None:
    assert parse_config(EVERY_KEY, name="f.toml") == Config(
        own=Own(
            addresses=(
                ip_network("203.0.113.10/32"),
                ip_network("2001:db8::10/128"),
                ip_network("198.51.100.0/24"),
            ),
            names=frozenset({"sip.example.net"}),
            ports={
                Transport.UDP: frozenset({5060, 5062}),
                Transport.TLS: frozenset({5061}),
                Transport.SCTP: frozenset({1}),
                Transport.WS: frozenset({80}),
                Transport.WSS: frozenset({65535}),
            },
        ),
        listen=Listen(
            pdb=Endpoint("::1", 5399),
            dns=Endpoint("::1", 5398),
            admin=Endpoint("::1", 5397),
            zone="ours.example",
            allow=(ip_network("10.0.0.0/8"),),
            answer_within=0.1,
        ),
        dns=Dns(
            servers=(
                Endpoint("192.0.2.53", 53),
                Endpoint("192.0.2.54", 5353),
                Endpoint("2001:db8::53", 53),
                Endpoint("2001:db8::54", 5353),
            ),
            trusted=True,
            timeout=1.0,
            walk_timeout=0.5,
            match=Match.FIRST,
            address_fallback=False,
        ),
        cache=Cache(
            hosted_entries=10,
            unknown_entries=20,
            hosted_ttl=(0.0, 60.0),
            not_hosted_ttl=(1.5, 1.5),
            stale=0.0,
            snapshot="/var/lib/fastvhost/snapshot",
            snapshot_every=60.0,
        ),
        limits=Limits(
            upstream_qps=50.0,
            upstream_inflight=8,
            source_rate=2.5,
            source_prefix=(24, 48),
            zone_rate=5.0,
            waiters=3,
        ),
        domains=Domains(always=("example.com", ".example.org"), never=("example.org",)),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OWN, Own(names=frozenset({"sip.example.net"}))),
        ('own.addresses = ["192.0.2.1"]', Own(addresses=(ip_network("192.0.2.1"),))),
    ],
)
def test_config_with_only_own_takes_every_default(text: str, expected: Own) -> None:
    assert parse_config(text, name="f.toml") == Config(own=expected)


def test_config_with_empty_sections_takes_every_default() -> None:
    assert read("listen = {}\ndns = {}\ncache = {}\nlimits = {}\ndomains = {}") == parse_config(OWN, name="f")


def test_number_written_as_integer_becomes_float() -> None:
    rate = read("limits.source_rate = 1").limits.source_rate
    assert (rate, type(rate)) == (1.0, float)


@pytest.mark.parametrize(
    ("line", "networks"),
    [
        ('["::ffff:192.0.2.1"]', ["192.0.2.1/32"]),
        ('["::ffff:192.0.2.0/120"]', ["192.0.2.0/24"]),
        ('["::ffff:0:0/96"]', ["0.0.0.0/0"]),
        ('["::fffe:0:0/95"]', ["::fffe:0:0/95"]),
        ('["192.0.2.1", "192.0.2.1/32", "::ffff:192.0.2.1"]', ["192.0.2.1/32"]),
        ('["192.0.2.9", "192.0.2.1", "192.0.2.9"]', ["192.0.2.9/32", "192.0.2.1/32"]),
    ],
)
def test_own_addresses_mapped_or_repeated_become_one_ipv4_network(line: str, networks: list[str]) -> None:
    assert own(f"addresses = {line}").addresses == tuple(map(ip_network, networks))


def test_own_names_in_any_spelling_become_canonical_and_collapse() -> None:
    names = own('names = ["SIP.Example.NET.", "sip.example.net", "Bücher.example"]').names
    assert names == {"sip.example.net", "xn--bcher-kva.example"}


def test_own_ports_repeated_collapse() -> None:
    assert own('names = ["a"]\nports = { udp = [5060, 5060] }').ports == {Transport.UDP: frozenset({5060})}


def test_domains_in_any_spelling_become_canonical_and_collapse_in_order() -> None:
    entries = ["B.example.", ".Bücher.Example", "b.example", "a.example", ".xn--bcher-kva.example."]
    assert read(f"domains.always = {entries}").domains.always == (
        "b.example",
        ".xn--bcher-kva.example",
        "a.example",
    )


def test_domains_name_always_and_its_suffix_never_are_different_entries() -> None:
    domains = read('domains = { always = ["a.example"], never = [".a.example"] }').domains
    assert domains == Domains(always=("a.example",), never=(".a.example",))


@pytest.mark.parametrize(
    ("entry", "endpoint"),
    [
        ("192.0.2.1", Endpoint("192.0.2.1", 53)),
        ("192.0.2.1:1", Endpoint("192.0.2.1", 1)),
        ("192.0.2.1:65535", Endpoint("192.0.2.1", 65535)),
        ("2001:DB8:0::1", Endpoint("2001:db8::1", 53)),
        ("::1:53", Endpoint("::1:53", 53)),
        ("[::1]:5353", Endpoint("::1", 5353)),
        ("::ffff:192.0.2.1", Endpoint("192.0.2.1", 53)),
    ],
)
def test_dns_server_in_each_form_is_an_endpoint(entry: str, endpoint: Endpoint) -> None:
    assert read(f'dns.servers = ["{entry}"]').dns.servers == (endpoint,)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.1", Endpoint("192.0.2.1", 5380)),
        ("192.0.2.1:1", Endpoint("192.0.2.1", 1)),
        ("::1", Endpoint("::1", 5380)),
        ("[::1]:65535", Endpoint("::1", 65535)),
    ],
)
def test_endpoint_in_each_form_is_read(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text, default_port=5380) == endpoint


@pytest.mark.parametrize("text", ["", "localhost", "192.0.2.1:0", "192.0.2.1:65536", "[::1]:", "\udcff"])
def test_endpoint_of_no_known_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_endpoint(text, default_port=5380)
    assert str(caught.value).startswith(f"endpoint: found {text!r}; allowed: ")


def test_dns_servers_repeated_collapse_in_order() -> None:
    servers = read('dns.servers = ["192.0.2.2", "192.0.2.1", "192.0.2.2:53"]').dns.servers
    assert servers == (Endpoint("192.0.2.2", 53), Endpoint("192.0.2.1", 53))


@pytest.mark.parametrize(
    ("entry", "endpoint"),
    [
        ("", None),
        ("127.0.0.1:0", Endpoint("127.0.0.1", 0)),
        ("0.0.0.0:65535", Endpoint("0.0.0.0", 65535)),
        ("[::]:5380", Endpoint("::", 5380)),
    ],
)
def test_listen_endpoint_in_each_form_is_an_endpoint_or_off(entry: str, endpoint: Endpoint | None) -> None:
    assert read(f'listen.pdb = "{entry}"').listen.pdb == endpoint
    assert read(f'listen.dns = "{entry}"').listen.dns == endpoint


def test_walk_timeout_under_timeout_is_allowed() -> None:
    dns = read("dns = { timeout = 5, walk_timeout = 1 }").dns
    assert (dns.timeout, dns.walk_timeout) == (5.0, 1.0)


# Ranges: the last value inside and the first one outside, at both ends.
RANGES = [
    ("listen.answer_within", "0.001", "10", "0.00099", "10.001"),
    ("dns.timeout", "0.05", "60", "0.049", "60.1"),
    ("dns.walk_timeout", "0.05", "300", "0", "300.1"),
    ("cache.hosted_entries", "1", "100_000_000", "0", "100_000_001"),
    ("cache.unknown_entries", "1", "100_000_000", "0", "100_000_001"),
    ("cache.hosted_ttl", "[0, 0]", "[0, 2147483647]", "[-1, 0]", "[0, 2147483648]"),
    ("cache.not_hosted_ttl", "[0, 0]", "[0, 2147483647]", "[-0.1, 0]", "[0, 2147483647.5]"),
    ("cache.stale", "0", "2147483647", "-1", "2147483648"),
    ("cache.snapshot_every", "1", "86_400", "0.9", "86_401"),
    ("limits.upstream_qps", "1", "1_000_000", "0.9", "1_000_001"),
    ("limits.upstream_inflight", "1", "65535", "0", "65536"),
    ("limits.source_rate", "1", "1_000_000", "-1", "1_000_000.5"),
    ("limits.source_queries", "0", "1_000_000", "-1", "1_000_001"),
    ("limits.source_prefix", "[0, 0]", "[32, 128]", "[0, -1]", "[33, 64]"),
    ("limits.source_prefix", "[0, 128]", "[32, 0]", "[-1, 0]", "[32, 129]"),
    ("limits.zone_rate", "1", "1_000_000", "0", "1e7"),
    ("limits.waiters", "1", "1_000_000", "0", "1_000_001"),
    ("log.per_minute", "1", "1_000_000", "0", "1_000_001"),
    ("log.queries", "0", "1", "-0.1", "1.01"),
    ("own.ports.udp", "[1]", "[65535]", "[0]", "[65536]"),
    ("listen.pdb", '"192.0.2.1:0"', '"192.0.2.1:65535"', '"192.0.2.1:-1"', '"192.0.2.1:65536"'),
    ("dns.servers", '["192.0.2.1:1"]', '["192.0.2.1:65535"]', '["192.0.2.1:0"]', '["[::1]:65536"]'),
]


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, *inside, _, _ in RANGES for value in inside]
)
def test_value_at_the_end_of_its_range_is_taken(key: str, value: str) -> None:
    read(f"{key} = {value}")


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, _, _, *outside in RANGES for value in outside]
)
def test_value_past_the_end_of_its_range_is_refused_by_key(key: str, value: str) -> None:
    message = complaint(f"{OWN}{key} = {value}")
    assert message.startswith(f"{key}: found ")
    assert "; allowed: " in message


@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf", "true", '"1"', "[1]", "{}", "1979-05-27"])
@pytest.mark.parametrize("key", ["limits.source_rate", "cache.stale", "dns.timeout", "limits.waiters"])
def test_number_that_is_none_is_refused_by_key(key: str, value: str) -> None:
    assert complaint(f"{OWN}{key} = {value}").startswith(f"{key}: found ")


@pytest.mark.parametrize("key", ["cache.hosted_ttl", "cache.not_hosted_ttl", "limits.source_prefix"])
@pytest.mark.parametrize("value", ["5", "[]", "[5]", "[5, 6, 7]", "[true, 5]", '["5", 6]', "[nan, 5]"])
def test_pair_of_the_wrong_kind_is_refused_by_key(key: str, value: str) -> None:
    assert complaint(f"{OWN}{key} = {value}").startswith(f"{key}: found ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("own", "3"),
        ("own", '["192.0.2.1"]'),
        ("own.addresses", '"192.0.2.1"'),
        ("own.addresses", "[1]"),
        ("own.names", '"a"'),
        ("own.names", "[true]"),
        ("own.ports", "[5060]"),
        ("own.ports.udp", "5060"),
        ("own.ports.udp", "[true]"),
        ("own.ports.udp", "[5060.0]"),
        ("own.ports.udp", '["5060"]'),
        ("listen", "[]"),
        ("listen.pdb", "5380"),
        ("listen.pdb", "false"),
        ("listen.dns", "5381"),
        ("listen.allow", '"127.0.0.1"'),
        ("dns.servers", '"192.0.2.1"'),
        ("dns.servers", "[53]"),
        ("dns.trusted", "1"),
        ("dns.trusted", '"yes"'),
        ("dns.match", "true"),
        ("dns.match", '["any"]'),
        ("dns.match", '"ANY"'),
        ("cache.hosted_entries", "10.0"),
        ("limits.source_prefix", "[24.0, 64]"),
        ("domains.always", '"example.com"'),
        ("domains.never", "[1]"),
        ("log.level", '"debug"'),
        ("log.format", "true"),
    ],
)
def test_value_of_the_wrong_kind_is_refused_by_key(key: str, value: str) -> None:
    text = f"{key} = {value}" if key.startswith("own") else f"{OWN}{key} = {value}"
    message = complaint(text)
    assert message.startswith(f"{key}: found ")
    assert "; allowed: " in message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("limits.source_rate = -1", "limits.source_rate: found -1; allowed: a number from 1 to 1_000_000"),
        ("dns.match = 'best'", 'dns.match: found \'best\'; allowed: "any" or "first"'),
        (
            "cache.stail = 5",
            (
                "cache.stail: unknown, with value 5; did you mean stale? "
                "allowed: hosted_entries, unknown_entries, hosted_ttl, not_hosted_ttl, stale, snapshot, "
                "snapshot_every"
            ),
        ),
        (
            "[limit]\nwaiters = 1",
            (
                "limit: unknown, with value {'waiters': 1}; did you mean limits? "
                "allowed: own, listen, dns, cache, limits, domains, attributes, housekeeping, proxies, log"
            ),
        ),
    ],
)
def test_mistake_is_told_in_these_words(line: str, message: str) -> None:
    assert complaint(OWN + line) == message


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("domains.db", "'domains.db'"),
        ("sqlite://", "'sqlite:...'"),
        ("sqlite:///", "'sqlite:...'"),
        ("postgresql://kamailio:hidden@db/kamailio", "'postgresql:...'"),
        ("mysql://kamailio:hidden@db/kamailio", "'mysql:...'"),
    ],
)
def test_store_of_no_known_form_is_refused_without_its_password(url: str, found: str) -> None:
    message = complaint(f'{OWN}domains.store = "{url}"')
    assert message.startswith(f'domains.store: found {found}; allowed: "sqlite:///FILE", ')
    assert "hidden" not in message


@pytest.mark.parametrize("path", ["/", ".", "./"])
def test_snapshot_that_names_no_file_is_refused(path: str) -> None:
    assert complaint(f'{OWN}cache.snapshot = "{path}"').startswith(f"cache.snapshot: found {path!r}; ")


@pytest.mark.parametrize("face", ["pdb", "admin"])
def test_listen_dns_at_the_address_of_another_face_is_refused(face: str) -> None:
    message = complaint(f'{OWN}[listen]\n{face} = "127.0.0.1:5400"\ndns = "127.0.0.1:5400"')
    assert message == f"listen.{face}: found '127.0.0.1:5400'; allowed: another address than dns"


def test_listen_pdb_and_admin_may_have_one_port_and_all_a_free_one() -> None:
    read('[listen]\npdb = "[::1]:5400"\nadmin = "[::1]:5400"')
    read('[listen]\npdb = "[::1]:0"\ndns = "[::1]:0"\nadmin = "[::1]:0"')


@pytest.mark.parametrize(
    ("line", "start", "hint"),
    [
        ("Limits.waiters = 1", "Limits: unknown", "did you mean limits?"),
        ("dns.server = []", "dns.server: unknown", "did you mean servers?"),
        ("cache.HOSTED_TTL = 1", "cache.HOSTED_TTL: unknown", "did you mean hosted_ttl?"),
        ("own.ports.UDP = [1]", "own.ports.UDP: unknown", "did you mean udp?"),
        ("own.ports.dccp = [1]", "own.ports.dccp: unknown", "allowed: udp, tcp, tls, sctp, ws, wss"),
        ("zzz = 1", "zzz: unknown", "allowed: own, listen, dns, cache, limits, domains, attributes"),
        ('dns."a\\nb" = 1', "dns.'a\\nb': unknown", "allowed: servers"),
        ('"" = 1', "'': unknown", "allowed: own"),
    ],
)
def test_key_unknown_names_the_nearest_and_the_known(line: str, start: str, hint: str) -> None:
    message = complaint(OWN + line)
    assert message.startswith(start)
    assert hint in message


@pytest.mark.parametrize(
    "key",
    ["listen.https", "listen.http", "dns.build", "dns.self"],
)
def test_key_of_no_known_part_is_unknown(key: str) -> None:
    assert complaint(f'{OWN}{key} = "x"').startswith(f"{key}: unknown, with value 'x'; ")


@pytest.mark.parametrize("text", ["", "# nothing\n", "dns.trusted = true"])
def test_own_missing_is_refused(text: str) -> None:
    assert complaint(text).startswith("own: missing")


@pytest.mark.parametrize(
    "text", ["[own]", "own.addresses = []\nown.names = []", "own.ports = { udp = [5060] }"]
)
def test_own_with_neither_addresses_nor_names_is_refused(text: str) -> None:
    assert complaint(text).startswith("own: found neither addresses nor names; ")


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("203.0.113.10/24", "the network 203.0.113.0/24, or the one address 203.0.113.10"),
        ("2001:db8::10/64", "the network 2001:db8::/64, or the one address 2001:db8::10"),
        ("0.0.0.1/0", "the network 0.0.0.0/0, "),
    ],
)
@pytest.mark.parametrize("key", ["own.addresses", "listen.allow"])
def test_network_with_host_bits_names_the_network_it_would_be(key: str, entry: str, hint: str) -> None:
    own_names = "" if key.startswith("own") else OWN
    assert complaint(f'{own_names}{key} = ["{entry}"]').startswith(f"{key}: found '{entry}'; allowed: {hint}")


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " 192.0.2.1",
        "192.0.2.1\\n",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.01",
        "192.0.2.1/33",
        "192.0.2.1/",
        "192.0.2.1/-1",
        "192.0.2.1/32/32",
        "192.0.2.0/255.255.255.0",
        "192.0.2.0/0.0.0.255",
        "192.0.2.1:5060",
        "::1/129",
        "[::1]",
        "fe80::1%eth0",
        "fe80::1%eth0/64",
        "example.com",
        "1",
        "\uff1192.0.2.1",  # a full-width digit
    ],
)
def test_network_of_no_known_form_is_refused(entry: str) -> None:
    assert complaint(f'own.addresses = ["{entry}"]').startswith("own.addresses: found '")


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("", "empty"),
        ("a_b.example", "a character that no host may have"),
        ("*.example", "a character that no host may have"),
        ("a..example", "an empty label"),
        ("sip.example.net:5060", "a port"),
        ("example.1", "must begin with a letter"),
        ("😀.example", "IDNA 2008"),
        ("192.0.2.1", "addresses belong in own.addresses"),
        ("[2001:db8::1]", "addresses belong in own.addresses"),
    ],
)
@pytest.mark.parametrize("key", ["own.names", "domains.always", "domains.never"])
def test_host_name_that_is_none_is_refused_with_the_reason(key: str, entry: str, hint: str) -> None:
    message = complaint(f'own.addresses = ["192.0.2.1"]\n{key} = ["{entry}"]')
    assert message.startswith(f"{key}: found {entry!r}; allowed: a host name such as ")
    assert hint in message


@pytest.mark.parametrize("entry", [".", "..", "..example", ".192.0.2.1", ".[::1]", ".a_b", ".*.example"])
def test_domains_suffix_of_no_host_name_is_refused_as_written(entry: str) -> None:
    assert complaint(f'{OWN}domains.never = ["{entry}"]').startswith(f"domains.never: found '{entry}'; ")


def test_own_name_that_is_a_suffix_is_refused() -> None:
    assert complaint('own.names = [".example.net"]').startswith("own.names: found '.example.net'; ")


@pytest.mark.parametrize(
    ("always", "never"),
    [("a.example", "A.Example."), (".a.example", ".A.example"), ("é.example", "xn--9ca.example")],
)
def test_domains_always_and_never_with_one_entry_are_refused(always: str, never: str) -> None:
    message = complaint(f'{OWN}domains = {{ always = ["{always}"], never = ["b.example", "{never}"] }}')
    assert message.startswith("domains.never: found '")
    assert "domains.always" in message


@pytest.mark.parametrize(
    "entry", ["", "localhost", "192.0.2.1:", "[::1]:", "[192.0.2.1]:53", "::1%lo", "192.0.2.1:5x"]
)
def test_dns_server_of_no_known_form_is_refused(entry: str) -> None:
    assert complaint(f'{OWN}dns.servers = ["{entry}"]').startswith(f"dns.servers: found '{entry}'; ")


@pytest.mark.parametrize(
    "entry",
    [
        " ",
        "127.0.0.1",
        "::1",
        "[::1]",
        "::1:5380",
        "localhost:5380",
        ":5380",
        "127.0.0.1:5380 ",
        "127.0.0.1:٣",
    ],
)
@pytest.mark.parametrize("key", ["listen.pdb", "listen.dns", "listen.admin"])
def test_listen_endpoint_of_no_known_form_is_refused(key: str, entry: str) -> None:
    assert complaint(f'{OWN}{key} = "{entry}"').startswith(f"{key}: found '{entry}'; ")


@pytest.mark.parametrize("value", ['""', '"."', '"a_b"', '"192.0.2.1"', '"[::1]"', '"example.1"', "5", "[]"])
def test_listen_zone_that_is_no_name_is_refused(value: str) -> None:
    message = complaint(f"{OWN}listen.zone = {value}")
    assert message.startswith("listen.zone: found ")
    assert message.endswith('; allowed: the name of a zone such as "vhost.internal"')


def test_own_ports_without_a_port_are_refused() -> None:
    assert complaint(f"{OWN}own.ports.tcp = []").startswith(
        "own.ports.tcp: found []; allowed: at least one port"
    )


def test_own_ports_without_a_transport_are_refused() -> None:
    assert complaint(f"{OWN}own.ports = {{}}").startswith(
        "own.ports: found {}; allowed: at least one of udp, "
    )


@pytest.mark.parametrize("key", ["cache.hosted_ttl", "cache.not_hosted_ttl"])
def test_ttl_floor_over_ceiling_is_refused(key: str) -> None:
    assert complaint(f"{OWN}{key} = [5.1, 5]").startswith(f"{key}: found [5.1, 5]; allowed: a floor that")


@pytest.mark.parametrize(("length", "shown"), [(58, "'" + "x" * 58 + "'"), (59, "'" + "x" * 56 + "...")])
def test_value_shown_is_cut_at_60_characters(length: int, shown: str) -> None:
    assert complaint(f'{OWN}dns.match = "{"x" * length}"').startswith(f"dns.match: found {shown}; allowed")


@pytest.mark.parametrize(
    "line",
    [
        "limits.waiters = 0x" + "f" * 5000,  # more digits than int -> str converts
        "limits.source_rate = 0x" + "f" * 5000,
        "dns.x." + "a." * 2_000 + "a = 1",  # deeper than repr goes
    ],
)
def test_value_too_large_to_show_is_refused_by_key(line: str) -> None:
    assert "<too large to show>" in complaint(OWN + line)


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 5000, "[" * 5000 + "]" * 5000])
def test_value_too_large_to_parse_is_refused(value: str) -> None:
    assert complaint(f"x = {value}").startswith("not TOML")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[own]\nnames = [", "at end of document"),
        ("[own]\nnames = 'a", "at end of document"),
        ("[own]\nnames : 1", "at line 2, column 7"),
        ("[own]\nnames = []\nnames = []", "Cannot overwrite a value"),
        ("a = 2023-02-30", "at line 1, column 5"),
        ("\ufeff[own]", "at line 1, column 1"),
    ],
)
def test_toml_with_a_syntax_error_names_the_place(text: str, place: str) -> None:
    message = complaint(text)
    assert message.startswith("not TOML: ")
    assert place in message


def test_file_that_is_right_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "fastvhost.toml"
    path.write_bytes(EVERY_KEY.replace("\n", "\r\n").encode())
    assert load_config(path) == parse_config(EVERY_KEY, name="f.toml")


def test_file_with_a_mistake_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "fastvhost.toml"
    path.write_text("dns = 1")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: dns: found 1; ")


def test_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "none.toml")
    assert str(caught.value) == f"{tmp_path}/none.toml: cannot be read: No such file or directory"


def test_file_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_file_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests may run as root, whom no file mode stops.
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "f.toml")
    assert str(caught.value) == f"{tmp_path}/f.toml: cannot be read: Permission denied"


def test_file_that_is_not_utf8_is_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "latin1.toml"
    path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: not UTF-8: invalid continuation byte at octet 5"


@given(st.text() | st.text("[]{}=.,\"'\\\n#:- ownlistedpacm0159_+tfxe", max_size=60))
@settings(deadline=None)
def test_text_of_any_kind_is_a_config_or_one_config_error(text: str) -> None:
    try:
        parse_config(text, name="f.toml")
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  either outcome is right


SECTIONS = ["own", "listen", "dns", "cache", "limits", "domains"]
KEYS = [
    *SECTIONS,
    *(f"{section}.x" for section in SECTIONS),
    *(key for key, *_ in RANGES),
    *("own.addresses", "own.names", "own.ports", "listen.allow", "domains.always", "domains.never"),
    *("dns.trusted", "dns.match", "dns.address_fallback"),
]
TOML_VALUES = [
    *("1", "-1", "0", "0.5", "1e400", "nan", "true", "07:32:00", "1979-05-27T07:32:00Z"),
    *('""', '"a"', '".a"', '"::1"', '"[::1]:1"', '"192.0.2.1:5"'),
    *("[]", "{}", "[[]]", "[{}]", "[1, 2]", '["a", "192.0.2.1"]', '["::/0"]'),
]


@given(key=st.sampled_from(KEYS), value=st.sampled_from(TOML_VALUES))
@settings(deadline=None, max_examples=300)
def test_key_with_any_value_is_read_or_named_in_the_error(key: str, value: str) -> None:
    try:
        parse_config(f"{key} = {value}", name="f.toml")
    except ConfigError as error:
        assert str(error).startswith((f"f.toml: {key}: ", "f.toml: own: "))  # noqa: PT017  either is right


def test_import_loads_neither_trio_nor_dnspython_nor_idna() -> None:
    loaded = (
        "import sys, fastvhost.config_file; print(*({'trio', 'dns', 'idna', 'asyncio'} & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent
    run = subprocess.run([sys.executable, "-c", loaded], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_keys_of_known_domains_are_read() -> None:
    domains = """
[domains]
store = ""
schema = "opensips"
learn = "token"
secret_file = "/etc/secret"
poll = 5
did = { "B.test" = "A" }
[attributes]
allow = { Color = "string", size = "integer" }
prefix = "x."
trust_auth = true
[housekeeping]
negatives = 5
over = 7200
[proxies]
kamailio = ["udp:127.0.0.1:8090", "unix:/run/k.sock"]
htable = "vh"
evapi = ["tcp:127.0.0.1:8448", "tcp:[::1]:1"]
"""
    config = parse_config(OWN + domains, name="f.toml")
    assert (config.domains.schema.value, config.domains.learn.value) == ("opensips", "token")
    assert config.domains.did == {"b.test": "A"}
    assert {key: kind.name for key, kind in config.attributes.allow.items()} == {
        "color": "STRING",
        "size": "INTEGER",
    }
    assert config.housekeeping.over == 7200.0
    assert config.proxies.kamailio == ("udp:127.0.0.1:8090", "unix:/run/k.sock")
    assert config.proxies.evapi == (("127.0.0.1", 8448), ("::1", 1))


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ('domains.learn = "yes"', 'domains.learn: found \'yes\'; allowed: "open" or "token"'),
        ("domains.store = 1", "domains.store: found 1; allowed: printable ASCII text"),
        (
            'attributes.allow = { a = "float" }',
            'attributes.allow: found \'float\'; allowed: "integer" or "string"',
        ),
        ('attributes.allow = { "a=b" = "string" }', "attributes.allow: found 'a=b'; allowed: a key without"),
        ("housekeeping.brake = 1.1", "housekeeping.brake: found 1.1; allowed: a number from 0 to 1"),
        ('proxies.kamailio = ["udp:192.0.2.1:8090"]', "proxies.kamailio: 'udp:192.0.2.1:8090' is no place"),
        ('proxies.opensips = ["tcp:127.0.0.1:1"]', "proxies.opensips: 'tcp:127.0.0.1:1' is no place"),
        *(
            (f"proxies.evapi = [{text!r}]", f"proxies.evapi: {text!r} is no proxy to answer; the socket asks")
            for text in (
                "udp:127.0.0.1:8448",
                "tcp:192.0.2.1:8448",
                "tcp:127.0.0.1:0",
                "tcp:127.0.0.1:65536",
                "tcp:localhost:8448",
                "127.0.0.1:8448",
                "unix:/run/evapi.sock",
            )
        ),
        ("proxies.evapi = [8448]", 'proxies.evapi: found 8448; allowed: "tcp:127.0.0.1:PORT"'),
        ('domains.did = { "a_b" = "x" }', "domains.did: found 'a_b'"),
        ('domains.did = { "a.b" = "" }', "domains.did: found ''"),
    ],
)
def test_key_of_known_domains_out_of_range_is_refused(line: str, start: str) -> None:
    assert complaint(OWN + line).startswith(start)
