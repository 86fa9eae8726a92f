"""SIP calls at a fixed rate by sipp, and what became of each: its status code, and how long it took."""

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Call", "Calls", "Outcome", "SippError", "calling", "flooding"]

_LOOPBACK = "127.0.0.1"

_STATUSES = (200, 400, 404, 503)

_OPEN_CALLS = 10_000
"""More than one run has, so that sipp never waits with a call that is due."""

_RETRANSMISSIONS = 5
"""After 0.5, 1, 2, 4 and 4 seconds (RFC 3261 section 17.1.2.2); the call is lost 4 seconds after the last."""

_LOST_AFTER_SECONDS = 16.0
_GRACE_SECONDS = 20.0

_REQUEST = """<![CDATA[
OPTIONS sip:[field1] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:caller@[local_ip]>;tag=[call_number]
To: <sip:[field1]>
Call-ID: [call_id]
CSeq: 1 OPTIONS
Max-Forwards: 70
Content-Length: 0

]]>"""

# An optional reply stands before the one that is not; whichever comes leads to its own line of the log.
_CALL = (
    '<scenario name="call">\n'
    '<nop><action><assignstr assign_to="sent" value="[clock_tick]"/></action></nop>\n'
    f'<send retrans="500">{_REQUEST}</send>\n'
    + "\n".join(
        f'<recv response="{status}" optional="{str(status != _STATUSES[-1]).lower()}" next="{status}"/>'
        for status in _STATUSES
    )
    + "".join(
        f'\n<label id="{status}"/><nop next="1"><action>'
        f'<log message="[field0] {status} [$sent] [clock_tick]"/></action></nop>'
        for status in _STATUSES
    )
    + '\n<label id="1"/>\n</scenario>\n'
)

# Nobody waits for an answer, so nothing is sent twice and no call stays open.
_SHOT = f'<scenario name="shot">\n<send>{_REQUEST}</send>\n</scenario>\n'


class SippError(Exception):
    """sipp did not run, or wrote what it should not; carries what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One OPTIONS request outside of a dialog."""

    kind: str
    """What the outcome is counted under: one word."""
    host: str
    """Of the request's URI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the calls of one kind."""

    sent: int
    statuses: Counter[int]
    """How many got which final status; those that got none, however often they were sent, are in none."""
    milliseconds: tuple[int, ...]
    """From the first sending to the reply, of each answered call, in ascending order; whole ones."""

    @property
    def lost(self) -> int:
        return self.sent - self.statuses.total()


class Calls:
    """A sipp that is under way."""

    def __init__(self, process: subprocess.Popen[bytes], calls: Sequence[Call], folder: Path) -> None:
        self._process = process
        self._calls = calls
        self._folder = folder

    def answered(self) -> int:
        """How many have their reply so far."""
        return len(self._lines())

    def wait(self) -> dict[str, Outcome]:
        """Wait until each call has its reply or is lost; the outcome of each kind.

        Raises:
            SippError: sipp did not make all the calls.
        """
        # 0 says that each call was answered, 1 that some were not, anything else a fault.
        if self._process.wait() not in (0, 1):
            raise SippError((self._folder / "said").read_text(errors="replace")[-2_000:])
        statuses: dict[str, Counter[int]] = {call.kind: Counter() for call in self._calls}
        milliseconds: dict[str, list[int]] = {kind: [] for kind in statuses}
        for line in self._lines():
            kind, status, first_sent, answered = line.split()
            statuses[kind][int(status)] += 1
            milliseconds[kind].append(int(answered) - int(first_sent))
        sent = Counter(call.kind for call in self._calls)
        return {
            kind: Outcome(
                sent=sent[kind], statuses=statuses[kind], milliseconds=tuple(sorted(milliseconds[kind]))
            )
            for kind in statuses
        }

    def _lines(self) -> list[str]:
        """The whole lines of the log, one an answered call; there is no log before the first."""
        log = self._folder / "log"
        return log.read_text().split("\n")[:-1] if log.exists() else []


@contextmanager
def calling(calls: Sequence[Call], *, port: int, rate: int, source: str = _LOOPBACK) -> Iterator[Calls]:
    """Make the calls in their order, `rate` a second whatever comes back, to a proxy on loopback.

    Each is sent again as SIP does over UDP. Leaving the block ends this one process.

    Args:
        port: the proxy's.
        source: the address of loopback that they come from.

    Raises:
        SippError: sipp is not installed.
    """
    with _running(_CALL, calls, port=port, rate=rate, source=source) as running:
        yield running


@contextmanager
def flooding(hosts: Sequence[str], *, port: int, rate: int, source: str) -> Iterator[None]:
    """The same once for each host, from somebody who waits for no answer."""
    calls = [Call(kind="flood", host=host) for host in hosts]
    with _running(_SHOT, calls, port=port, rate=rate, source=source):
        yield


@contextmanager
def _running(scenario: str, calls: Sequence[Call], *, port: int, rate: int, source: str) -> Iterator[Calls]:
    program = shutil.which("sipp")
    if program is None:
        raise SippError("sipp is not installed (Debian: sip-tester)")
    with tempfile.TemporaryDirectory(prefix="fastvhost-sipp-") as name:
        folder = Path(name)
        (folder / "scenario.xml").write_text(f'<?xml version="1.0" encoding="ISO-8859-1"?>\n{scenario}')
        rows = "".join(f"{call.kind};{call.host}\n" for call in calls)
        (folder / "calls.csv").write_text(f"SEQUENTIAL\n{rows}")
        seconds = len(calls) / rate + _LOST_AFTER_SECONDS + _GRACE_SECONDS
        command = [program, f"{_LOOPBACK}:{port}", "-i", source, "-nostdin", "-nd"]
        command += ["-sf", str(folder / "scenario.xml"), "-inf", str(folder / "calls.csv")]
        command += ["-r", str(rate), "-m", str(len(calls)), "-l", str(_OPEN_CALLS)]
        command += ["-max_retrans", str(_RETRANSMISSIONS), "-timeout", f"{seconds:.0f}"]
        command += ["-trace_logs", "-log_file", str(folder / "log")]
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TERM": "dumb"},
            )
        try:
            yield Calls(process, calls, folder)
        finally:
            process.kill()
            process.wait()
