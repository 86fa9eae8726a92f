"""What a domain's owner publishes at `_vhost._sip.DOMAIN`: octets of TXT records to values.

The format is docs/attributes.md. Anybody may publish anything there, so the reader takes what the
operator's rules allow, skips the rest by name with the reason, and never raises.

*Source: RFC 6763 section 6 (key=value character-strings).*
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastvhost.config import Attributes as AttributeRules
from fastvhost.domains.record import Attribute, AttributeType
from fastvhost.domains.rows import MAX_ATTRIBUTE_NAME, MAX_DOMAIN
from fastvhost.host import DomainName, Malformed, parse_host

__all__ = [
    "DOCUMENTED_KEYS",
    "OWNER_PREFIX",
    "AttributeRules",
    "Published",
    "Skipped",
    "read_attributes",
    "table_name",
]

OWNER_PREFIX = "_vhost._sip."
"""What stands before a domain to make the owner name of its TXT record (RFC 8552 section 2)."""

_MAX_STRING = 255
"""Octets of a character-string (RFC 1035 section 3.3), so that every value fits `domain_attrs.value`."""

_MAX_STRINGS = 64
_MAX_RECORD = 4_096
"""Octets on the wire; RFC 6763 section 6.2 advises at most 1300."""

_MAX_ALIASES = 50
_MAX_REALM = 64
"""Octets; as wide as the realm of the proxy's own tables."""

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,9}")
_REALM = re.compile(rf'[^"\\]{{1,{_MAX_REALM}}}')
_URI_REST = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_NOT_PRINTABLE = re.compile(rb"[^ -~]")

_CONTACT_SCHEMES = frozenset({"sip", "sips", "tel", "mailto", "https"})

_ALGORITHMS = ("SHA-256", "SHA-512-256")
"""RFC 8760 section 2.1 without MD5, which DNS may never ask for: the operator's own rows may."""

_QOPS = ("auth", "auth-int")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A key that was not used. Both are printable ASCII; `key` is at most 64 characters."""

    key: str
    """In lower case; what is not printable is escaped; `v` where it is the whole record."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What one domain publishes, as far as the rules take it; without a record all is empty."""

    attributes: tuple[Attribute, ...] = ()
    """At most 63, in the record's order, their names unique and under the forced prefix."""
    did: str | None = None
    """The domain whose virtual domain it wants to join: a claim, see `fastvhost.domains.did`."""
    aliases: tuple[str, ...] = ()
    """Canonical hosts that may join it; at most 50."""
    token: str | None = None
    """The owner's consent, unchecked: see `fastvhost.domains.consent`."""
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class _Unfit:
    """A value outside its key's grammar."""

    why: str


def read_attributes(
    records: Sequence[Sequence[bytes]], rules: AttributeRules, *, authentic: bool
) -> Published:
    """Read the TXT records at a domain's owner name, each as its character-strings.

    Records that do not begin with `v=vhost1` are others' and left alone. Where several do, none is used:
    their order is chance, or an attacker's choice. `authentic`: the answer came validated (AD) from a
    trusted upstream. Never raises; the cost grows with the octets of the records.
    """
    ours = [strings for strings in records if strings and _is_version(strings[0])]
    if not ours:
        return Published()
    if len(ours) > 1:
        return _none_used(f"{len(ours)} records begin with v=vhost1: none is used")
    strings = ours[0]
    if len(strings) > _MAX_STRINGS:
        return _none_used(f"over {_MAX_STRINGS} character-strings: none is used")
    if sum(1 + len(string) for string in strings) > _MAX_RECORD:
        return _none_used(f"over {_MAX_RECORD} octets: none is used")
    reading = _Reading(rules, authentic=authentic)
    for string in strings[1:]:
        if string:
            reading.take(string)
    return reading.published()


def table_name(text: str) -> str | Malformed:
    """The canonical host that `text` spells, if it is a name that fits the proxy's table; never raises."""
    host = parse_host(text)
    match host:
        case DomainName(name) if len(name) <= MAX_DOMAIN:
            return name
        case DomainName():
            return Malformed(f"over {MAX_DOMAIN} octets")
        case Malformed():
            return host
        case _:
            return Malformed("an address, not a name")


class _Reading:
    """One record while its strings are read."""

    __slots__ = ("_aliases", "_attributes", "_authentic", "_did", "_rules", "_seen", "_skipped", "_token")

    def __init__(self, rules: AttributeRules, *, authentic: bool) -> None:
        self._rules = rules
        self._authentic = authentic
        self._seen = {"v"}
        self._attributes: list[Attribute] = []
        self._did: str | None = None
        self._aliases: tuple[str, ...] = ()
        self._token: str | None = None
        self._skipped: list[Skipped] = []

    def take(self, string: bytes) -> None:
        octets, equals, value = string.partition(b"=")
        key = _shown(octets)
        why = self._why_skipped(octets, key)
        if why is None and not equals:
            why = "no '=': no key here is without a value"
        if why is None:
            why = _why_no_text(string, value) or self._set(key, value.decode("ascii"))
        if why is not None:
            self._skip(key, why)

    def published(self) -> Published:
        return Published(
            attributes=tuple(self._attributes),
            did=self._did,
            aliases=self._aliases,
            token=self._token,
            skipped=tuple(self._skipped),
        )

    def _skip(self, key: str, why: str) -> None:
        self._skipped.append(Skipped(key, why))

    def _why_skipped(self, octets: bytes, key: str) -> str | None:
        """Why the key alone, whatever its value, is reason to skip it."""
        if not octets:
            return "begins with '=': no key"
        if _NOT_PRINTABLE.search(octets):
            return "the key is not printable ASCII"
        if len(octets) > len(key):
            return "the key is too long"
        if key in self._seen:
            return "a duplicate: the first one counts"
        self._seen.add(key)
        if key not in DOCUMENTED_KEYS and key not in self._rules.allow:
            return "unknown"
        if not key.startswith("auth."):
            return None
        if not self._rules.trust_auth:
            return "attributes.trust_auth is off"
        return None if self._authentic else "the answer is not validated by DNSSEC"

    def _set(self, key: str, value: str) -> str | None:
        """Take a printable, non-empty value, or say why not."""
        match key:
            case "token":
                self._token = value
            case "did":
                did = table_name(value)
                if isinstance(did, Malformed):
                    return did.why
                self._did = did
            case "alias":
                return self._set_aliases(value)
            case _:
                return self._add_attribute(key, value)
        return None

    def _set_aliases(self, value: str) -> str | None:
        """Take the names that are names; a wrong one is skipped alone."""
        listed = list(_listed(value))
        if len(listed) > _MAX_ALIASES:
            return f"over {_MAX_ALIASES} names"
        aliases: dict[str, None] = {}
        for text in listed:
            name = table_name(text)
            if isinstance(name, Malformed):
                self._skip("alias", f"{text!r}: {name.why}")
            else:
                aliases[name] = None
        self._aliases = tuple(aliases)
        return None

    def _add_attribute(self, key: str, value: str) -> str | None:
        name = self._rules.prefix + key
        if len(name) > MAX_ATTRIBUTE_NAME:
            return f"{name} is over {MAX_ATTRIBUTE_NAME} octets"
        if key in _ATTRIBUTES:
            kind, canonical = _ATTRIBUTES[key]
        else:
            kind = AttributeType(self._rules.allow[key])
            canonical = _integer if kind is AttributeType.INTEGER else _text
        read = canonical(value)
        if isinstance(read, _Unfit):
            return read.why
        self._attributes.append(Attribute(name=name, type=kind, value=read))
        return None


def _is_version(string: bytes) -> bool:
    key, _, value = string.partition(b"=")
    return key.lower() == b"v" and value == b"vhost1"


def _none_used(why: str) -> Published:
    return Published(skipped=(Skipped("v", why),))


def _shown(octets: bytes) -> str:
    """A key as it is compared and shown: lower case, 64 characters of it, what is not printable escaped."""
    printable = _NOT_PRINTABLE.sub(lambda found: b"\\x%02x" % found[0][0], octets[:64])
    return printable[:64].lower().decode("ascii")


def _why_no_text(string: bytes, value: bytes) -> str | None:
    if len(string) > _MAX_STRING:
        return f"over {_MAX_STRING} octets"
    if not value:
        return "empty"
    if not value.isascii():
        return "not ASCII"
    return "a control character" if _NOT_PRINTABLE.search(value) else None


def _listed(value: str) -> Iterator[str]:
    """The items of a list: commas between them, spaces around them."""
    return (item.strip(" ") for item in value.split(","))


def _text(value: str) -> str | _Unfit:
    return value


def _integer(value: str) -> str | _Unfit:
    if _INTEGER.fullmatch(value) and -(2**31) <= int(value) < 2**31:
        return value
    return _Unfit("not an integer of 32 bits, in decimal without leading zeros")


def _max_calls(value: str) -> str | _Unfit:
    calls = _integer(value)
    return _Unfit("under 0") if isinstance(calls, str) and calls.startswith("-") else calls


def _peering(value: str) -> str | _Unfit:
    word = value.lower()
    if word in ("open", "closed"):
        return word
    if not word.startswith("list:"):
        return _Unfit("not open, closed or list:NAME,…")
    # A list with a hole would be another policy than the one published, so it counts as a whole or not.
    names: list[str] = []
    for text in _listed(word.removeprefix("list:")):
        name = table_name(text)
        if isinstance(name, Malformed):
            return _Unfit(f"{text!r}: {name.why}")
        names.append(name)
    return f"list:{','.join(names)}"


def _realm(value: str) -> str | _Unfit:
    if _REALM.fullmatch(value):
        return value
    return _Unfit(f"over {_MAX_REALM} octets, or a quote or backslash in it")


def _one_of(*words: str) -> Callable[[str], str | _Unfit]:
    def canonical(value: str) -> str | _Unfit:
        for word in words:
            if value.lower() == word.lower():
                return word
        return _Unfit(f"not one of {', '.join(words)}")

    return canonical


def _contact(value: str) -> str | _Unfit:
    scheme, _, rest = value.partition(":")
    if scheme.lower() not in _CONTACT_SCHEMES:
        return _Unfit(f"not a URI of {', '.join(sorted(_CONTACT_SCHEMES))}")
    if not _URI_REST.fullmatch(rest):
        return _Unfit("not a URI by RFC 3986")
    return f"{scheme.lower()}:{rest}"


_ATTRIBUTES: Mapping[str, tuple[AttributeType, Callable[[str], str | _Unfit]]] = {
    "peering": (AttributeType.STRING, _peering),
    "auth.realm": (AttributeType.STRING, _realm),
    "auth.algorithm": (AttributeType.STRING, _one_of(*_ALGORITHMS)),
    "auth.qop": (AttributeType.STRING, _one_of(*_QOPS)),
    "max-calls": (AttributeType.INTEGER, _max_calls),
    "contact": (AttributeType.STRING, _contact),
}
"""The documented keys that become attributes: type, and value to canonical value."""

DOCUMENTED_KEYS = frozenset({"v", "did", "alias", "token", *_ATTRIBUTES})
"""Keys with a meaning of their own, which an operator's allow-list cannot change."""
