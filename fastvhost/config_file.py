"""The configuration file: TOML text in, `fastvhost.config` values out.

One table of readers, `_READ_FILE` at the end, takes the file apart. To add a key: add the field to its
section in `fastvhost.config`, and here one line with the reader that checks it.
"""

import re
import tomllib
from collections.abc import Callable
from difflib import get_close_matches
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface
from pathlib import Path
from typing import Any, TypeVar

from fastvhost.config import (
    Attributes,
    AttributeType,
    Cache,
    Config,
    Dns,
    Domains,
    Endpoint,
    Housekeeping,
    LearnMode,
    Limits,
    Listen,
    Match,
    Own,
    Proxies,
    ProxySchema,
    Transport,
)
from fastvhost.errors import ConfigError
from fastvhost.host import DomainName, Malformed, parse_address, parse_host
from fastvhost.target import parse_target

__all__ = ["load_config", "parse_config", "parse_endpoint"]

_T = TypeVar("_T")

_Reader = Callable[[object], _T]
"""Turns a value that tomllib found into the one that a section takes, or raises _NotAllowedError."""

_DNS_PORT = 53
_DAY = 86_400
_MAX_PORT = 65_535
_MAX_TTL = 2**31 - 1
"""RFC 2181 section 8."""
_MAX_SHOWN = 60
"""Characters of a value that an error message shows."""

_NETWORK = re.compile(r"[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?")
_ADDRESS_AND_PORT = re.compile(r"([0-9.]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


def load_config(path: Path) -> Config:
    """Read and check the configuration file at `path`.

    Raises:
        ConfigError: the file cannot be read, or is wrong; `parse_config` says how.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")  # editors on Windows begin files with a BOM
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error.reason} at octet {error.start}") from error
    return parse_config(text, name=str(path))


def parse_config(text: str, *, name: str) -> Config:
    """Read and check the TOML in `text`; `name` is what errors call it.

    Raises:
        ConfigError: the first thing that is wrong: one line with `name`, key, value and what is allowed.
    """
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{name}: not TOML that can be read: nested too deeply") from error
    except ValueError as error:  # TOMLDecodeError, or an integer over the interpreter's limit of digits
        raise ConfigError(f"{name}: not TOML: {error}") from error
    try:
        return _READ_FILE(document)
    except _NotAllowedError as error:
        raise ConfigError(f"{name}: {'.'.join(map(_shown_key, error.keys))}: {error.why}") from None


def parse_endpoint(text: str, *, default_port: int) -> Endpoint:
    """Read the address of a server to ask, in the forms of `dns.servers`.

    Raises:
        ConfigError: `text` is none of them, in one line.
    """
    try:
        return _server(text, default_port=default_port)
    except _NotAllowedError as error:
        raise ConfigError(f"endpoint: {error.why}") from None


class _NotAllowedError(Exception):
    """What a reader refuses: `why` for the operator, `keys` from the table being read down to the value."""

    def __init__(self, why: str, *keys: str) -> None:
        super().__init__(why)
        self.why = why
        self.keys = keys


def _not_allowed(value: object, allowed: str) -> _NotAllowedError:
    return _NotAllowedError(f"found {_shown(value)}; allowed: {allowed}")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # ValueError: 0x… with more digits than the interpreter prints
        return "<too large to show>"
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def _shown_key(key: str) -> str:
    return key if re.fullmatch(rf"[A-Za-z0-9_-]{{1,{_MAX_SHOWN}}}", key) else _shown(key)


# Readers of a table, a list, a pair: each is made of the readers of its parts.


def _table(build: Callable[..., _T], /, **readers: _Reader[object]) -> _Reader[_T]:
    """A table with these keys, all optional; `build` takes those that are there."""
    known = ", ".join(readers)

    def read(value: object) -> _T:
        if not isinstance(value, dict):
            raise _not_allowed(value, f"a table of {known}")
        fields: dict[str, object] = {}
        for key, found in value.items():
            if key not in readers:
                nearest = get_close_matches(key.lower(), readers, n=1)
                hint = f"did you mean {nearest[0]}? " if nearest else ""
                raise _NotAllowedError(f"unknown, with value {_shown(found)}; {hint}allowed: {known}", key)
            try:
                fields[key] = readers[key](found)
            except _NotAllowedError as error:
                raise _NotAllowedError(error.why, key, *error.keys) from None
        return build(**fields)

    return read


def _list_of(read_one: _Reader[_T], what: str) -> _Reader[tuple[_T, ...]]:
    """A list without its duplicates, in the order of the file."""

    def read(value: object) -> tuple[_T, ...]:
        if not isinstance(value, list):
            raise _not_allowed(value, f"a list of {what}")
        return tuple(dict.fromkeys(map(read_one, value)))

    return read


def _pair(first: _Reader[_T], second: _Reader[_T], what: str) -> _Reader[tuple[_T, _T]]:
    def read(value: object) -> tuple[_T, _T]:
        if not isinstance(value, list) or len(value) != 2:
            raise _not_allowed(value, f"a list of two, {what}")
        return first(value[0]), second(value[1])

    return read


# Readers of one value.


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _not_allowed(value, "true or false")
    return value


def _integer(low: int, high: int) -> _Reader[int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _not_allowed(value, f"an integer from {low} to {high:_}")
        return value

    return read


def _number(low: float, high: float) -> _Reader[float]:
    def read(value: object) -> float:
        # NaN fails the comparison, infinity the upper bound.
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise _not_allowed(value, f"a number from {low} to {high:_}")
        return float(value)

    return read


def _text(least: int, most: int) -> _Reader[str]:
    def read(value: object) -> str:
        if (
            not isinstance(value, str)
            or not least <= len(value) <= most
            or not (value.isprintable() and value.isascii())
        ):
            raise _not_allowed(value, f"printable ASCII text of {least} to {most} characters")
        return value

    return read


def _mapping(key: _Reader[str], value: _Reader[_T], what: str) -> _Reader[dict[str, _T]]:
    def read(found: object) -> dict[str, _T]:
        if not isinstance(found, dict):
            raise _not_allowed(found, f"a table of {what}")
        return {key(name): value(item) for name, item in found.items()}

    return read


def _attribute_key(value: object) -> str:
    text = _text(1, 31)(value).lower()
    if "=" in text or " " in text:
        raise _not_allowed(value, "a key without '=' and spaces")
    return text


def _attribute_type(value: object) -> AttributeType:
    types = {"integer": AttributeType.INTEGER, "string": AttributeType.STRING}
    if not isinstance(value, str) or value not in types:
        raise _not_allowed(value, '"integer" or "string"')
    return types[value]


def _proxy_target(value: object) -> str:
    if not isinstance(value, str):
        raise _not_allowed(value, '"udp:127.0.0.1:PORT" or "unix:/PATH"')
    try:
        return str(parse_target(value))
    except ValueError as error:
        raise _NotAllowedError(str(error)) from None


def _one_of(words: type[Enum]) -> _Reader[Enum]:
    def read(value: object) -> Enum:
        try:
            return words(value)
        except ValueError:
            raise _not_allowed(value, " or ".join(f'"{word.value}"' for word in words)) from None

    return read


def _ttl_bounds(value: object) -> tuple[float, float]:
    seconds = _number(0, _MAX_TTL)
    floor, ceiling = _pair(seconds, seconds, "floor and ceiling in seconds")(value)
    if floor > ceiling:
        raise _not_allowed(value, "a floor that is not over the ceiling")
    return floor, ceiling


def _network(value: object) -> IPv4Network | IPv6Network:
    allowed = "an IPv4 or IPv6 address, or a network in CIDR notation"
    if not isinstance(value, str) or not _NETWORK.fullmatch(value):
        raise _not_allowed(value, allowed)
    try:
        interface = ip_interface(value)
    except ValueError:
        raise _not_allowed(value, allowed) from None
    network = interface.network
    if interface.ip != network.network_address:
        raise _not_allowed(value, f"the network {network}, or the one address {interface.ip}")
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _ports(value: object) -> frozenset[int]:
    ports = _list_of(_integer(1, _MAX_PORT), "ports")(value)
    if not ports:
        raise _not_allowed(value, "at least one port; leave the transport out to turn it off")
    return frozenset(ports)


def _dns_server(value: object) -> Endpoint:
    return _server(value, default_port=_DNS_PORT)


def _server(value: object, *, default_port: int) -> Endpoint:
    allowed = '"ADDRESS", "IPV4:PORT" or "[IPV6]:PORT" of one host, with a port from 1 to 65_535; no names'
    endpoint = _endpoint(value, allowed, lowest_port=1, default_port=default_port)
    address = ip_address(endpoint.address)
    if address.is_unspecified or address.is_multicast:
        raise _not_allowed(value, allowed)
    return endpoint


def _listen_endpoint(value: object) -> Endpoint | None:
    allowed = '"IPV4:PORT" or "[IPV6]:PORT" with a port from 0 to 65_535, or "" for off'
    return None if value == "" else _endpoint(value, allowed, lowest_port=0, default_port=None)


def _endpoint(value: object, allowed: str, *, lowest_port: int, default_port: int | None) -> Endpoint:
    if not isinstance(value, str):
        raise _not_allowed(value, allowed)
    with_port = _ADDRESS_AND_PORT.fullmatch(value)
    address = parse_address(with_port[1] if with_port else value)
    port = int(with_port[2]) if with_port else default_port
    if address is None or port is None or not lowest_port <= port <= _MAX_PORT:
        raise _not_allowed(value, allowed)
    return Endpoint(str(address), port)


def _own_name(value: object) -> str:
    return _domain_name(value, value, 'a host name such as "sip.example.net"')


def _name_or_suffix(value: object) -> str:
    allowed = 'a host name such as "example.net", or ".example.net" for all below it'
    if isinstance(value, str) and value.startswith("."):
        return f".{_domain_name(value, value[1:], allowed)}"
    return _domain_name(value, value, allowed)


def _domain_name(value: object, text: object, allowed: str) -> str:
    """The canonical form of the host name `text`, which is `value` or a part of it."""
    if not isinstance(text, str):
        raise _not_allowed(value, allowed)
    match parse_host(text):
        case DomainName(name):
            return name
        case Malformed(why):
            raise _not_allowed(value, f"{allowed}; this is no host name: {why}")
        case IPv4Address() | IPv6Address():
            raise _not_allowed(value, f"{allowed}; addresses belong in own.addresses")


# What takes the keys of a table where some combinations of them are wrong.


def _config(**sections: Any) -> Config:
    if "own" not in sections:
        raise _NotAllowedError("missing; required: a table with addresses, names, or both", "own")
    return Config(**sections)


def _own(*, names: tuple[str, ...] = (), **fields: Any) -> Own:
    own = Own(names=frozenset(names), **fields)
    if not own.addresses and not own.names:
        raise _NotAllowedError("found neither addresses nor names; required: at least one of either")
    return own


def _transports(**ports: frozenset[int]) -> dict[Transport, frozenset[int]]:
    if not ports:
        raise _not_allowed({}, f"at least one of {', '.join(transport.value for transport in Transport)}")
    return {Transport(word): numbers for word, numbers in ports.items()}


def _domains(**fields: Any) -> Domains:
    domains = Domains(**fields)
    for entry in domains.never:
        if entry in domains.always:
            raise _NotAllowedError(f"found {_shown(entry)}; allowed: none of domains.always", "never")
    return domains


_READ_FILE = _table(
    _config,
    own=_table(
        _own,
        addresses=_list_of(_network, "addresses and CIDR networks"),
        names=_list_of(_own_name, "host names"),
        ports=_table(_transports, **{transport.value: _ports for transport in Transport}),
    ),
    listen=_table(
        Listen,
        pdb=_listen_endpoint,
        allow=_list_of(_network, "addresses and CIDR networks"),
        answer_within=_number(0.001, 10),
    ),
    dns=_table(
        Dns,
        servers=_list_of(_dns_server, "addresses, each with or without a port"),
        trusted=_boolean,
        timeout=_number(0.05, 60),
        walk_timeout=_number(0.05, 300),
        match=_one_of(Match),
        address_fallback=_boolean,
    ),
    cache=_table(
        Cache,
        hosted_entries=_integer(1, 100_000_000),
        unknown_entries=_integer(1, 100_000_000),
        hosted_ttl=_ttl_bounds,
        not_hosted_ttl=_ttl_bounds,
        stale=_number(0, _MAX_TTL),
    ),
    limits=_table(
        Limits,
        upstream_qps=_number(1, 1_000_000),
        upstream_inflight=_integer(1, _MAX_PORT),  # each takes a local port
        source_rate=_number(1, 1_000_000),
        source_prefix=_pair(_integer(0, 32), _integer(0, 128), "the IPv4 and the IPv6 prefix length"),
        zone_rate=_number(1, 1_000_000),
        waiters=_integer(1, 1_000_000),
    ),
    domains=_table(
        _domains,
        always=_list_of(_name_or_suffix, "host names and suffixes"),
        never=_list_of(_name_or_suffix, "host names and suffixes"),
        store=_text(0, 1_000),
        schema=_one_of(ProxySchema),
        learn=_one_of(LearnMode),
        learn_per_zone=_integer(1, 100_000_000),
        learn_most=_integer(1, 100_000_000),
        secret_file=_text(0, 4_096),
        did=_mapping(_own_name, _text(1, 64), "did by domain"),
        poll=_number(0.1, 3_600),
    ),
    attributes=_table(
        Attributes,
        allow=_mapping(_attribute_key, _attribute_type, "type by key"),
        prefix=_text(1, 31),
        trust_auth=_boolean,
    ),
    housekeeping=_table(
        Housekeeping,
        negatives=_integer(1, 100),
        over=_number(0, 30 * _DAY),
        grace=_number(0, 3_650 * _DAY),
        brake=_number(0, 1),
        check_floor=_number(10, 30 * _DAY),
        check_ceiling=_number(10, 30 * _DAY),
    ),
    proxies=_table(
        Proxies,
        kamailio=_list_of(_proxy_target, "sockets of proxies"),
        opensips=_list_of(_proxy_target, "sockets of proxies"),
        reload_interval=_number(1, _DAY),
        htable=_text(0, 64),
    ),
)
