"""The configuration file: TOML text in, `fastvhost.config` values out.

One table of readers, `_READ_FILE` at the end, takes the file apart. To add a key: add the field to its
section in `fastvhost.config`, and here one line with the reader that checks it.
"""

import re
import tomllib
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface
from pathlib import Path
from typing import Any

from fastvhost.config import (
    DNS_PORT,
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
    Log,
    LogFormat,
    LogLevel,
    Match,
    Own,
    Proxies,
    ProxySchema,
    Transport,
)
from fastvhost.errors import ConfigError
from fastvhost.host import DomainName, Malformed, parse_address, parse_host
from fastvhost.target import parse_target, parse_tcp_target
from fastvhost.toml_readers import (
    NotAllowedError,
    boolean,
    integer,
    list_of,
    mapping,
    not_allowed,
    number,
    one_of,
    pair,
    printable_text,
    shown,
    shown_key,
    table,
)

__all__ = ["load_config", "parse_config", "parse_endpoint"]

_DAY = 86_400
_MAX_PORT = 65_535
_MAX_TTL = 2**31 - 1
"""RFC 2181 section 8."""

_STORES = ("sqlite:///", "postgresql+psycopg://", "mysql+pymysql://")

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
    except NotAllowedError as error:
        raise ConfigError(f"{name}: {'.'.join(map(shown_key, error.keys))}: {error.why}") from None


def parse_endpoint(text: str, *, default_port: int, name: str = "endpoint") -> Endpoint:
    """Read the address of a server to ask, in the forms of `dns.servers`; `name` is what errors call it.

    Raises:
        ConfigError: `text` is none of them, in one line.
    """
    try:
        return _server(text, default_port=default_port)
    except NotAllowedError as error:
        raise ConfigError(f"{name}: {error.why}") from None


# Readers of one value.


def _attribute_key(value: object) -> str:
    text = printable_text(1, 31)(value).lower()
    if "=" in text or " " in text:
        raise not_allowed(value, "a key without '=' and spaces")
    return text


def _attribute_type(value: object) -> AttributeType:
    types = {"integer": AttributeType.INTEGER, "string": AttributeType.STRING}
    if not isinstance(value, str) or value not in types:
        raise not_allowed(value, '"integer" or "string"')
    return types[value]


def _proxy_target(value: object) -> str:
    if not isinstance(value, str):
        raise not_allowed(value, '"udp:127.0.0.1:PORT" or "unix:/PATH"')
    try:
        return str(parse_target(value))
    except ValueError as error:
        raise NotAllowedError(str(error)) from None


def _evapi_target(value: object) -> Endpoint:
    if not isinstance(value, str):
        raise not_allowed(value, '"tcp:127.0.0.1:PORT"')
    try:
        return parse_tcp_target(value)
    except ValueError as error:
        raise NotAllowedError(str(error)) from None


def _ttl_bounds(value: object) -> tuple[float, float]:
    seconds = number(0, _MAX_TTL)
    floor, ceiling = pair(seconds, seconds, "floor and ceiling in seconds")(value)
    if floor > ceiling:
        raise not_allowed(value, "a floor that is not over the ceiling")
    return floor, ceiling


def _network(value: object) -> IPv4Network | IPv6Network:
    allowed = "an IPv4 or IPv6 address, or a network in CIDR notation"
    if not isinstance(value, str) or not _NETWORK.fullmatch(value):
        raise not_allowed(value, allowed)
    try:
        interface = ip_interface(value)
    except ValueError:
        raise not_allowed(value, allowed) from None
    network = interface.network
    if interface.ip != network.network_address:
        raise not_allowed(value, f"the network {network}, or the one address {interface.ip}")
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _ports(value: object) -> frozenset[int]:
    ports = list_of(integer(1, _MAX_PORT), "ports")(value)
    if not ports:
        raise not_allowed(value, "at least one port; leave the transport out to turn it off")
    return frozenset(ports)


def _dns_server(value: object) -> Endpoint:
    return _server(value, default_port=DNS_PORT)


def _server(value: object, *, default_port: int) -> Endpoint:
    allowed = '"ADDRESS", "IPV4:PORT" or "[IPV6]:PORT" of one host, with a port from 1 to 65_535; no names'
    endpoint = _endpoint(value, allowed, lowest_port=1, default_port=default_port)
    address = ip_address(endpoint.address)
    if address.is_unspecified or address.is_multicast:
        raise not_allowed(value, allowed)
    return endpoint


def _listen_endpoint(value: object) -> Endpoint | None:
    allowed = '"IPV4:PORT" or "[IPV6]:PORT" with a port from 0 to 65_535, or "" for off'
    return None if value == "" else _endpoint(value, allowed, lowest_port=0, default_port=None)


def _endpoint(value: object, allowed: str, *, lowest_port: int, default_port: int | None) -> Endpoint:
    if not isinstance(value, str):
        raise not_allowed(value, allowed)
    with_port = _ADDRESS_AND_PORT.fullmatch(value)
    address = parse_address(with_port[1] if with_port else value)
    port = int(with_port[2]) if with_port else default_port
    if address is None or port is None or not lowest_port <= port <= _MAX_PORT:
        raise not_allowed(value, allowed)
    return Endpoint(str(address), port)


def _store(value: object) -> str:
    url = printable_text(0, 1_000)(value)
    if not url or any(url.startswith(form) and url != form for form in _STORES):
        return url
    found = url.partition(":")[0]  # the rest may have a password in it
    raise NotAllowedError(
        f"found {shown(found if found == url else f'{found}:...')}; allowed: "
        '"sqlite:///FILE", "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE", '
        '"mysql+pymysql://USER:PASSWORD@HOST/DATABASE", or "" for none'
    )


def _snapshot(value: object) -> str:
    path = printable_text(0, 4_096)(value)
    if path and not Path(path).name:
        raise not_allowed(value, 'the name of a file, or "" for none')
    return path


def _own_name(value: object) -> str:
    return _domain_name(value, value, 'a host name such as "sip.example.net"')


def _zone(value: object) -> str:
    zone = parse_host(value) if isinstance(value, str) else None
    if not isinstance(zone, DomainName):
        raise not_allowed(value, 'the name of a zone such as "vhost.internal"')
    return zone.name


def _name_or_suffix(value: object) -> str:
    allowed = 'a host name such as "example.net", or ".example.net" for all below it'
    if isinstance(value, str) and value.startswith("."):
        return f".{_domain_name(value, value[1:], allowed)}"
    return _domain_name(value, value, allowed)


def _domain_name(value: object, text: object, allowed: str) -> str:
    """The canonical form of the host name `text`, which is `value` or a part of it."""
    if not isinstance(text, str):
        raise not_allowed(value, allowed)
    match parse_host(text):
        case DomainName(name):
            return name
        case Malformed(why):
            raise not_allowed(value, f"{allowed}; this is no host name: {why}")
        case IPv4Address() | IPv6Address():
            raise not_allowed(value, f"{allowed}; addresses belong in own.addresses")


# What takes the keys of a table where some combinations of them are wrong.


def _config(**sections: Any) -> Config:
    if "own" not in sections:
        raise NotAllowedError("missing; required: a table with addresses, names, or both", "own")
    return Config(**sections)


def _own(*, names: tuple[str, ...] = (), **fields: Any) -> Own:
    own = Own(names=frozenset(names), **fields)
    if not own.addresses and not own.names:
        raise NotAllowedError("found neither addresses nor names; required: at least one of either")
    return own


def _listen(**fields: Any) -> Listen:
    listen = Listen(**fields)
    if listen.dns is not None and listen.dns.port:
        for name, other in (("pdb", listen.pdb), ("admin", listen.admin)):
            if other == listen.dns:  # DNS takes UDP and TCP; PDB and HTTP only one of them
                raise NotAllowedError(f"found {shown(str(other))}; allowed: another address than dns", name)
    return listen


def _transports(**ports: frozenset[int]) -> dict[Transport, frozenset[int]]:
    if not ports:
        raise not_allowed({}, f"at least one of {', '.join(transport.value for transport in Transport)}")
    return {Transport(word): numbers for word, numbers in ports.items()}


def _domains(**fields: Any) -> Domains:
    domains = Domains(**fields)
    for entry in domains.never:
        if entry in domains.always:
            raise NotAllowedError(f"found {shown(entry)}; allowed: none of domains.always", "never")
    return domains


_READ_FILE = table(
    _config,
    own=table(
        _own,
        addresses=list_of(_network, "addresses and CIDR networks"),
        names=list_of(_own_name, "host names"),
        ports=table(_transports, **{transport.value: _ports for transport in Transport}),
    ),
    listen=table(
        _listen,
        pdb=_listen_endpoint,
        dns=_listen_endpoint,
        admin=_listen_endpoint,
        zone=_zone,
        allow=list_of(_network, "addresses and CIDR networks"),
        answer_within=number(0.001, 10),
    ),
    dns=table(
        Dns,
        servers=list_of(_dns_server, "addresses, each with or without a port"),
        trusted=boolean,
        timeout=number(0.05, 60),
        walk_timeout=number(0.05, 300),
        match=one_of(Match),
        address_fallback=boolean,
    ),
    cache=table(
        Cache,
        hosted_entries=integer(1, 100_000_000),
        unknown_entries=integer(1, 100_000_000),
        hosted_ttl=_ttl_bounds,
        not_hosted_ttl=_ttl_bounds,
        stale=number(0, _MAX_TTL),
        snapshot=_snapshot,
        snapshot_every=number(1, _DAY),
    ),
    limits=table(
        Limits,
        upstream_qps=number(1, 1_000_000),
        upstream_inflight=integer(1, _MAX_PORT),  # each takes a local port
        source_rate=number(1, 1_000_000),
        source_queries=number(0, 1_000_000),
        source_prefix=pair(integer(0, 32), integer(0, 128), "the IPv4 and the IPv6 prefix length"),
        zone_rate=number(1, 1_000_000),
        waiters=integer(1, 1_000_000),
    ),
    domains=table(
        _domains,
        always=list_of(_name_or_suffix, "host names and suffixes"),
        never=list_of(_name_or_suffix, "host names and suffixes"),
        store=_store,
        schema=one_of(ProxySchema),
        learn=one_of(LearnMode),
        learn_per_zone=integer(1, 100_000_000),
        learn_most=integer(1, 100_000_000),
        secret_file=printable_text(0, 4_096),
        did=mapping(_own_name, printable_text(1, 64), "did by domain"),
        poll=number(0.1, 3_600),
    ),
    attributes=table(
        Attributes,
        allow=mapping(_attribute_key, _attribute_type, "type by key"),
        prefix=printable_text(1, 31),
        trust_auth=boolean,
    ),
    housekeeping=table(
        Housekeeping,
        negatives=integer(1, 100),
        over=number(0, 30 * _DAY),
        grace=number(0, 3_650 * _DAY),
        brake=number(0, 1),
        check_floor=number(10, 30 * _DAY),
        check_ceiling=number(10, 30 * _DAY),
    ),
    proxies=table(
        Proxies,
        kamailio=list_of(_proxy_target, "sockets of proxies"),
        opensips=list_of(_proxy_target, "sockets of proxies"),
        reload_interval=number(1, _DAY),
        htable=printable_text(0, 64),
        evapi=list_of(_evapi_target, "addresses of Kamailio's evapi"),
        evapi_within=number(0.001, 10),
    ),
    log=table(
        Log,
        level=one_of(LogLevel),
        format=one_of(LogFormat),
        per_minute=integer(1, 1_000_000),
        queries=number(0, 1),
    ),
)
