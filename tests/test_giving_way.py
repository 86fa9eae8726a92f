"""Work in pieces: what is done, and when it is the others' turn."""

import socket
from ipaddress import ip_network

import pytest
import trio

from fastvhost.faces.batch import Client, PlainBatch
from fastvhost.faces.udp import DatagramLoop
from fastvhost.giving_way import GivingWay
from fastvhost.retractions import Retractions
from tests.support import until

ANYWHERE = (ip_network("127.0.0.0/8"),)


def test_it_is_the_others_turn_at_the_start_and_after_each_three() -> None:
    done: list[str] = []
    giving_way = GivingWay()
    giving_way.to(lambda: done.append("one"))
    giving_way.to(lambda: done.append("two"))
    for item in giving_way.while_doing("abcdefg"):
        done.append(item)  # noqa: PERF402 - the order of all matters
    assert done == ["one", "two", *"abc", "one", "two", *"def", "one", "two", "g"]


def test_without_work_nobody_has_a_turn() -> None:
    giving_way = GivingWay()
    giving_way.to(lambda: pytest.fail("there was no work"))
    assert list(giving_way.while_doing(())) == []


def test_who_has_left_has_no_turn() -> None:
    done: list[str] = []
    giving_way = GivingWay()
    leave = giving_way.to(lambda: done.append("one"))
    giving_way.to(lambda: done.append("two"))
    leave()
    list(giving_way.while_doing("a"))
    assert done == ["two"]


async def test_datagram_loop_gives_way_to_itself_and_others_for_as_long_as_it_serves() -> None:
    done: list[str] = []
    giving_way = GivingWay()
    giving_way.to(lambda: done.append("another"))

    class Batch(PlainBatch):
        def stand_in(self) -> None:
            done.append("stand in")

    def answer(octets: bytes, client: Client | None, now: float) -> None:
        done.append(octets.decode())

    with (
        socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as server,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        server.bind(("127.0.0.1", 0))
        loop = DatagramLoop(
            server,
            allow=ANYWHERE,
            answer=answer,
            id_at=0,
            retractions=Retractions(),
            giving_way=giving_way,
            batch=lambda sock, id_at: Batch(sock, id_at, 8),
        )
        for request in "abcd":
            client.sendto(request.encode(), server.getsockname())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop.serve)
            await until(lambda: "d" in done)
            nursery.cancel_scope.cancel()
        assert done == ["another", "stand in", *"abc", "another", "stand in", "d"]
        done.clear()
        list(giving_way.while_doing("x"))
        assert done == ["another"]
        loop.close()
