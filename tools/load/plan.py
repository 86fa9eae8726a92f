"""What a run of load is: whom to ask, for what, how fast and how long."""

from dataclasses import dataclass, field
from ipaddress import ip_address

from fastvhost.config import Endpoint
from fastvhost.host import DomainName, parse_host
from tools.load.dialect import Dialect
from tools.load.errors import LoadError
from tools.load.pdb import Pdb

__all__ = ["MAX_BURST", "MAX_NAMES", "MAX_WINDOW", "Plan"]

MAX_NAMES = 1_048_576
"""Names of one plan; some 250 octets each once prebuilt."""

MAX_WINDOW = 4_096
"""Far below the 65,536 ids, so that an id comes round long after its last use."""

MAX_BURST = 64

_MAX_UNDER = 200
"""Octets of `under`, which leave room for the random label."""

_MAX_RATE = 10_000_000
_MINUTE = 60
_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run.

    Raises:
        LoadError: it asks for what cannot be, or for load on another machine without saying so.
    """

    server: Endpoint
    """On loopback, but for `beyond_loopback`: this is a tool to measure one's own daemon."""
    beyond_loopback: bool = False
    """Whether the server may be on another machine: load on what is not one's own is an attack."""
    dialect: Dialect = field(default_factory=Pdb)
    """The protocol of the face: `Pdb` or `Dns`."""
    names: tuple[bytes, ...] = ()
    """Hosts (for PDB `HOST` or `HOST SOURCE`), asked in a random order that repeats."""
    unknown_share: float = 0.0
    """The share of requests, 0–1, that ask for a random host, each one never asked before."""
    under: str = "invalid"
    """The domain right below which random hosts are made; no `.invalid` exists (RFC 6761)."""
    sources: tuple[bytes, ...] = ()
    """SIP sources, one of which each request names, by chance; the names themselves then have none."""
    window: int = 128
    """Closed loop: the most requests outstanding."""
    rate: float | None = None
    """Open loop: requests a second, sent when due whatever comes back; `window` is then unused."""
    poisson: bool = False
    """Open loop: requests are due as independent callers come, not evenly."""
    burst: int = 1
    """Open loop that is not `poisson`: so many requests are due at a time, 1 to 64."""
    seconds: float | None = 5.0
    """How long requests are sent."""
    count: int | None = None
    """How many requests are sent; the first of the two bounds that is reached ends the run."""
    rehearse: bool = False
    """Ask for everything once before, in a closed loop that is not measured: whoever is asked has it in his
    cache then, and the generator knows the replies and need only compare them."""
    timeout: float = 1.0
    """Seconds after which a request without reply counts as lost."""

    def __post_init__(self) -> None:
        under = parse_host(self.under)
        checks = (
            (
                self.beyond_loopback or ip_address(self.server.address).is_loopback,
                f"server {self.server}: not a loopback address",
            ),
            (0.0 <= self.unknown_share <= 1.0, "the share of unknown hosts is from 0 to 1"),
            (bool(self.names) or self.unknown_share == 1.0, "no hosts to ask for"),
            (len(self.names) <= MAX_NAMES, f"over {MAX_NAMES:,} hosts"),
            (len(self.sources) <= MAX_NAMES, f"over {MAX_NAMES:,} sources"),
            (isinstance(under, DomainName) and len(self.under) <= _MAX_UNDER, f"{self.under!r}: no domain"),
            (1 <= self.window <= MAX_WINDOW, f"the window is from 1 to {MAX_WINDOW:,}"),
            (self.rate is None or 0 < self.rate <= _MAX_RATE, f"the rate is over 0, at most {_MAX_RATE:,}"),
            (1 <= self.burst <= MAX_BURST, f"a burst is from 1 to {MAX_BURST}"),
            (self.seconds is not None or self.count is not None, "neither seconds nor a count to end by"),
            (self.seconds is None or 0 < self.seconds <= _DAY, f"seconds are over 0, at most {_DAY:,}"),
            (self.count is None or self.count > 0, "the count is over 0"),
            (0 < self.timeout <= _MINUTE, f"the time-out is over 0, at most {_MINUTE} seconds"),
        )
        for holds, otherwise in checks:
            if not holds:
                raise LoadError(otherwise)
