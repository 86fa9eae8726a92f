"""Learn modes, and tokens that are worth something at one domain only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvhost.config import LearnMode
from fastvhost.domains.consent import (
    Consent,
    ConsentKind,
    check_secret,
    consents,
    domain_token,
)
from fastvhost.errors import ConfigError

SECRET = b"0123456789abcdef0123456789abcdef"
OTHER_SECRET = SECRET[::-1]
TOKEN = "v1:3mq4ob3qn3ixk2s2p22ncaveju3jsxmjoigtzlgyqwzx4kqgc3ma"  # noqa: S105 - an example
"""Of example.com, from: printf v1:example.com | openssl dgst -sha256 -hmac SECRET -binary | base32"""


def by_token(domain: str, published: str | None, secret: bytes | None = SECRET) -> ConsentKind:
    return consents(LearnMode.TOKEN, domain, published, secret).kind


@pytest.mark.parametrize("published", [None, TOKEN, "v1:wrong"])
@pytest.mark.parametrize("secret", [None, SECRET])
@pytest.mark.parametrize(
    ("mode", "consent"),
    [
        (LearnMode.OPEN, Consent(kind=ConsentKind.ACTIVE, why="domains.learn is open")),
        (
            LearnMode.APPROVE,
            Consent(kind=ConsentKind.PENDING, why="domains.learn is approve: waits for the operator"),
        ),
        (LearnMode.OFF, Consent(kind=ConsentKind.REFUSED, why="domains.learn is off")),
    ],
)
def test_mode_without_tokens_decides_alone(
    mode: LearnMode, consent: Consent, secret: bytes | None, published: str | None
) -> None:
    assert consents(mode, "example.com", published, secret) == consent


def test_token_is_the_documented_hmac() -> None:
    assert domain_token("example.com", SECRET) == TOKEN


@pytest.mark.parametrize("domain", ["example.com", "EXAMPLE.com", "example.com."])
def test_token_of_any_spelling_of_a_domain_is_one(domain: str) -> None:
    assert domain_token(domain, SECRET) == TOKEN
    assert by_token(domain, TOKEN) is ConsentKind.ACTIVE


def test_token_of_a_u_label_is_that_of_its_a_label() -> None:
    assert domain_token("bücher.example", SECRET) == domain_token("xn--bcher-kva.example", SECRET)


@pytest.mark.parametrize(
    "published",
    [TOKEN, TOKEN.upper(), f" {TOKEN} ", f"v1:x,{TOKEN}", f"{TOKEN}, v9:x", f"a,b,c,{TOKEN}"],
)
def test_token_among_up_to_four_consents(published: str) -> None:
    assert consents(LearnMode.TOKEN, "example.com", published, SECRET) == Consent(
        kind=ConsentKind.ACTIVE, why="its token stands at _vhost._sip.example.com"
    )


@pytest.mark.parametrize(
    ("published", "why"),
    [
        (None, "no token at _vhost._sip.example.com"),
        ("", "the token at _vhost._sip.example.com is not this domain's"),
        (TOKEN[:-1], "the token at _vhost._sip.example.com is not this domain's"),
        (TOKEN + "a", "the token at _vhost._sip.example.com is not this domain's"),
        (TOKEN.removeprefix("v1:"), "the token at _vhost._sip.example.com is not this domain's"),
        (TOKEN.replace("v1:", "v2:"), "the token at _vhost._sip.example.com is not this domain's"),
        (TOKEN.replace("k", "\u212a"), "the token at _vhost._sip.example.com is not this domain's"),
        (f"a,b,c,d,{TOKEN}", "over 4 tokens at _vhost._sip.example.com"),
    ],
)
def test_wrong_token_is_refused_with_the_reason(published: str | None, why: str) -> None:
    assert consents(LearnMode.TOKEN, "example.com", published, SECRET) == Consent(
        kind=ConsentKind.REFUSED, why=why
    )


@pytest.mark.parametrize(
    "domain",
    ["sip.example.com", "com", "example.net", "xexample.com", "192.0.2.1", "[2001:db8::1]", "a_b", ""],
)
def test_token_of_one_domain_is_refused_at_another(domain: str) -> None:
    assert by_token(domain, TOKEN) is ConsentKind.REFUSED


def test_token_of_another_secret_is_refused() -> None:
    assert by_token("example.com", domain_token("example.com", OTHER_SECRET)) is ConsentKind.REFUSED


@pytest.mark.parametrize("secret", [None, b"", SECRET[:31]])
def test_secret_that_is_missing_or_short_refuses_all(secret: bytes | None) -> None:
    octets = len(secret or b"")
    assert consents(LearnMode.TOKEN, "example.com", TOKEN, secret) == Consent(
        kind=ConsentKind.REFUSED,
        why=f"domains.secret_file has {octets} octets; it needs 32 of a random source",
    )


@pytest.mark.parametrize("octets", [32, 33, 200])
def test_secret_from_32_octets_on_is_taken(octets: int) -> None:
    secret = b"s" * octets
    check_secret(secret)
    assert by_token("example.com", domain_token("example.com", secret), secret) is ConsentKind.ACTIVE


def test_secret_of_31_octets_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"domains\.secret_file has 31 octets; it needs 32"):
        check_secret(SECRET[:31])
    with pytest.raises(ConfigError):
        domain_token("example.com", SECRET[:31])


@pytest.mark.parametrize(
    ("domain", "why"),
    [("a_b", "'a_b' is no domain name"), ("192.0.2.1", "'192.0.2.1' is an address, not a domain name")],
)
def test_token_of_what_is_no_domain_name_is_an_error(domain: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        domain_token(domain, SECRET)


@given(
    mode=st.sampled_from(LearnMode),
    domain=st.text(max_size=20) | st.just("example.com"),
    published=st.none() | st.text(max_size=80),
    secret=st.none() | st.binary(max_size=40),
)
def test_anything_published_gets_a_decision_and_never_a_token_by_chance(
    mode: LearnMode, domain: str, published: str | None, secret: bytes | None
) -> None:
    consent = consents(mode, domain, published, secret)
    assert (consent.kind is ConsentKind.ACTIVE) is (mode is LearnMode.OPEN)
