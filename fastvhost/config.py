"""The configuration as values: one frozen section for each table of the TOML file.

A part of the service is handed the section that it needs, nothing more. Reading and checking a file is
`fastvhost.config_file`'s; what is built here by a program is trusted to keep the ranges given below.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import NamedTuple

__all__ = [
    "DNS_PORT",
    "AttributeType",
    "Attributes",
    "Cache",
    "Config",
    "Dns",
    "Domains",
    "Endpoint",
    "Housekeeping",
    "LearnMode",
    "Limits",
    "Listen",
    "Log",
    "LogFormat",
    "LogLevel",
    "Match",
    "Network",
    "Own",
    "Proxies",
    "ProxySchema",
    "Transport",
]

Network = IPv4Network | IPv6Network

DNS_PORT = 53
"""Of a DNS server that is named without one."""


class Transport(Enum):
    """A SIP transport, named as in `own.ports`."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    SCTP = "sctp"
    WS = "ws"
    WSS = "wss"


class Match(Enum):
    """How much of what DNS publishes must lead to us."""

    ANY = "any"
    """Any one record."""
    FIRST = "first"
    """The record that a client prefers: lowest order and preference, lowest priority."""


class Endpoint(NamedTuple):
    """An address to bind or to ask: IPv4 or IPv6 in text, without brackets, and a port 0–65535."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


_DEFAULT_PORTS: Mapping[Transport, frozenset[int]] = {
    Transport.UDP: frozenset({5060}),
    Transport.TCP: frozenset({5060}),
    Transport.TLS: frozenset({5061}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """Who we are in DNS. At least one of `addresses` and `names` is not empty."""

    addresses: tuple[Network, ...] = ()
    """Where SIP reaches us; a single address is a network of one."""
    names: frozenset[str] = frozenset()
    """SRV and NAPTR targets that are us by name: canonical hosts."""
    ports: Mapping[Transport, frozenset[int]] = field(default_factory=lambda: _DEFAULT_PORTS)
    """The transports that we serve, each with the ports (1–65535) that an SRV record may name."""

    def has_address(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether SIP reaches us at `address`."""
        return any(address in network for network in self.addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where clients reach us, and which clients."""

    pdb: Endpoint | None = Endpoint("127.0.0.1", 5380)
    """The PDB face; None turns it off. Port 0 takes a free one."""
    dns: Endpoint | None = Endpoint("127.0.0.1", 5381)
    """The DNS face, over UDP and TCP, likewise."""
    admin: Endpoint | None = Endpoint("127.0.0.1", 5382)
    """The admin face, over HTTP, likewise."""
    zone: str = "vhost.internal"
    """The zone of the DNS face, below which hosts are asked for: a canonical host."""
    allow: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    """Clients that get a reply; others are dropped unread and counted."""
    answer_within: float = 0.04
    """Seconds until a reply goes out, PENDING when nothing better is known; 0.001–10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """How DNS is asked and what counts as leading to us."""

    servers: tuple[Endpoint, ...] = ()
    """Recursive servers, the preferred first; empty: those of the system's resolv.conf."""
    trusted: bool = False
    """Believe these servers' AD bit (RFC 4035 section 4.9.3)."""
    timeout: float = 2.0
    """Seconds for one upstream query; 0.05–60."""
    walk_timeout: float = 8.0
    """Seconds for one walk; 0.05–300."""
    match: Match = Match.ANY
    """Whether any record or only the preferred one must lead to us."""
    address_fallback: bool = True
    """Whether A and AAAA of the host count where it has no SRV record (RFC 3263 section 4.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """How many verdicts are kept, and how long."""

    hosted_entries: int = 200_000
    """Most HOSTED verdicts; 1–100,000,000."""
    unknown_entries: int = 1_000_000
    """Most other verdicts; 1–100,000,000."""
    hosted_ttl: tuple[float, float] = (30.0, 86_400.0)
    """Floor and ceiling of a HOSTED verdict, seconds; each 0–2³¹-1 (RFC 2181 section 8)."""
    not_hosted_ttl: tuple[float, float] = (5.0, 3_600.0)
    """Floor and ceiling of a NOT_HOSTED verdict, in the same range."""
    stale: float = 86_400.0
    """Seconds past its TTL that a HOSTED verdict is served while DNS fails (RFC 8767); 0–2³¹-1, 0: never."""
    snapshot: str = ""
    """File that keeps the verdicts over a restart; empty: none does."""
    snapshot_every: float = 300.0
    """Seconds between two snapshots, beside the one at the end; 1–86,400."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What unknown hosts may cost."""

    upstream_qps: float = 1_000.0
    """DNS queries in any second, retries and TCP included; a tenth is kept for known
    domains and one for housekeeping; 1–1,000,000."""
    upstream_inflight: int = 256
    """DNS queries under way, and unknown hosts being looked up, at one time; 1–65,535."""
    source_rate: float = 20.0
    """Walks a second that one source may start; the burst is twice that; 1–1,000,000."""
    source_queries: float = 0.0
    """Queries a second that one source may make, hits included; the burst is twice that. Beyond it only known
    domains are answered. 0–1,000,000, 0: as many as it likes."""
    source_prefix: tuple[int, int] = (32, 64)
    """The IPv4 and the IPv6 prefix length that count as one source."""
    zone_rate: float = 50.0
    """Walks a second under one registrable domain; the burst is twice that; 1–1,000,000."""
    waiters: int = 1_000
    """Replies that one flight may owe; 1–1,000,000."""


class LearnMode(Enum):
    """What it takes to be learned, beside DNS that leads to us."""

    OPEN = "open"
    """Nothing more."""
    TOKEN = "token"  # noqa: S105 - the name of a mode
    """The domain publishes the token that the operator gave its owner."""
    APPROVE = "approve"
    """The operator says yes."""
    OFF = "off"
    """Nothing is learned."""


class ProxySchema(Enum):
    """Whose tables the store has."""

    KAMAILIO = "kamailio"
    """`domain` version 2 and `domain_attrs` version 1."""
    OPENSIPS = "opensips"
    """`domain` version 4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domains:
    """The operator's word, which goes before DNS, and what is learned from DNS."""

    always: tuple[str, ...] = ()
    """HOSTED whatever DNS says: canonical hosts, or `.suffix` for all below one."""
    never: tuple[str, ...] = ()
    """NOT_HOSTED whatever DNS says: in the same form."""
    store: str = "sqlite:///fastvhost.db"
    """SQLAlchemy's URL of the database with the proxy's tables; empty: nothing is kept or learned."""
    schema: ProxySchema = ProxySchema.KAMAILIO
    learn: LearnMode = LearnMode.OPEN
    learn_per_zone: int = 50
    """Most learned names under one registrable domain; 1–100,000,000."""
    learn_most: int = 1_000_000
    """Most learned names in all; 1–100,000,000."""
    secret_file: str = ""
    """File whose octets (32 or more) make the tokens of `learn = "token"`."""
    did: Mapping[str, str] = field(default_factory=dict)
    """Domains, by canonical host, whose virtual domain the operator names: 1–64 octets."""
    poll: float = 2.0
    """Seconds between two looks for what others changed in the store; 0.1–3,600."""


class AttributeType(IntEnum):
    """The types of Kamailio's `domain_attrs`."""

    INTEGER = 0
    STRING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What the operator lets DNS say of a domain."""

    allow: Mapping[str, AttributeType] = field(default_factory=dict)
    """Keys beside the documented ones, in lower case, without `=`; a documented key keeps its own type."""
    prefix: str = "dns."
    """Forced before every attribute's name; with the key at most 32 octets, printable ASCII, not empty."""
    trust_auth: bool = False
    """Whether `auth.*` keys count where the answer is validated (AD)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    """When learned domains are checked again, and what it takes to lose one."""

    negatives: int = 3
    """Checks that must prove a domain NOT_HOSTED before it is disabled; 1–100."""
    over: float = 3_600.0
    """Seconds from the first of these to the last, at least; 0–2,592,000."""
    grace: float = 30 * 86_400.0
    """Seconds that a disabled domain is remembered; 0–315,360,000."""
    brake: float = 0.10
    """The share of domains that may turn negative before none is disabled any more; 0–1, 1: never brake."""
    check_floor: float = 300.0
    """Seconds that a TTL counts for at least; 10–`check_ceiling`."""
    check_ceiling: float = 86_400.0
    """Seconds that a TTL counts for at most; `check_floor`–2,592,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """Who is told of changes; loopback and unix sockets only, as nobody there asks who we are."""

    kamailio: tuple[str, ...] = ()
    """JSON-RPC datagram sockets: `udp:127.0.0.1:PORT` or `unix:/PATH`."""
    opensips: tuple[str, ...] = ()
    """MI datagram sockets, in the same form."""
    reload_interval: float = 10.0
    """Least seconds between two reloads of a proxy's table; 1–86,400."""
    htable: str = ""
    """Name of the Kamailio htable that gets the verdicts of learned domains; empty: none."""
    evapi: tuple[Endpoint, ...] = ()
    """Loopback addresses where Kamailio's module evapi listens; we connect there and answer what it asks."""
    evapi_within: float = 0.25
    """Seconds until an answer goes there, PENDING when nothing better is known; 0.001–10."""


class LogLevel(Enum):
    """The least that a line must be worth to be written."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(Enum):
    """How a line looks."""

    TEXT = "text"
    JSON = "json"
    """One object a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What the daemon writes to standard error."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.TEXT
    per_minute: int = 30
    """Lines of one kind in a minute; more are counted; 1–1,000,000."""
    queries: float = 0.0
    """The share of queries that are logged, beyond `per_minute`; 0–1. Over 0, every query is decided anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that an operator can choose; only `own` has no default."""

    own: Own
    listen: Listen = field(default_factory=Listen)
    dns: Dns = field(default_factory=Dns)
    cache: Cache = field(default_factory=Cache)
    limits: Limits = field(default_factory=Limits)
    domains: Domains = field(default_factory=Domains)
    attributes: Attributes = field(default_factory=Attributes)
    housekeeping: Housekeeping = field(default_factory=Housekeeping)
    proxies: Proxies = field(default_factory=Proxies)
    log: Log = field(default_factory=Log)
