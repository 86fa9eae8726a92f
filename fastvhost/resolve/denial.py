"""Proven denial: what DNS proved not to be there, beyond the names that were asked for.

Pure; `now` is in seconds on the clock of `trio.current_time()`. Fed with replies, it takes up only those that
a trusted upstream has validated: their NSEC records, and that nothing is below a name that is not there.

Source: RFC 8198 (aggressive use of DNSSEC-validated cache), RFC 8020 (NXDOMAIN: nothing underneath).
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from fastvhost.resolve.nsec_zone import NsecZone, Proof, key_of
from fastvhost.resolve.reply import Answer, Failure, Negative, Reply, RrType

__all__ = ["MAX_ABSENT", "MAX_RANGES", "MAX_ZONES", "MAX_ZONE_RANGES", "DenialCounters", "ProvenDenial"]

MAX_ZONES = 4_096
MAX_ZONE_RANGES = 2_048
MAX_RANGES = 16_384
"""In all; some 1 kB each. Whoever signs zones can push out others here, and then DNS is asked as before."""
MAX_ABSENT = 16_384
"""Names below which nothing is."""

_MAX_DEPTH = 16
"""Labels of a zone, or of a name below which nothing is, that is looked for: a host may have 127."""


@dataclass(slots=True)
class DenialCounters:
    """Plain integers."""

    questions: int = 0
    """Questions of walks that needed no asking."""
    zones_dropped: int = 0
    """Zones forgotten at a bound, with all that was known of them."""
    absent_dropped: int = 0


class ProvenDenial:
    """What is proved at the moment; at each bound the zone, or name, used longest ago is forgotten.

    `longest`: seconds that anything is believed at most. Cost: some 3 us a look-up, 15 us where it finds
    a proof.
    """

    def __init__(self, *, longest: float) -> None:
        self._longest = longest
        self._zones: OrderedDict[str, NsecZone] = OrderedDict()
        self._ranges = 0
        self._absent: OrderedDict[str, float] = OrderedDict()
        self.counters = DenialCounters()

    def sizes(self) -> dict[str, int]:
        """Zones, their ranges, and names below which nothing is; those past their time included."""
        return {"zones": len(self._zones), "ranges": self._ranges, "absent": len(self._absent)}

    def proof(self, name: str, rrtype: RrType, now: float) -> Proof | None:
        """What is proved of `name` and of `rrtype` there; None: DNS has to be asked."""
        # Odd octets are rare, and what is spelled with them may be no name: DNS is asked.
        if "\\" in name or not (self._zones or self._absent):
            return None
        for above in _upwards(name):
            expires = self._absent.get(above)
            if expires is not None and now < expires:
                self._absent.move_to_end(above)
                return Proof(nxdomain=True, expires=expires, by=f"NXDOMAIN at {above or '.'}")
            zone = self._zones.get(above)
            found = None if zone is None else zone.proof(key_of(name), rrtype, now)
            if found is not None:
                self._zones.move_to_end(above)
                return found
        return None

    def learn(self, name: str, reply: Reply, now: float) -> None:
        """Take up what a reply to a question for `name`, received at `now`, proves.

        The latest word counts: what says that a name is there ends every proof that it is not, whether it was
        validated or not.
        """
        match reply:
            case Answer():
                for there in (name, *reply.aliases):
                    self._forget(there)
            case Negative():
                if not reply.nxdomain and not reply.aliases:
                    self._forget(name)
                self._add(name, reply, now)
            case Failure():
                pass
            case never:
                assert_never(never)

    def _add(self, name: str, reply: Negative, now: float) -> None:
        if reply.denial is None:
            return
        apex = reply.denial.zone
        zone = self._zones.pop(apex, None)
        if zone is None:
            zone = NsecZone(apex, most=MAX_ZONE_RANGES)
        self._ranges -= len(zone)
        for nsec in reply.denial.nsecs:
            # RFC 8198 section 5.4 with RFC 9077: no longer than the negative answer that they came with.
            zone.add(nsec, now + min(nsec.ttl, reply.ttl, self._longest))
        if len(zone):
            self._zones[apex] = zone
            self._ranges += len(zone)
            while len(self._zones) > MAX_ZONES or self._ranges > MAX_RANGES:
                _, dropped = self._zones.popitem(last=False)
                self._ranges -= len(dropped)
                self.counters.zones_dropped += 1
        if reply.nxdomain and zone.proof(key_of(name), RrType.NAPTR, now) is None:
            # Without NSEC (the zone has NSEC3) what is proved is this name, and with it all below.
            self._absent[name] = now + min(reply.ttl, self._longest)
            self._absent.move_to_end(name)
            if len(self._absent) > MAX_ABSENT:
                self._absent.popitem(last=False)
                self.counters.absent_dropped += 1

    def _forget(self, name: str) -> None:
        for above in _upwards(name):
            self._absent.pop(above, None)
            zone = self._zones.get(above)
            if zone is not None:
                self._ranges -= len(zone)
                zone.forget(key_of(name))
                self._ranges += len(zone)


def _upwards(name: str) -> Iterator[str]:
    """A name and all above it, the root (empty) last: the zone that is nearest knows best.

    Escaped dots count as ends of labels, which adds names that are not above it: too much may be forgotten.
    """
    name = ".".join(name.rsplit(".", _MAX_DEPTH)[-_MAX_DEPTH:])
    while name:
        yield name
        name = name.partition(".")[2]
    yield ""
