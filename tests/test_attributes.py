"""The vhost1 format: what is taken, what is skipped and why; docs/attributes.md held against the reader."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import dns.name
import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvhost.config import AttributeType, LearnMode
from fastvhost.domains.attributes import (
    DOCUMENTED_KEYS,
    OWNER_PREFIX,
    AttributeRules,
    Published,
    Skipped,
    read_attributes,
    table_name,
)
from fastvhost.domains.consent import ConsentKind, consents
from fastvhost.domains.record import Attribute
from fastvhost.host import DomainName, Malformed, parse_host

DOCUMENT = (Path(__file__).parents[1] / "docs/attributes.md").read_text()
VERSION = b"v=vhost1"
INTEGER, STRING = AttributeType.INTEGER, AttributeType.STRING
RULES = AttributeRules(allow={"plan": STRING, "level": INTEGER, "auth.level": INTEGER})
TRUSTING = AttributeRules(allow=RULES.allow, trust_auth=True)


def read(*strings: bytes, rules: AttributeRules = RULES, authentic: bool = False) -> Published:
    """One record of ours with these strings after its version."""
    return read_attributes([[VERSION, *strings]], rules, authentic=authentic)


def attribute(name: str, value: str, kind: AttributeType = STRING) -> Published:
    return Published(attributes=(Attribute(name=name, type=kind, value=value),))


def skipped(key: str, why: str) -> Published:
    return Published(skipped=(Skipped(key, why),))


# Which record


@pytest.mark.parametrize(
    "records",
    [
        [],
        [[]],
        [[b""]],
        [[b"v=spf1 -all"]],
        [[b"max-calls=5"]],
        [[b"", VERSION, b"max-calls=5"]],
        [[b"max-calls=5", VERSION]],
        [[b"v=vhost2", b"max-calls=5"]],
        [[b"v=VHOST1", b"max-calls=5"]],
        [[b"v=vhost1 ", b"max-calls=5"]],
        [[b"v=vhost1 max-calls=5"]],
        [[b"v"]],
    ],
)
def test_record_of_another_kind_is_left_alone(records: list[list[bytes]]) -> None:
    assert read_attributes(records, RULES, authentic=False) == Published()


def test_record_of_ours_among_others_is_read_wherever_it_stands() -> None:
    records = [[b"v=spf1 -all"], [b"V=vhost1", b"max-calls=5"], [b"x"]]
    expected = attribute("dns.max-calls", "5", INTEGER)
    assert read_attributes(records, RULES, authentic=False) == expected
    assert read_attributes(records[::-1], RULES, authentic=False) == expected


@pytest.mark.parametrize("second", [[VERSION], [VERSION, b"max-calls=5"], [b"V=vhost1", b"max-calls=6"]])
def test_several_records_of_ours_are_none(second: list[bytes]) -> None:
    records = [[VERSION, b"max-calls=5", b"did=a.example"], second]
    expected = skipped("v", "2 records begin with v=vhost1: none is used")
    assert read_attributes(records, RULES, authentic=True) == expected
    assert read_attributes(records[::-1], RULES, authentic=True) == expected


@pytest.mark.parametrize(("strings", "taken"), [(63, True), (64, True), (65, False)])
def test_record_takes_up_to_64_strings(strings: int, taken: bool) -> None:
    expected = Published() if taken else skipped("v", "over 64 character-strings: none is used")
    assert read(*[b""] * (strings - 1)) == expected


@pytest.mark.parametrize(("octets", "taken"), [(4095, True), (4096, True), (4097, False)])
def test_record_takes_up_to_4096_octets(octets: int, taken: bool) -> None:
    full = [b"plan=" + b"x" * 250] * 15
    rest = octets - sum(1 + len(string) for string in (VERSION, *full)) - 1
    published = read(*full, b"level=" + b"9" * (rest - 6))
    assert (published.attributes != ()) is taken
    if not taken:
        assert published == skipped("v", "over 4096 octets: none is used")


# Keys


def test_key_is_case_insensitive_and_named_in_lower_case() -> None:
    assert read(b"MAX-Calls=5") == attribute("dns.max-calls", "5", INTEGER)
    assert read(b"PLAN=Gold") == attribute("dns.plan", "Gold")


@pytest.mark.parametrize("first", [b"level=1", b"level=x", b"level=", b"level"])
def test_duplicate_key_is_skipped_whatever_the_first_was(first: bytes) -> None:
    once, twice = read(first), read(first, b"LEVEL=2")
    assert twice.attributes == once.attributes
    assert twice.skipped == (*once.skipped, Skipped("level", "a duplicate: the first one counts"))


def test_version_again_is_a_duplicate() -> None:
    assert read(b"v=vhost1") == skipped("v", "a duplicate: the first one counts")


@pytest.mark.parametrize(
    ("string", "key", "why"),
    [
        (b"plan", "plan", "no '=': no key here is without a value"),
        (b"did", "did", "no '=': no key here is without a value"),
        (b"=gold", "", "begins with '=': no key"),
        (b"=", "", "begins with '=': no key"),
        (b"colour=blue", "colour", "unknown"),
        (b"colour", "colour", "unknown"),
        (b" plan=gold", " plan", "unknown"),
        (b"plan =gold", "plan ", "unknown"),
        (b"auth.colour=blue", "auth.colour", "unknown"),
        (b"pl\xc3\xa4n=gold", "pl\\xc3\\xa4n", "the key is not printable ASCII"),
        (b"pl\nan=gold", "pl\\x0aan", "the key is not printable ASCII"),
        (b"plan\0=gold", "plan\\x00", "the key is not printable ASCII"),
        (b"plan\x7f=gold", "plan\\x7f", "the key is not printable ASCII"),
        (b"\xff" * 70 + b"=x", ("\\xff" * 16), "the key is not printable ASCII"),
        (b"k" * 64 + b"=x", "k" * 64, "unknown"),
        (b"k" * 65 + b"=x", "k" * 64, "the key is too long"),
        (b"plan=", "plan", "empty"),
        (b"level=", "level", "empty"),
        (b"alias=", "alias", "empty"),
        (b"plan=g\xc3\xb6ld", "plan", "not ASCII"),
        (b"did=b\xc3\xbccher.example", "did", "not ASCII"),
        (b"plan=go\nld", "plan", "a control character"),
        (b"plan=gold\0", "plan", "a control character"),
        (b"plan=\x7f", "plan", "a control character"),
        (b"token=v1:\t", "token", "a control character"),
        (b"plan=" + b"x" * 251, "plan", "over 255 octets"),
    ],
)
def test_string_that_is_no_usable_pair_is_skipped_by_name(string: bytes, key: str, why: str) -> None:
    assert read(string) == skipped(key, why)


def test_skipped_key_does_not_harm_the_others() -> None:
    published = read(b"colour=blue", b"plan=gold", b"peering=maybe", b"level=3")
    assert [one.name for one in published.attributes] == ["dns.plan", "dns.level"]
    assert [one.key for one in published.skipped] == ["colour", "peering"]


def test_string_of_255_octets_is_taken() -> None:
    assert read(b"plan=" + b"x" * 250) == attribute("dns.plan", "x" * 250)


@pytest.mark.parametrize(("octets", "taken"), [(31, True), (32, True), (33, False)])
def test_name_with_prefix_takes_up_to_32_octets(octets: int, taken: bool) -> None:
    key = "k" * (octets - len("dns."))
    published = read(f"{key}=x".encode(), rules=AttributeRules(allow={key: STRING}))
    expected = attribute(f"dns.{key}", "x") if taken else skipped(key, f"dns.{key} is over 32 octets")
    assert published == expected


def test_prefix_of_the_operator_is_forced() -> None:
    assert read(b"plan=x", rules=AttributeRules(allow={"plan": STRING}, prefix="zone_")) == attribute(
        "zone_plan", "x"
    )


def test_allow_list_cannot_change_a_documented_key() -> None:
    rules = AttributeRules(allow={"max-calls": STRING, "did": STRING})
    assert read(b"max-calls=many", rules=rules).attributes == ()
    assert read(b"did=a.example", rules=rules) == Published(did="a.example")


# Values


NO_INTEGER = "not an integer of 32 bits, in decimal without leading zeros"


@pytest.mark.parametrize("value", ["0", "7", "-1", "2147483646", "2147483647", "-2147483647", "-2147483648"])
def test_integer_of_32_bits_is_taken(value: str) -> None:
    assert read(b"level=" + value.encode()) == attribute("dns.level", value, INTEGER)


@pytest.mark.parametrize(
    "value",
    [
        "2147483648",
        "-2147483649",
        "9" * 11,
        "9" * 200,
        "-0",
        "007",
        "+1",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "1_0",
        "x",
    ],
)
def test_integer_of_another_form_is_skipped(value: str) -> None:
    assert read(b"level=" + value.encode()) == skipped("level", NO_INTEGER)


@pytest.mark.parametrize(
    ("value", "why"), [("-1", "under 0"), ("2147483648", NO_INTEGER), ("many", NO_INTEGER)]
)
def test_max_calls_outside_its_range_is_skipped(value: str, why: str) -> None:
    assert read(b"max-calls=" + value.encode()) == skipped("max-calls", why)


@pytest.mark.parametrize("value", ["0", "2147483647"])
def test_max_calls_at_its_bounds_is_taken(value: str) -> None:
    assert read(b"max-calls=" + value.encode()) == attribute("dns.max-calls", value, INTEGER)


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ("open", "open"),
        ("Closed", "closed"),
        ("list:a.example", "list:a.example"),
        ("LIST: A.example. , b.example", "list:a.example,b.example"),
    ],
)
def test_peering_is_taken_in_canonical_form(value: str, canonical: str) -> None:
    assert read(b"peering=" + value.encode()) == attribute("dns.peering", canonical)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("maybe", "not open, closed or list:NAME,…"),
        ("open,closed", "not open, closed or list:NAME,…"),
        ("list", "not open, closed or list:NAME,…"),
        ("list:", "'': empty"),
        ("list:a.example,", "'': empty"),
        ("list:a.example,*.example", "'*.example': a character that no host may have"),
        ("list:192.0.2.1", "'192.0.2.1': an address, not a name"),
    ],
)
def test_peering_with_anything_wrong_is_skipped_as_a_whole(value: str, why: str) -> None:
    assert read(b"peering=" + value.encode()) == skipped("peering", why)


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ("mailto:noc@example.com", "mailto:noc@example.com"),
        ("SIP:noc@example.com;transport=tls", "sip:noc@example.com;transport=tls"),
        ("sips:noc@[2001:db8::1]", "sips:noc@[2001:db8::1]"),
        ("tel:+49-30-1", "tel:+49-30-1"),
        ("https://example.com/noc?a=b%20c#d", "https://example.com/noc?a=b%20c#d"),
    ],
)
def test_contact_that_is_a_uri_is_taken(value: str, canonical: str) -> None:
    assert read(b"contact=" + value.encode()) == attribute("dns.contact", canonical)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("noc@example.com", "not a URI of https, mailto, sip, sips, tel"),
        ("javascript:alert(1)", "not a URI of https, mailto, sip, sips, tel"),
        ("http://example.com", "not a URI of https, mailto, sip, sips, tel"),
        ("mailto:", "not a URI by RFC 3986"),
        ("mailto:a b", "not a URI by RFC 3986"),
        ('mailto:"a"', "not a URI by RFC 3986"),
        ("https://x/<script>", "not a URI by RFC 3986"),
    ],
)
def test_contact_that_is_no_uri_is_skipped(value: str, why: str) -> None:
    assert read(b"contact=" + value.encode()) == skipped("contact", why)


# Authentication


@pytest.mark.parametrize(
    "string",
    [
        b"auth.realm=example.com",
        b"auth.algorithm=SHA-256",
        b"auth.qop=auth",
        b"AUTH.QOP=auth",
        b"auth.level=1",
    ],
)
def test_auth_key_counts_only_when_validated_and_opted_in(string: bytes) -> None:
    key = string.partition(b"=")[0].decode().lower()
    for authentic in (False, True):
        assert read(string, authentic=authentic) == skipped(key, "attributes.trust_auth is off")
    assert read(string, rules=TRUSTING) == skipped(key, "the answer is not validated by DNSSEC")
    assert len(read(string, rules=TRUSTING, authentic=True).attributes) == 1


@pytest.mark.parametrize(
    ("string", "name", "value"),
    [
        (b"auth.realm=Example Inc.", "dns.auth.realm", "Example Inc."),
        (b"auth.realm=" + b"r" * 64, "dns.auth.realm", "r" * 64),
        (b"auth.algorithm=sha-256", "dns.auth.algorithm", "SHA-256"),
        (b"auth.algorithm=SHA-512-256", "dns.auth.algorithm", "SHA-512-256"),
        (b"auth.qop=auth", "dns.auth.qop", "auth"),
        (b"auth.qop=AUTH-INT", "dns.auth.qop", "auth-int"),
    ],
)
def test_trusted_auth_key_is_taken_in_canonical_form(string: bytes, name: str, value: str) -> None:
    assert read(string, rules=TRUSTING, authentic=True) == attribute(name, value)


@pytest.mark.parametrize(
    "string",
    [
        b"auth.realm=" + b"r" * 65,
        b'auth.realm=a",qop="auth',
        b"auth.realm=a\\",
        b"auth.algorithm=MD5",
        b"auth.algorithm=md5",
        b"auth.algorithm=MD5-sess",
        b"auth.algorithm=SHA-1",
        b"auth.algorithm=SHA-256,MD5",
        b"auth.qop=none",
        b"auth.qop=auth,auth-int",
    ],
)
def test_trusted_auth_key_that_is_weak_or_odd_is_skipped(string: bytes) -> None:
    published = read(string, rules=TRUSTING, authentic=True)
    assert published.attributes == ()
    assert [one.key for one in published.skipped] == [string.partition(b"=")[0].decode()]


# Claims


@pytest.mark.parametrize(
    ("value", "did"),
    [
        ("a.example", "a.example"),
        ("A.Example.", "a.example"),
        ("a", "a"),
        ("a." * 31 + "ab", "a." * 31 + "ab"),
    ],
)
def test_did_is_a_canonical_host(value: str, did: str) -> None:
    assert read(b"did=" + value.encode()) == Published(did=did)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("a." * 31 + "abc", "over 64 octets"),
        ("192.0.2.1", "an address, not a name"),
        ("[2001:db8::1]", "an address, not a name"),
        ("customer_7", "a character that no host may have"),
        ("7", "the last label must begin with a letter"),
        ("a.example,b.example", "a character that no host may have"),
    ],
)
def test_did_that_is_no_host_is_skipped(value: str, why: str) -> None:
    assert read(b"did=" + value.encode()) == skipped("did", why)


def test_alias_lists_canonical_names_once_and_in_order() -> None:
    published = read(b"alias=B.example., a.example ,b.EXAMPLE")
    assert published == Published(aliases=("b.example", "a.example"))


def test_alias_that_is_no_name_is_skipped_alone() -> None:
    published = read(b"alias=a.example,,192.0.2.1,b.example")
    assert published.aliases == ("a.example", "b.example")
    assert published.skipped == (
        Skipped("alias", "'': empty"),
        Skipped("alias", "'192.0.2.1': an address, not a name"),
    )


@pytest.mark.parametrize(("names", "taken"), [(49, True), (50, True), (51, False)])
def test_alias_takes_up_to_50_names(names: int, taken: bool) -> None:
    listed = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(names)]
    published = read(b"alias=" + ",".join(listed).encode())
    assert published == (Published(aliases=tuple(listed)) if taken else skipped("alias", "over 50 names"))


def test_token_is_handed_on_as_it_stands() -> None:
    value = "v1:ABC , v2:x"
    assert read(f"Token={value}".encode()) == Published(token=value)


@pytest.mark.parametrize(
    ("text", "name"),
    [("A.example.", "a.example"), ("bücher.example", "xn--bcher-kva.example")],
)
def test_table_name_of_a_host_is_canonical(text: str, name: str) -> None:
    assert table_name(text) == name


# Any octets


KEYS = st.sampled_from([key.encode() for key in (*sorted(DOCUMENTED_KEYS), *RULES.allow, "x")])
PAIRS = st.builds(
    lambda key, value: key + b"=" + value,
    KEYS,
    st.one_of(st.binary(max_size=300), st.text("abc.,:-019 *", max_size=80).map(str.encode)),
)
STRINGS = st.one_of(PAIRS, st.binary(max_size=300))
RECORDS = st.one_of(
    st.lists(st.lists(STRINGS, max_size=4), max_size=3),
    st.lists(STRINGS, max_size=70).map(lambda strings: [[VERSION, *strings]]),
)


@given(records=RECORDS, rules=st.sampled_from([RULES, TRUSTING, AttributeRules()]), authentic=st.booleans())
def test_any_octets_become_rows_that_the_proxy_can_load_or_reasons(
    records: Sequence[Sequence[bytes]], rules: AttributeRules, authentic: bool
) -> None:
    published = read_attributes(records, rules, authentic=authentic)
    names = [one.name for one in published.attributes]
    assert len(names) == len(set(names)) <= 63
    for one in published.attributes:
        assert one.name.startswith("dns.")
        assert len(one.name) <= 32
        assert 1 <= len(one.value) <= 255
        assert (one.name + one.value).isascii()
        assert (one.name + one.value).isprintable()
        if one.type == INTEGER:
            assert -(2**31) <= int(one.value) < 2**31
        if one.name.startswith("dns.auth."):
            assert authentic
            assert rules.trust_auth
    for name in (*published.aliases, *([] if published.did is None else [published.did])):
        assert parse_host(name) == DomainName(name)
        assert len(name) <= 64
    for skip in published.skipped:
        assert len(skip.key) <= 64
        assert skip.key.isascii()
        assert (skip.key + skip.why).isprintable()
        assert "\n" not in skip.why


@given(st.text(max_size=80))
def test_table_name_of_any_text_is_a_name_that_fits_or_a_reason(text: str) -> None:
    name = table_name(text)
    assert isinstance(name, Malformed) or (1 <= len(name) <= 64 and parse_host(name) == DomainName(name))


# The document


EXAMPLES = re.findall(r"<!-- tested: zone -->\n```zone\n(.*?)```\n```text\n(.*?)```", DOCUMENT, re.DOTALL)
EXAMPLE_SECRET = b"0123456789abcdef0123456789abcdef"


def txt_records(zone: str) -> Iterator[tuple[str, list[tuple[bytes, ...]]]]:
    """The TXT RRsets of a master file at our owner names, by domain."""
    origin = zone.split(maxsplit=1)[0] if not zone.startswith("$ORIGIN") else zone.split(maxsplit=2)[1]
    parsed = dns.zone.from_text(zone, origin=origin, relativize=False)
    for name, rdataset in parsed.iterate_rdatasets(dns.rdatatype.TXT):
        owner = name.to_text(omit_final_dot=True)
        assert owner.startswith(OWNER_PREFIX)
        yield owner.removeprefix(OWNER_PREFIX), [rdata.strings for rdata in rdataset]


def described(domain: str, published: Published) -> Iterator[str]:
    """What was read, in the words of the document."""
    for one in published.attributes:
        yield f"{domain}: {one.name} = {one.value} ({one.type.name.lower()})"
    if published.did is not None:
        yield f"{domain}: wants to join: {published.did}"
    for alias in published.aliases:
        yield f"{domain}: may join: {alias}"
    if published.token is not None:
        consent = consents(LearnMode.TOKEN, domain, published.token, EXAMPLE_SECRET)
        yield f"{domain}: token: {'consents' if consent.kind is ConsentKind.ACTIVE else 'refuses'}"
    for skip in published.skipped:
        yield f"{domain}: {skip.key} skipped: {skip.why}"


@pytest.mark.parametrize(("zone", "expected"), EXAMPLES)
def test_documented_zone_reads_as_the_document_says(zone: str, expected: str) -> None:
    rules = AttributeRules(allow={"plan": STRING})
    lines = [
        line
        for domain, records in txt_records(zone)
        for line in described(domain, read_attributes(records, rules, authentic=True))
    ]
    assert lines == expected.splitlines()


def test_document_marks_every_zone_as_tested() -> None:
    assert len(EXAMPLES) == DOCUMENT.count("```zone") == 3


def test_document_lists_every_key() -> None:
    rows = set(re.findall(r"^\| `([a-z.-]+)` \|", DOCUMENT, re.MULTILINE))
    assert rows | {"v"} == DOCUMENTED_KEYS


@pytest.mark.server("kamailio")
@pytest.mark.parametrize(("avp", "loads"), [("s:dns.peering", True), ("dns.peering", False)])
def test_documented_avp_loads_in_kamailio_only_with_its_class(tmp_path: Path, avp: str, loads: bool) -> None:
    assert f"$avp({avp})" in DOCUMENT or not loads
    script = tmp_path / "kamailio.cfg"
    script.write_text(f"""
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/"
loadmodule "pv.so"
request_route {{ if ($avp({avp}) == "closed") {{ exit; }} }}
""")
    kamailio = shutil.which("kamailio", path="/usr/sbin:/usr/bin") or "kamailio"
    checked = subprocess.run([kamailio, "-c", "-f", script], capture_output=True, timeout=60, check=False)
    assert (checked.returncode == 0) is loads, checked.stderr.decode(errors="replace")
