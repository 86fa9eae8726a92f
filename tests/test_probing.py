"""Probes as tasks: what they settle when a check ends, fails or is cancelled."""

import logging

import pytest
import trio
from trio.testing import MockClock

from fastvhost.model import Finding, VerdictKind
from fastvhost.probing import probing_in

HOSTED = Finding(kind=VerdictKind.HOSTED, ttl=60.0, reason="ours")
NAME = "0123456789abcdef.example.com"


async def test_probe_settles_what_the_check_found_at_the_instant_it_ends(autojump_clock: MockClock) -> None:
    checked: list[str] = []
    settled: list[tuple[Finding, float]] = []

    async def check(host: str) -> Finding:
        checked.append(host)
        await trio.sleep(2.0)
        return HOSTED

    async with trio.open_nursery() as nursery:
        probing_in(nursery, check)(NAME, lambda finding, now: settled.append((finding, now)))
        assert not checked, "starting one waits for nothing"
    assert (checked, settled) == ([NAME], [(HOSTED, 2.0)])


async def test_probe_whose_check_raises_is_undetermined_logged_and_harms_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settled: list[Finding] = []

    async def check(host: str) -> Finding:
        if host == NAME:
            raise ZeroDivisionError
        return HOSTED

    with caplog.at_level(logging.ERROR):
        async with trio.open_nursery() as nursery:
            probe = probing_in(nursery, check)
            probe(NAME, lambda finding, _: settled.append(finding))
            probe("other.example.com", lambda finding, _: settled.append(finding))
    assert {finding.kind for finding in settled} == {VerdictKind.UNDETERMINED, VerdictKind.HOSTED}
    assert f"probe of {NAME}: a fault of fastvhost" in caplog.text


async def test_probe_cancelled_settles_nothing(autojump_clock: MockClock) -> None:
    settled: list[Finding] = []

    async def check(host: str) -> Finding:
        await trio.sleep_forever()
        return HOSTED

    async with trio.open_nursery() as nursery:
        probing_in(nursery, check)(NAME, lambda finding, _: settled.append(finding))
        await trio.sleep(1.0)
        nursery.cancel_scope.cancel()
    assert not settled
