"""What a daemon asks of DNS meanwhile: its admin face, looked at twice a second from a thread."""

import http.client
import re
import threading
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

from fastvhost.config import Endpoint

__all__ = ["Upstream", "queries_between"]

_SECONDS_BETWEEN = 0.5
_TIMEOUT = 2.0
_MOST_SAMPLES = 20_000
"""Over two hours; later ones are not taken."""
_MOST_OCTETS = 4 * 1024 * 1024

_QUERIES = re.compile(rb"^fastvhost_upstream_queries_total\{[^}]*\} (\S+)$", re.MULTILINE)
_CAP = re.compile(rb'^fastvhost_limit\{key="limits\.upstream_qps"\} (\S+)$', re.MULTILINE)

Sample = tuple[float, float]
"""Seconds since the epoch, and the DNS queries of the daemon until then."""


class Upstream:
    """Samples while the block runs; a daemon that does not answer has none."""

    def __init__(self, admin: Endpoint | None) -> None:
        self._admin = admin
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.samples: list[Sample] = []
        self.cap: float | None = None
        """`limits.upstream_qps` of the daemon, where it tells."""
        self.why_unknown = "no admin face was named" if admin is None else ""
        """Where there are no samples: the reason, in a few words."""

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._end.wait(_SECONDS_BETWEEN) and self.samples:
            self._look()

    def _look(self) -> None:
        if self._admin is None or len(self.samples) >= _MOST_SAMPLES:
            return
        connection = http.client.HTTPConnection(*self._admin, timeout=_TIMEOUT)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read(_MOST_OCTETS)
        except OSError as error:
            self.why_unknown = f"http://{self._admin}/metrics: {error.strerror or error}"
            return
        except http.client.HTTPException as error:
            self.why_unknown = f"http://{self._admin}/metrics: no HTTP: {type(error).__name__}"
            return
        finally:
            connection.close()
        queries, cap = _QUERIES.findall(text), _CAP.search(text)
        if not queries:
            self.why_unknown = f"http://{self._admin}/metrics: no figures of fastvhost"
            return
        self.samples.append((datetime.now(UTC).timestamp(), sum(map(float, queries))))
        self.cap = None if cap is None else float(cap[1])


def queries_between(samples: Sequence[Sample], start: float, end: float) -> float | None:
    """DNS queries from `start` to `end` (seconds since the epoch), as if even between samples.

    What is before the first sample, or after the last, counts as none. None with fewer than two samples.
    """
    if len(samples) < 2:
        return None
    return _until(samples, end) - _until(samples, start)


def _until(samples: Sequence[Sample], at: float) -> float:
    later = bisect_left(samples, (at, 0.0))
    if later == 0:
        return samples[0][1]
    if later == len(samples):
        return samples[-1][1]
    (start, low), (end, high) = samples[later - 1], samples[later]
    return low + (high - low) * (at - start) / (end - start)
