"""Whether a domain that DNS points at us may be learned: the mode, and the token that proves consent.

The token is no secret: it stands in DNS. It proves that whoever writes the domain's zone got it from the
operator, who makes it from a secret that never leaves him.
"""

import hmac
from base64 import b32encode
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path

from fastvhost.config import Domains, LearnMode
from fastvhost.domains.attributes import OWNER_PREFIX
from fastvhost.errors import ConfigError
from fastvhost.host import DomainName, Malformed, parse_host

__all__ = ["MIN_SECRET", "Consent", "ConsentKind", "check_secret", "consents", "domain_token", "read_secret"]

MIN_SECRET = 32
"""Octets; a shorter key would be the weakest part of HMAC-SHA256 (RFC 2104 section 3)."""

_VERSION = "v1:"

_MAX_TOKENS = 4
"""Tokens in one record, so that a domain can be at two providers, or a secret be changed."""


class ConsentKind(Enum):
    """What becomes of a domain that was found HOSTED."""

    ACTIVE = "active"
    PENDING = "pending"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What becomes of the domain, and why, in one line."""

    kind: ConsentKind
    why: str


def check_secret(secret: bytes) -> None:
    """Raise ConfigError unless the octets of `domains.secret_file` are enough to make tokens from."""
    if len(secret) < MIN_SECRET:
        raise ConfigError(
            f"domains.secret_file has {len(secret)} octets; it needs {MIN_SECRET} of a random source"
        )


def read_secret(domains: Domains) -> bytes:
    """The octets of `domains.secret_file`, white space around them left out.

    Raises:
        ConfigError: there is no such file, or it is too short.
    """
    path = domains.secret_file
    if not path:
        raise ConfigError("domains.secret_file is empty: name a file with 32 or more random octets there")
    try:
        secret = Path(path).read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"domains.secret_file: {path}: {error.strerror}") from error
    check_secret(secret)
    return secret


def domain_token(domain: str, secret: bytes) -> str:
    """The token of a domain, in any spelling: `v1:` and 52 characters of base32 in lower case.

    HMAC-SHA256 over `v1:` and the canonical host, so it serves no other name, none below it included.
    Raises ConfigError for a short secret, ValueError for what is no domain name.
    """
    check_secret(secret)
    host = parse_host(domain)
    match host:
        case DomainName(name):
            code = hmac.new(secret, f"{_VERSION}{name}".encode("ascii"), sha256).digest()
            return _VERSION + b32encode(code).decode("ascii").rstrip("=").lower()
        case Malformed(why):
            raise ValueError(f"{domain!r} is no domain name: {why}")
        case _:
            raise ValueError(f"{domain!r} is an address, not a domain name")


def consents(mode: LearnMode, domain: str, published_token: str | None, secret: bytes | None) -> Consent:
    """Decide whether a domain that was found HOSTED may be learned.

    `published_token` is the value of its key `token`: up to four tokens with commas between them. None means
    that DNS proved there is none: do not ask while the record could not be looked up. `secret` counts in the
    mode `token` only; without one that is long enough all are refused. Never raises; tokens are compared in
    constant time.
    """
    match mode:
        case LearnMode.OPEN:
            return Consent(kind=ConsentKind.ACTIVE, why="domains.learn is open")
        case LearnMode.APPROVE:
            return Consent(kind=ConsentKind.PENDING, why="domains.learn is approve: waits for the operator")
        case LearnMode.OFF:
            return _refused("domains.learn is off")
        case LearnMode.TOKEN:
            return _by_token(domain, published_token, secret)


def _by_token(domain: str, published: str | None, secret: bytes | None) -> Consent:
    if published is None:
        return _refused(f"no token at {OWNER_PREFIX}{domain}")
    try:
        expected = domain_token(domain, secret or b"").encode("ascii")
    except (ConfigError, ValueError) as error:
        return _refused(str(error))
    tokens = published.split(",", _MAX_TOKENS)
    if len(tokens) > _MAX_TOKENS:
        return _refused(f"over {_MAX_TOKENS} tokens at {OWNER_PREFIX}{domain}")
    # Base32 has one case. Non-ASCII becomes "?", which it has not.
    found = [token.strip(" ").encode("ascii", "replace").lower() for token in tokens]
    if any(hmac.compare_digest(token, expected) for token in found):
        return Consent(kind=ConsentKind.ACTIVE, why=f"its token stands at {OWNER_PREFIX}{domain}")
    return _refused(f"the token at {OWNER_PREFIX}{domain} is not this domain's")


def _refused(why: str) -> Consent:
    return Consent(kind=ConsentKind.REFUSED, why=why)
