"""The datagram loop: what it tells its batch, and whose turn it is between pieces of its work."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import trio

from fastvhost.config import Listen
from fastvhost.faces.batch import Client, PlainBatch
from fastvhost.faces.udp import DatagramLoop
from fastvhost.giving_way import GivingWay
from fastvhost.retractions import Retractions
from tests.support import until


class Batch(PlainBatch):
    """One that writes down what it is told, and the requests that are answered."""

    def __init__(self, sock: socket.socket, id_at: int) -> None:
        super().__init__(sock, id_at, 8)
        self.told: list[str | float] = []

    def stand_in(self) -> None:
        self.told.append("stand in")

    def set_patience(self, seconds: float) -> None:
        self.told.append(seconds)


class Rig:
    """A loop whose requests have no reply."""

    def __init__(self, server: socket.socket, listen: Listen) -> None:
        def answer(octets: bytes, client: Client | None, now: float) -> None:
            self.batch.told.append(octets.decode())

        def batch(sock: socket.socket, id_at: int) -> Batch:
            return self.batch

        self.server = server
        self.batch = Batch(server, 0)
        self.giving_way = GivingWay()
        self.loop = DatagramLoop(
            server,
            listen,
            answer=answer,
            id_at=0,
            retractions=Retractions(),
            giving_way=self.giving_way,
            batch=batch,
        )


@contextmanager
def rig_of(listen: Listen) -> Iterator[Rig]:
    with socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as server:
        server.bind(("127.0.0.1", 0))
        rig = Rig(server, listen)
        with closing(rig.loop):
            yield rig


async def test_others_and_who_repeats_have_a_turn_for_as_long_as_it_serves() -> None:
    with rig_of(Listen()) as rig, socket.socket(type=socket.SOCK_DGRAM) as client:
        told = rig.batch.told
        told.clear()
        rig.giving_way.to(lambda: told.append("another"))
        for request in "abcd":
            client.sendto(request.encode(), rig.server.getsockname())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.loop.serve)
            await until(lambda: "d" in told)
            nursery.cancel_scope.cancel()
        assert told == ["another", "stand in", *"abc", "another", "stand in", "d"]
        told.clear()
        list(rig.giving_way.while_doing("x"))
        assert told == ["another"]


def test_request_may_wait_for_a_quarter_of_the_time_to_answer() -> None:
    with rig_of(Listen(answer_within=0.04)) as rig:
        rig.loop.configure(Listen(answer_within=2.0))
        assert rig.batch.told == [0.01, 0.5]
