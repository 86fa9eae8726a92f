"""Hosts: what is accepted has one spelling, and is a name or an address to everybody else as well."""

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import assert_never

import dns.name

from fastvhost.host import MAX_NAME, DomainName, Malformed, parse_address, parse_host

__all__ = ["check"]

_HOST_OCTETS = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-.")


def check(octets: bytes) -> None:
    """Read `octets` as text; those that are no UTF-8 become surrogates, which no decoder of ours makes."""
    text = octets.decode(errors="surrogateescape")
    host = parse_host(text)
    match host:
        case DomainName(name):
            _check_name(name)
            if text.isascii():
                assert name == text.lower().removesuffix(".")
        case IPv4Address():
            _check_literal(text, str(host), host)
        case IPv6Address():
            assert host.ipv4_mapped is None
            _check_literal(text, f"[{host}]", host)
        case Malformed(why):
            assert why
            assert why.isascii()
            assert why.isprintable()
        case never:
            assert_never(never)
    if text.isascii():
        assert parse_host(text.swapcase()) == host
    address = parse_address(text)
    assert address is None or parse_address(str(address)) == address


def _check_name(name: str) -> None:
    host = DomainName(name)
    assert frozenset(name.encode()) <= _HOST_OCTETS
    assert len(name) <= MAX_NAME
    assert not name[-1].isdigit() or not name.rpartition(".")[2].isdigit(), "would be read as an address"
    assert parse_host(name) == parse_host(f"{name}.") == parse_host(name.upper()) == host
    read = dns.name.from_text(name)
    assert read.labels == (*name.encode().split(b"."), b"")
    assert read.to_text(omit_final_dot=True) == name


def _check_literal(text: str, canonical: str, host: IPv4Address | IPv6Address) -> None:
    assert text.isascii()
    assert parse_host(canonical) == host
    bare = text.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    packed = socket.inet_pton(family, bare)
    assert packed in {host.packed, bytes(10) + b"\xff\xff" + host.packed}
