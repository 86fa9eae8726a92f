"""A DNS server on loopback for tests, demos and benchmarks: real zones, counted queries, faults on demand.

In a test::

    async with open_lab([parse_zone(TEXT)]) as lab:
        lab.faults.append(Fault(effect=Effect.SERVFAIL, name="*.slow.example", times=2))
        ...  # ask lab.address
        assert lab.queries["sip.slow.example", "A"] == 1

As a process: `python -m tools.dnslab --zone FILE`. The count is then asked for over DNS itself:
`queries.dnslab. CH TXT` answers the number of queries so far, and such a question is not counted.
"""

from tools.dnslab.errors import AddressError, LabError, ZoneError
from tools.dnslab.faults import Effect, Fault, FaultRules
from tools.dnslab.lab import Lab
from tools.dnslab.marks import Mark, read_marks
from tools.dnslab.nsec import signed
from tools.dnslab.opening import open_lab
from tools.dnslab.play import play
from tools.dnslab.script import Change, ScriptError, parse_script, read_script
from tools.dnslab.tally import Sighting
from tools.dnslab.zones import Zone, parse_zone, read_zone

__all__ = [
    "AddressError",
    "Change",
    "Effect",
    "Fault",
    "FaultRules",
    "Lab",
    "LabError",
    "Mark",
    "ScriptError",
    "Sighting",
    "Zone",
    "ZoneError",
    "open_lab",
    "parse_script",
    "parse_zone",
    "play",
    "read_marks",
    "read_script",
    "read_zone",
    "signed",
]
