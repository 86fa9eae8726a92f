"""Replies to the scout's queries: both forms believe the same, and of what they believe everybody is sure.

An input is a reply whose first two octets are what its id differs by from that of the query, to the question
that is asked. Beside what it says, the compiled form is watched by the sanitizers: see `sanitised.py`.
"""

import select
import socket
from contextlib import closing

from fastvhost.config import Endpoint
from fastvhost.resolve.compiled_queries import CompiledQueries
from fastvhost.resolve.queries import UNUSUAL, PlainQueries, Queries
from fastvhost.resolve.reply import Negative, RrType
from fastvhost.resolve.wire import Question, read_reply
from tools.fuzz.reply import NAME

__all__ = ["check"]

_REPLY_WITHIN = 60.0


def check(octets: bytes) -> None:
    """Have `octets` received by either form."""
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(_REPLY_WITHIN)
        assert _ttl(PlainQueries(), server, octets) == _ttl(CompiledQueries(), server, octets)


def _ttl(queries: Queries, server: socket.socket, octets: bytes) -> int:
    """What was believed; all else has to be there when its query is taken."""
    with closing(queries):
        number = queries.ask(Endpoint(*server.getsockname()), NAME)
        assert number is not None
        query, client = server.recvfrom(4096)
        message_id = int.from_bytes(query[:2], "big") ^ int.from_bytes(octets[:2], "big")
        reply = message_id.to_bytes(2, "big") + octets[2:]
        server.sendto(reply, client)
        assert select.select([queries.fileno()], [], [], _REPLY_WITHIN)[0]
        (came,) = queries.turn()
        assert came.number == number
        if came.ttl == UNUSUAL:
            sent = queries.take(number)
            with sent.sock:
                assert sent.message_id == int.from_bytes(query[:2], "big")
                assert sent.receive() == reply
            return UNUSUAL
        question = Question(NAME, RrType.NAPTR)
        assert question.is_answered_by(reply, int.from_bytes(query[:2], "big"))
        assert read_reply(reply, question) == Negative(nxdomain=True, ttl=came.ttl)
        assert came.octets == len(reply)
        return came.ttl
