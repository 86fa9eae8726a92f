"""The grammar of a SIP host: what may be asked about, and in which one spelling.

Source: RFC 3261 section 25.1 (`host`), RFC 1034 section 3.1 (lengths), RFC 5891 (U-labels to A-labels).
"""

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

__all__ = [
    "MAX_NAME",
    "Address",
    "DomainName",
    "Host",
    "Malformed",
    "normalised_address",
    "parse_address",
    "parse_host",
]

Address = IPv4Address | IPv6Address

MAX_NAME = 253
"""Octets of a name in text without trailing dot (RFC 1034: 255 on the wire)."""

_MAX_LABEL = 63
"""Octets of a label (RFC 1035 section 2.3.4)."""

_MAX_DECOMPOSED = 4 * MAX_NAME
"""Characters of a name before NFC, which makes one of up to four; over combining marks it is quadratic."""

_DOMAIN_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_TOP_LABEL = "[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOSTNAME = re.compile(rf"(?:{_DOMAIN_LABEL}\.)*{_TOP_LABEL}")
_IPV4_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")

# What RFC 3490 section 3.1 calls dots: IDNA input methods produce them.
_IDEOGRAPHIC_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")


@dataclass(frozen=True, slots=True)
class DomainName:
    """A host that DNS can be asked about: lower-case A-labels, no trailing dot, at most 253 octets."""

    name: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not a host; `why` says so in a few words."""

    why: str


Host = DomainName | IPv4Address | IPv6Address | Malformed


def parse_host(text: str) -> Host:
    """Read the host part of a SIP URI.

    An IPv4-mapped IPv6 literal is the IPv4 address that it maps (RFC 7984 section 4). Never raises.
    """
    if len(text) <= MAX_NAME and _HOSTNAME.fullmatch(text):
        return DomainName(text)  # as nearly all are written
    if text.startswith("["):
        return _ipv6_reference(text)
    if _IPV4_ADDRESS.fullmatch(text):
        return _ipv4_address(text)
    if text.isascii():
        return _hostname(text.removesuffix(".").lower())
    return _u_labels(text)


def parse_address(text: str) -> Address | None:
    """Read an IPv4 address or an IPv6 address with or without brackets; None for anything else."""
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
        if ":" not in text:
            return None
    try:
        if ":" not in text:
            return IPv4Address(text)
        # A zone index (RFC 6874) means something on one machine only, so it names nobody here.
        return None if "%" in text else normalised_address(IPv6Address(text))
    except AddressValueError:
        return None


def normalised_address(address: Address) -> Address:
    """The IPv4 address where `address` is an IPv4-mapped IPv6 one, else `address` itself."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _ipv6_reference(text: str) -> Address | Malformed:
    address = parse_address(text) if text.endswith("]") else None
    return Malformed("not an IPv6 address in brackets") if address is None else address


def _ipv4_address(text: str) -> Address | Malformed:
    # The grammar lets 01.2.3.4 pass, but readers disagree whether that is octal (RFC 6943 section 3.1.1).
    address = parse_address(text)
    return Malformed("an IPv4 address with a part over 255 or a leading zero") if address is None else address


def _hostname(text: str) -> DomainName | Malformed:
    if len(text) > MAX_NAME:
        return Malformed(f"over {MAX_NAME} octets")
    return DomainName(text) if _HOSTNAME.fullmatch(text) else Malformed(_why_no_hostname(text))


def _u_labels(text: str) -> DomainName | Malformed:
    import idna  # its tables take 15 ms to load, and most daemons never see a U-label

    if len(text) > _MAX_DECOMPOSED:
        return Malformed(f"over {MAX_NAME} octets")
    # UTS 46 mapping folds case and width as RFC 5895 section 2 asks; the labels are then IDNA 2008's.
    folded = unicodedata.normalize("NFC", text.translate(_IDEOGRAPHIC_DOTS)).removesuffix(".")
    if any(len(label) > _MAX_LABEL for label in folded.split(".")):
        # An A-label is never shorter than its U-label, and the checks of a long one take long.
        return Malformed(f"a label over {_MAX_LABEL} octets")
    if len(folded) > MAX_NAME:
        return Malformed(f"over {MAX_NAME} octets")
    try:
        a_labels = idna.encode(folded, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return Malformed("a label is not valid by IDNA 2008")
    return _hostname(a_labels.lower())


def _why_no_hostname(text: str) -> str:
    if not text:
        return "empty"
    if ":" in text:
        return "a port, or an IPv6 address without brackets"
    for label in text.split("."):
        if not label:
            return "an empty label"
        if len(label) > 63:
            return "a label over 63 octets"
        if not re.fullmatch("[a-z0-9-]+", label):
            return "a character that no host may have"
        if label.startswith("-") or label.endswith("-"):
            return "a label that begins or ends with a hyphen"
    return "the last label must begin with a letter"
