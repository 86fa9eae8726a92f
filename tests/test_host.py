"""The grammar of a SIP host, by tables and against an independent reading of RFC 3261 section 25.1."""

import socket
import string
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastvhost.host import DomainName, Host, Malformed, normalised_address, parse_address, parse_host

L62, L63, L64 = "a" * 62, "a" * 63, "a" * 64
NAME_251 = ".".join([L63, L63, L63, "a" * 59])  # 3 * 64 + 59


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.com", "example.com"),
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("a", "a"),
        ("A.", "a"),
        ("localhost", "localhost"),
        ("a1", "a1"),
        ("a.b1", "a.b1"),
        ("a-b.c-d", "a-b.c-d"),
        ("a--b.c", "a--b.c"),
        ("3com.example", "3com.example"),
        ("1.2.3.a", "1.2.3.a"),
        ("1.2.3.4.a", "1.2.3.4.a"),
        ("0-0.example", "0-0.example"),
        ("0x7f.a1", "0x7f.a1"),
        ("a.x0", "a.x0"),
    ],
)
def test_hostname_by_the_grammar_is_a_lower_case_name(text: str, name: str) -> None:
    assert parse_host(text) == DomainName(name)


@pytest.mark.parametrize("label", ["a", L62, L63])
@pytest.mark.parametrize("form", ["{}", "{}.", "{}.example", "www.{}.example"])
def test_label_up_to_63_octets_is_a_name(form: str, label: str) -> None:
    text = form.format(label)
    assert parse_host(text) == DomainName(text.removesuffix("."))


@pytest.mark.parametrize("form", ["{}", "{}.", "{}.example", "www.{}.example"])
def test_label_of_64_octets_is_malformed(form: str) -> None:
    assert parse_host(form.format(L64)) == Malformed("a label over 63 octets")


@pytest.mark.parametrize("dot", ["", "."])
@pytest.mark.parametrize("name", [NAME_251 + "a", NAME_251 + "aa"])
def test_name_up_to_253_octets_is_a_name(name: str, dot: str) -> None:
    assert len(name) in (252, 253)
    assert parse_host(name + dot) == DomainName(name)


@pytest.mark.parametrize("dot", ["", "."])
def test_name_of_254_octets_is_malformed(dot: str) -> None:
    assert parse_host(NAME_251 + "aaa" + dot) == Malformed("over 253 octets")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (".", "empty"),
        ("..", "an empty label"),
        (".a", "an empty label"),
        ("a..", "an empty label"),
        ("a..b", "an empty label"),
        ("example.com..", "an empty label"),
        ("-a", "a label that begins or ends with a hyphen"),
        ("a-", "a label that begins or ends with a hyphen"),
        ("a-.b", "a label that begins or ends with a hyphen"),
        ("a.-b", "a label that begins or ends with a hyphen"),
        ("-", "a label that begins or ends with a hyphen"),
        ("1", "the last label must begin with a letter"),
        ("a.1", "the last label must begin with a letter"),
        ("a.1b", "the last label must begin with a letter"),
        ("example.123", "the last label must begin with a letter"),
        ("example.123.", "the last label must begin with a letter"),
        ("a_b.example", "a character that no host may have"),
        ("_sip._udp.example.com", "a character that no host may have"),
        ("*.example.com", "a character that no host may have"),
        ("a%62.example", "a character that no host may have"),
        ("%61", "a character that no host may have"),
        (" example.com", "a character that no host may have"),
        ("example.com ", "a character that no host may have"),
        ("exam ple.com", "a character that no host may have"),
        ("example.com\n", "a character that no host may have"),
        ("example.com.\n", "a character that no host may have"),
        ("example.com\n.", "a character that no host may have"),
        ("example.com\r\n", "a character that no host may have"),
        ("a\n.b", "a character that no host may have"),
        ("\n", "a character that no host may have"),
        ("\0", "a character that no host may have"),
        ("example.com\0", "a character that no host may have"),
        ("exam\0ple.com", "a character that no host may have"),
        ("\x7f.com", "a character that no host may have"),
        ("example.com/", "a character that no host may have"),
        ("example.com;lr", "a character that no host may have"),
        ("user@example.com", "a character that no host may have"),
        ("<example.com>", "a character that no host may have"),
        ("a\\046b", "a character that no host may have"),
        ("example.com:5060", "a port, or an IPv6 address without brackets"),
        ("example.com:", "a port, or an IPv6 address without brackets"),
        ("192.0.2.1:5060", "a port, or an IPv6 address without brackets"),
        ("sip:alice@example.com", "a port, or an IPv6 address without brackets"),
        ("2001:db8::1", "a port, or an IPv6 address without brackets"),
        ("::ffff:192.0.2.1", "a port, or an IPv6 address without brackets"),
    ],
)
def test_ascii_text_outside_the_grammar_is_malformed_with_the_reason(text: str, why: str) -> None:
    assert parse_host(text) == Malformed(why)


@pytest.mark.parametrize("text", ["0.0.0.0", "1.2.3.4", "10.20.30.40", "255.255.255.255", "127.0.0.1"])
def test_ipv4_literal_is_an_address(text: str) -> None:
    assert parse_host(text) == IPv4Address(text)


@pytest.mark.parametrize(
    "text",
    [
        "256.1.1.1",
        "1.1.1.256",
        "999.999.999.999",
        "01.2.3.4",
        "1.2.3.04",
        "00.0.0.0",
        "1.2.3.4.",
        "1.2.3.4..",
        ".1.2.3.4",
        "1.2.3",
        "1.2.3.",
        "1.2",
        "1.2.3.4.5",
        "1..3.4",
        "0001.2.3.4",
        "16909060",
        "0x01020304",
        "0x1.2.3.4",
        "+1.2.3.4",
        "-1.2.3.4",
        "1.2.3.4\n",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4\0",
        "1.2.3.4/32",
        "1.2.3.4%eth0",
        "1e1.2.3.4",
        "1_0.2.3.4",
        "\u0661.2.3.4",  # an Arabic-Indic one
        "\uff11.2.3.4",  # a full-width one, which UTS 46 maps to 1
        "1\u30022\u30023\u30024",  # ideographic dots
        "\u00b9.2.3.4",  # a superscript one
    ],
)
def test_ipv4_address_of_an_odd_form_is_malformed(text: str) -> None:
    assert isinstance(parse_host(text), Malformed)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("[::]", IPv6Address("::")),
        ("[::1]", IPv6Address("::1")),
        ("[2001:db8::1]", IPv6Address("2001:db8::1")),
        ("[2001:DB8::A]", IPv6Address("2001:db8::a")),
        ("[2001:0db8:0000:0000:0000:0000:0000:0001]", IPv6Address("2001:db8::1")),
        ("[1:2:3:4:5:6:7:8]", IPv6Address("1:2:3:4:5:6:7:8")),
        ("[1:2:3:4:5:6:7::]", IPv6Address("1:2:3:4:5:6:7:0")),
        ("[64:ff9b::192.0.2.1]", IPv6Address("64:ff9b::c000:201")),
        ("[::192.0.2.1]", IPv6Address("::c000:201")),
        ("[::ffff:192.0.2.1]", IPv4Address("192.0.2.1")),
        ("[::FFFF:c000:201]", IPv4Address("192.0.2.1")),
        ("[0:0:0:0:0:ffff:192.0.2.1]", IPv4Address("192.0.2.1")),
        ("[fe80::1]", IPv6Address("fe80::1")),
    ],
)
def test_ipv6_reference_is_an_address(text: str, address: Host) -> None:
    assert parse_host(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "]",
        "[]",
        "[[::1]]",
        "[::1",
        "::1]",
        "[::1].",
        "[::1]:5060",
        "[::1]\n",
        "[::1\n]",
        "[ ::1]",
        "[::1 ]",
        " [::1]",
        "[::1\0]",
        "[:]",
        "[:::]",
        "[1::2::3]",
        "[1:2:3:4:5:6:7]",
        "[1:2:3:4:5:6:7:8:9]",
        "[12345::]",
        "[g::]",
        "[::1%eth0]",
        "[fe80::1%25eth0]",
        "[fe80::1%]",
        "[::1/128]",
        "[192.0.2.1]",
        "[::192.0.2]",
        "[::192.0.2.256]",
        "[::ffff:192.0.2.01]",
        "[v1.fe80::a]",
        "[example.com]",
        "[\uff11::]",
        "[\u0661::]",
    ],
)
def test_bracketed_text_of_an_odd_form_is_malformed(text: str) -> None:
    assert isinstance(parse_host(text), Malformed)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),  # decomposed
        ("bücher.example.", "xn--bcher-kva.example"),
        ("bücher.example\u3002", "xn--bcher-kva.example"),
        ("bücher\u3002example", "xn--bcher-kva.example"),
        ("bücher\uff0eexample", "xn--bcher-kva.example"),
        ("bücher\uff61example", "xn--bcher-kva.example"),
        ("例え\u3002テスト", "xn--r8jz45g.xn--zckzah"),
        ("пример.испытание", "xn--e1afmkfd.xn--80akhbyknj4f"),
        ("ПРИМЕР.ИСПЫТАНИЕ", "xn--e1afmkfd.xn--80akhbyknj4f"),
        ("straße.example", "xn--strae-oqa.example"),  # IDNA 2003 made it strasse
        ("STRA\u1e9eE.example", "xn--strae-oqa.example"),
        ("fa\u00df.de", "xn--fa-hia.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),  # the final sigma stays one
        ("\uff45xample.com", "example.com"),  # a full-width e
        ("example\u3002com", "example.com"),
        ("www.bücher.xn--p1ai", "www.xn--bcher-kva.xn--p1ai"),
        ("xn--bcher-kva.é", "xn--bcher-kva.xn--9ca"),
        ("é", "xn--9ca"),
    ],
)
def test_u_labels_become_a_labels(text: str, name: str) -> None:
    assert parse_host(text) == DomainName(name)


@pytest.mark.parametrize(
    "name", ["xn--bcher-kva.example", "xn--p1ai", "xn--ls8h.example", "xn--zzzz99.example", "xn--a"]
)
def test_a_labels_pass_as_they_are(name: str) -> None:
    assert parse_host(name) == parse_host(name.upper()) == DomainName(name)


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f600.example",
        "i\u2764.ws",
        "\u2603.example",
        "\u3002",
        "é..",
        "é.\u3002",
        "é\u3002\u3002",
        "é..example",
        "\u3002é",
        "é_x.example",
        "é x.example",
        "é\n",
        "é.example\n",
        "é\0",
        "é:5060",
        "é@example.com",
        "é%2e",
        "-é.example",
        "é-.example",
        "ab--é.example",
        "xn--é.example",
        "xn--zzzz99.é",
        "\u0301e.example",  # begins with a combining mark
        "\u00ad",  # a soft hyphen alone maps to nothing
        "\u200d",
        "a\u200db.example",  # a joiner out of context
        "\u2260.example",
        "\u2488com",  # DIGIT ONE FULL STOP
        "a\u2024b",
        "\u05d0a.example",  # right-to-left and left-to-right mixed
        "é.1",
        "\ud800",
        "a\udcffb.example",
        "é\udcff",
        "\ufffe",
        "\U0010ffff",
    ],
)
def test_text_outside_idna_2008_is_malformed(text: str) -> None:
    assert isinstance(parse_host(text), Malformed)


@pytest.mark.parametrize(("count", "expected"), [(54, 62), (55, 63)])
def test_u_label_up_to_63_octets_as_an_a_label_is_a_name(count: int, expected: int) -> None:
    host = parse_host("é" + "a" * count)
    assert isinstance(host, DomainName)
    assert len(host.name) == expected


def test_u_label_of_64_octets_as_an_a_label_is_malformed() -> None:
    assert isinstance(parse_host("é" + "a" * 56), Malformed)


@pytest.mark.parametrize(("last", "kind"), [(52, DomainName), (53, DomainName), (54, Malformed)])
def test_u_labels_up_to_253_octets_as_a_labels_are_a_name(last: int, kind: type[Host]) -> None:
    host = parse_host(".".join([L63, L63, L63, "é" + "a" * last]))
    assert isinstance(host, kind)


@pytest.mark.parametrize("text", ["é" * 10_000, "e" + "\u0315\u0300" * 200_000, "a" * 10**6, "é." * 10_000])
def test_text_far_over_any_length_is_malformed_at_once(text: str) -> None:
    assert isinstance(parse_host(text), Malformed)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", IPv4Address("192.0.2.1")),
        ("2001:db8::1", IPv6Address("2001:db8::1")),
        ("[2001:db8::1]", IPv6Address("2001:db8::1")),
        ("::ffff:192.0.2.1", IPv4Address("192.0.2.1")),
        ("[192.0.2.1]", None),
        ("192.0.2.1.", None),
        ("192.0.2.1/32", None),
        ("fe80::1%eth0", None),
        ("[::1", None),
        ("::1]", None),
        ("[]", None),
        ("", None),
        ("example.com", None),
    ],
)
def test_address_is_read_with_or_without_brackets(text: str, address: Host | None) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "expected"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("::192.0.2.1", "::c000:201"), ("2001:db8::1", "2001:db8::1")],
)
def test_normalised_address_unmaps_only_mapped_ones(text: str, expected: str) -> None:
    assert str(normalised_address(IPv6Address(text))) == expected


ALPHA, DIGIT = set(string.ascii_letters), set(string.digits)


def abnf(text: str) -> str:
    """RFC 3261 section 25.1 read a character at a time; what kind of host this ASCII text is, or "".

    Beyond the grammar: RFC 1034's lengths; IPv4 parts in range and without leading zeros, as in inet_pton.
    """
    if text.startswith("[") and text.endswith("]"):
        return "IPv6reference" if pton(socket.AF_INET6, text[1:-1]) else ""
    if pton(socket.AF_INET, text):
        return "IPv4address"
    labels = text.split(".")
    if labels[-1] == "" and len(labels) > 1:
        labels.pop()
    if sum(len(label) + 1 for label in labels) - 1 > 253:
        return ""
    well_formed = all(
        1 <= len(label) <= 63
        and set(label) <= ALPHA | DIGIT | {"-"}
        and label[0] in ALPHA | DIGIT
        and label[-1] in ALPHA | DIGIT
        for label in labels
    )
    return "hostname" if well_formed and labels[-1][0] in ALPHA else ""


def pton(family: int, text: str) -> bool:
    try:
        socket.inet_pton(family, text)
    except (OSError, ValueError):
        return False
    return "%" not in text


ASCII = st.characters(max_codepoint=0x7F)
LABELS = st.text("abzAZ019-", max_size=4) | st.sampled_from(
    [L62, L63, L64, "1", "255", "256", "01", "a", "_a", "xn--"]
)
ADDRESSES = st.ip_addresses().map(lambda address: str(address) if address.version == 4 else f"[{address}]")
HOST_LIKE = st.one_of(
    st.text(ASCII, max_size=20),
    st.text("aZ09-.", max_size=20),
    st.text("0129.", min_size=7, max_size=15),
    st.text("0fF:.1", max_size=20).map("[{}]".format),
    st.lists(LABELS, max_size=6).map(".".join),
    ADDRESSES,
    st.tuples(ADDRESSES, ASCII, st.integers(0, 40)).map(
        lambda edit: edit[0][: edit[2]] + edit[1] + edit[0][edit[2] :]
    ),
)
U_LIKE = st.text(
    st.sampled_from(
        "aZ0-._é\u0301\u00df\u1e9e\u3002\uff0e\uff61\u200d\u00ad\u05d0\u0661\uff11\u2603\U0001f600\udcffxn例"
    ),
    max_size=30,
)
ANY = (
    st.text(st.characters(), max_size=80)
    | st.text(st.characters(codec=None, categories=["Cs", "L", "M", "P"]))
    | U_LIKE
)


@given(ANY | HOST_LIKE)
@example("\ud800")
@example("xn--\udcff")
@settings(deadline=None, max_examples=500)
def test_text_of_any_kind_never_raises(text: str) -> None:
    host = parse_host(text)
    assert isinstance(host, DomainName | IPv4Address | IPv6Address | Malformed)
    if isinstance(host, Malformed):
        assert host.why.isprintable()


@given(ANY | HOST_LIKE)
@settings(deadline=None, max_examples=500)
def test_name_read_again_is_itself(text: str) -> None:
    host = parse_host(text)
    if isinstance(host, DomainName):
        assert parse_host(host.name) == parse_host(host.name + ".") == host
        assert abnf(host.name) == "hostname"
        assert host.name == host.name.lower()


@given(HOST_LIKE)
@settings(max_examples=500, deadline=None)
def test_ascii_text_in_any_case_is_the_same_host(text: str) -> None:
    assert (
        parse_host(text)
        == parse_host(text.upper())
        == parse_host(text.lower())
        == parse_host(text.swapcase())
    )


@given(st.text("aéüñжλ例0-", max_size=12), st.text("aéж0", min_size=1, max_size=5))
@settings(deadline=None)
def test_u_labels_in_upper_case_are_the_same_host(label: str, suffix: str) -> None:
    host = parse_host(f"{label}.{suffix}")
    upper = parse_host(f"{label}.{suffix}".upper())
    assert host == upper or (isinstance(host, Malformed) and isinstance(upper, Malformed))


@given(HOST_LIKE)
@settings(max_examples=2_000, deadline=None)
def test_ascii_text_agrees_with_an_independent_reading_of_the_abnf(text: str) -> None:
    host = parse_host(text)
    match abnf(text):
        case "hostname":
            assert host == DomainName(text.lower().removesuffix("."))
        case "IPv4address":
            assert host == IPv4Address(text)
        case "IPv6reference":
            assert host == normalised_address(IPv6Address(text[1:-1]))
        case _:
            assert isinstance(host, Malformed)


@given(ANY.filter(lambda text: not text.isascii()))
@settings(deadline=None)
def test_text_that_is_not_ascii_is_never_an_address(text: str) -> None:
    assert isinstance(parse_host(text), DomainName | Malformed)
