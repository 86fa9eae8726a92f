"""Latencies: what is observed, by which bucket, and what a turn of repeated replies counts for."""

import pytest

from fastvhost.config import Listen
from fastvhost.faces.latency import BOUNDS, Latencies
from fastvhost.model import VerdictKind
from fastvhost.service import open_service
from tests.support import ZONE, PdbClient, config_on, free_endpoint, until
from tools.dnslab import Fault, open_lab


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (BOUNDS[0], 0), (BOUNDS[0] * 1.01, 1), (BOUNDS[-1], len(BOUNDS) - 1), (99.0, len(BOUNDS))],
)
def test_observation_falls_into_the_bucket_whose_bound_it_does_not_pass(seconds: float, bucket: int) -> None:
    latencies = Latencies()
    latencies.observe(VerdictKind.HOSTED, seconds)
    histogram = latencies.histograms()[VerdictKind.HOSTED]
    assert [number for number, count in enumerate(histogram.counts) if count] == [bucket]
    assert histogram.total == seconds
    assert sum(latencies.histograms()[VerdictKind.LIMITED].counts) == 0


def test_turn_counts_what_was_repeated_since_the_one_before() -> None:
    latencies = Latencies()
    latencies.observe_turn([0, 5, 2, 0, 0, 0, 0, 0], 0.0004)
    latencies.observe_turn([0, 5, 2, 0, 0, 0, 0, 0], 5.0)
    latencies.observe_turn([0, 8, 2, 0, 0, 0, 0, 0], 0.002)
    hosted, not_hosted = (
        latencies.histograms()[kind] for kind in (VerdictKind.HOSTED, VerdictKind.NOT_HOSTED)
    )
    assert (hosted.counts[2], hosted.counts[4], sum(hosted.counts)) == (5, 3, 8)
    assert hosted.total == pytest.approx(5 * 0.0004 + 3 * 0.002)
    assert (not_hosted.counts[2], sum(not_hosted.counts)) == (2, 2)


def test_bounds_hold_every_deadline_that_can_be_configured() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert BOUNDS[0] < 0.001 < Listen().answer_within < 10.0 <= BOUNDS[-1]


async def test_every_reply_of_a_face_is_observed_once_repeated_and_owed_ones_too() -> None:
    async with open_lab([ZONE]) as lab:
        lab.faults = [Fault(name="slow.example", delay=0.3)]
        config = config_on(lab, listen={"dns": free_endpoint(), "answer_within": 0.05})
        async with open_service(config) as service:
            face = service.faces["pdb"]
            assert service.pdb_endpoint is not None
            with PdbClient(service.pdb_endpoint) as client:
                await service.lookup("hosted.example")
                for _ in range(5):
                    assert await client.ask("hosted.example") is VerdictKind.HOSTED
                assert await client.ask("slow.example") is VerdictKind.PENDING
            await until(lambda: service.counters()["lookup.under_way"] == 0)
            assert face.latencies is not None
            histograms = face.latencies.histograms()
            assert service.counters()["pdb.repeated"] >= 3
            assert sum(histograms[VerdictKind.HOSTED].counts) == 5
            assert sum(histograms[VerdictKind.PENDING].counts) == 1
            assert histograms[VerdictKind.PENDING].total >= 0.05
