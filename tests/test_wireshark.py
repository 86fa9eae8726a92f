"""The Wireshark dissector of PDB, run by tshark over captures that are written here."""

import json
import os
import struct
import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

import pytest

from fastvhost.config import Endpoint
from fastvhost.faces.pdb_codec import MAX_NAME, read_request, write_reply, write_request
from fastvhost.model import VerdictKind

SCRIPT = Path(__file__).parents[1] / "tools/wireshark/pdb.lua"

FIELDS = (
    *("version", "type", "code", "length", "id", "name", "host", "source", "value"),
    *("response_in", "request_in", "time"),
)

CLIENT = Endpoint("127.0.0.1", 40_000)
SERVER = Endpoint("127.0.0.1", 5380)
SECOND = Endpoint("127.0.0.2", 5380)

REQUEST = write_request(b"example.com", 0x1234)
HOSTED = write_reply(REQUEST, VerdictKind.HOSTED)

pytestmark = pytest.mark.server("tshark")


class Packet(NamedTuple):
    """An IPv4 packet, as it goes into the capture."""

    octets: bytes


def ipv4(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    addresses = IPv4Address(source).packed + IPv4Address(destination).packed
    return struct.pack("!BxHIBBH", 0x45, 20 + len(payload), 0, 64, protocol, 0) + addresses + payload


def udp(source: Endpoint, destination: Endpoint, payload: bytes) -> Packet:
    header = struct.pack("!HHHH", source.port, destination.port, 8 + len(payload), 0)
    return Packet(ipv4(source.address, destination.address, 17, header + payload))


def port_unreachable(refused: Packet) -> Packet:
    """ICMP's answer of a host where nobody listens; it quotes the whole packet."""
    return Packet(ipv4("127.0.0.1", "127.0.0.1", 1, struct.pack("!BBHI", 3, 3, 0, 0) + refused.octets))


def ask(frame: bytes, server: Endpoint = SERVER) -> Packet:
    return udp(CLIENT, server, frame)


def answer(frame: bytes, server: Endpoint = SERVER) -> Packet:
    return udp(server, CLIENT, frame)


def write_capture(path: Path, packets: Sequence[Packet], *, snap_length: int = 65_535) -> None:
    """A pcap file of raw IP (link type 101), a millisecond between two packets."""
    with path.open("wb") as capture:
        capture.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snap_length, 101))
        for number, packet in enumerate(packets):
            kept = packet.octets[:snap_length]
            capture.write(struct.pack("<IIII", 1_700_000_000, number * 1000, len(kept), len(packet.octets)))
            capture.write(kept)


class Tshark:
    """tshark with the dissector, without anybody's own preferences."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(
        self, *packets: Packet, options: Sequence[str] = (), snap_length: int = 65_535
    ) -> list[dict[str, str]]:
        """Of each packet the fields that it has: those of PDB, `mistakes`, `protocol` and `info`."""
        capture = self._directory / "test.pcap"
        write_capture(capture, packets, snap_length=snap_length)
        names = {f"pdb.{name}": name for name in FIELDS} | {
            "_ws.expert.message": "mistakes",
            "_ws.col.Protocol": "protocol",
            "_ws.col.Info": "info",
        }
        done = subprocess.run(
            ["tshark", "-X", f"lua_script:{SCRIPT}", "-r", str(capture), "-2", "-n", "-T", "json"]
            + [word for name in names for word in ("-e", name)]
            + list(options),
            capture_output=True,
            check=True,
            timeout=60,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self._directory),
                "XDG_CONFIG_HOME": str(self._directory),
                "LC_ALL": "C.UTF-8",
            },
        )
        assert b"Lua" not in done.stderr, done.stderr.decode()
        dissected = [packet["_source"]["layers"] for packet in json.loads(done.stdout)]
        assert len(dissected) == len(packets)
        return [{names[name]: "; ".join(values) for name, values in packet.items()} for packet in dissected]


@pytest.fixture
def tshark(tmp_path: Path) -> Tshark:
    return Tshark(tmp_path)


def test_request_and_reply_are_taken_apart_and_linked(tshark: Tshark) -> None:
    frame = write_request(b"Example.com 192.0.2.1", 0xABCD)
    request, reply = tshark.read(ask(frame), answer(write_reply(frame, VerdictKind.NOT_HOSTED)))
    common = {
        "version": "1",
        "id": "0xabcd",
        "name": "Example.com 192.0.2.1",
        "host": "Example.com",
        "source": "192.0.2.1",
        "protocol": "PDB",
    }
    assert request == common | {
        "type": "0",
        "code": "0",
        "length": "28",
        "response_in": "2",
        "info": "request Example.com 192.0.2.1",
    }
    assert reply == common | {
        "type": "1",
        "code": "1",
        "length": "30",
        "value": "2",
        "request_in": "1",
        "time": "0.001000000",
        "info": "reply Example.com 192.0.2.1: NOT_HOSTED",
    }


def test_every_verdict_has_its_name(tshark: Tshark) -> None:
    packets = [
        packet for kind in VerdictKind for packet in (ask(REQUEST), answer(write_reply(REQUEST, kind)))
    ]
    replies = tshark.read(*packets)[1::2]
    assert [(reply["value"], reply["info"]) for reply in replies] == [
        (str(kind.value), f"reply example.com: {kind.name}") for kind in VerdictKind
    ]
    assert not any("mistakes" in reply for reply in replies)


MALFORMED = {
    "version 2": (b"\x02" + REQUEST[1:], "Not version 1"),
    "type 2": (b"\x01\x02\x02" + REQUEST[3:], "Neither request (0) nor reply (1)"),
    "code 1": (b"\x01\x00\x01" + REQUEST[3:], "A request has code 0, a reply 1 to 3"),
    "length one short": (b"\x01\x00\x00\x11" + REQUEST[4:], "The length is not that of the frame"),
    "length one long": (b"\x01\x00\x00\x13" + REQUEST[4:], "The length is not that of the frame"),
    "no NUL": (b"\x01\x00\x00\x08\x00\x00ab", "The first NUL does not end the name"),
    "a NUL within": (b"\x01\x00\x00\x0a\x00\x00a\0b\0", "The first NUL does not end the name"),
    "no NUL, no name": (b"\x01\x00\x00\x07\x00\x00a", "The first NUL does not end the name"),
    "a header alone": (b"\x01\x00\x00\x06\x00\x00", "Shorter than header, name and value need"),
    "half a header": (b"\x01\x00\x00", "Shorter than header, name and value need"),
    "a name too long": (
        b"\x01\x00\x00" + bytes([6 + MAX_NAME + 2]) + bytes(2) + b"a" * (MAX_NAME + 1) + b"\0",
        "The name is over 246 octets",
    ),
}


def test_malformed_request_is_marked_and_matched_with_nothing(tshark: Tshark) -> None:
    # Each between a request and its reply, which find each other past it.
    packets = [
        packet for frame, _ in MALFORMED.values() for packet in (ask(REQUEST), ask(frame), answer(HOSTED))
    ]
    dissected = tshark.read(*packets)
    for number, (what, (frame, mistake)) in enumerate(MALFORMED.items()):
        assert read_request(frame) is None, what
        request, malformed, reply = dissected[3 * number : 3 * number + 3]
        assert mistake in malformed["mistakes"].split("; "), what
        assert malformed["info"].startswith("malformed"), what
        assert "response_in" not in malformed, what
        assert request["response_in"] == str(3 * number + 3), what
        assert reply["request_in"] == str(3 * number + 1), what


def test_name_at_the_bound_is_sound(tshark: Tshark) -> None:
    name = b"a" * MAX_NAME
    empty, longest = tshark.read(ask(write_request(b"", 1)), ask(write_request(name, 2)))
    assert longest["host"] == name.decode()
    assert "mistakes" not in empty | longest


@pytest.mark.parametrize(
    ("value", "mistake"),
    [
        (0, "Value 0 is an error to the client"),
        (7, "No verdict has this value"),
        (-1, "No verdict has this value"),
    ],
)
def test_reply_with_a_value_that_is_no_verdict_is_marked(tshark: Tshark, value: int, mistake: str) -> None:
    _, reply = tshark.read(ask(REQUEST), answer(HOSTED[:-2] + struct.pack("!h", value)))
    assert reply["value"] == str(value)
    assert reply["mistakes"] == mistake


def test_reply_that_is_malformed_answers_nothing(tshark: Tshark) -> None:
    request, *replies = tshark.read(
        ask(REQUEST),
        answer(HOSTED[:3] + b"\x15" + HOSTED[4:]),
        answer(b"\x01\x01\x00" + HOSTED[3:]),
        answer(b"\x01\x01\x01\x08\x00\x00a\0"),
    )
    assert "response_in" not in request
    assert [reply["mistakes"] for reply in replies] == [
        "The length is not that of the frame",
        "A request has code 0, a reply 1 to 3",
        "Shorter than header, name and value need",
    ]


def test_reply_with_a_code_of_failure_is_marked(tshark: Tshark) -> None:
    request, reply = tshark.read(ask(REQUEST), answer(b"\x01\x01\x03" + HOSTED[3:]))
    assert reply["mistakes"] == "An error to the client; fastvhost never sends it"
    assert request["response_in"] == "2"


def test_reply_is_matched_by_client_server_and_name(tshark: Tshark) -> None:
    other = write_request(b"other.example", 0x1234)
    elsewhere = Endpoint("127.0.0.1", 40_001)
    dissected = tshark.read(
        ask(REQUEST),
        ask(REQUEST, SECOND),
        ask(other),
        udp(elsewhere, SERVER, REQUEST),
        answer(HOSTED, SECOND),
        answer(write_reply(other, VerdictKind.HOSTED)),
        udp(SERVER, elsewhere, HOSTED),
        answer(HOSTED),
    )
    assert [packet.get("response_in") for packet in dissected[:4]] == ["8", "5", "6", "7"]
    assert [packet.get("request_in") for packet in dissected[4:]] == ["2", "3", "4", "1"]
    assert dissected[7]["time"] == "0.007000000"


def test_reply_nobody_waits_for_is_marked(tshark: Tshark) -> None:
    other_case = write_reply(write_request(b"EXAMPLE.com", 0x1234), VerdictKind.HOSTED)
    _, stranger, reply, second = tshark.read(ask(REQUEST), answer(other_case), answer(HOSTED), answer(HOSTED))
    unasked = "No open request for this name; Kamailio may take it for the next one"
    assert stranger["mistakes"] == unasked
    assert reply["request_in"] == "1"
    assert second["mistakes"] == unasked
    assert "request_in" not in second


def test_reply_to_another_id_is_matched_and_marked(tshark: Tshark) -> None:
    _, reply = tshark.read(ask(REQUEST), answer(HOSTED[:4] + b"\x00\x01" + HOSTED[6:]))
    assert reply["request_in"] == "1"
    assert reply["mistakes"] == "Not the request's id; Kamailio takes it nevertheless"


def test_request_quoted_by_icmp_is_not_a_second_request(tshark: Tshark) -> None:
    request, unreachable, reply = tshark.read(ask(REQUEST), port_unreachable(ask(REQUEST)), answer(HOSTED))
    assert unreachable["host"] == "example.com"
    assert "response_in" not in unreachable
    assert request["response_in"] == "3"
    assert reply["request_in"] == "1"


def test_name_with_a_space_at_an_end_is_taken_apart(tshark: Tshark) -> None:
    packets = tshark.read(*(ask(write_request(name, 1)) for name in (b" 192.0.2.1", b"example.com ", b" ")))
    assert [packet.get("source") for packet in packets] == ["192.0.2.1", None, None]
    assert packets[1]["host"] == "example.com"
    assert not any("mistakes" in packet for packet in packets)


def test_name_that_is_no_text_is_shown_without_control_characters(tshark: Tshark) -> None:
    escape, utf8, latin1 = tshark.read(
        *(ask(write_request(name, 1)) for name in (b"a\x1b[2J", "bücher.example".encode(), b"b\xfccher"))
    )
    assert escape["info"] == "request a?[2J"
    assert latin1["info"] == "request b?cher"
    assert utf8["host"] == "bücher.example"
    assert latin1["host"] == "b\ufffdcher"
    assert "mistakes" not in escape | utf8 | latin1


def test_frame_cut_short_by_the_capture_is_not_called_malformed(tshark: Tshark) -> None:
    (request,) = tshark.read(ask(REQUEST), snap_length=20 + 8 + 10)
    assert request == {"protocol": "PDB", "info": "cut short by the capture"}


@pytest.mark.parametrize(
    ("options", "protocols"),
    [
        ((), ["PDB", "UDP", "UDP"]),
        (("-o", "pdb.port:5390"), ["UDP", "PDB", "UDP"]),
        (("-o", "pdb.port:5380,5390-5399"), ["PDB", "PDB", "PDB"]),
        (("-d", "udp.port==5391,pdb"), ["PDB", "UDP", "PDB"]),
    ],
)
def test_ports_are_those_of_the_preference_and_of_decode_as(
    tshark: Tshark, options: tuple[str, ...], protocols: list[str]
) -> None:
    packets = [ask(REQUEST, Endpoint("127.0.0.1", port)) for port in (5380, 5390, 5391)]
    assert [packet["protocol"] for packet in tshark.read(*packets, options=options)] == protocols
