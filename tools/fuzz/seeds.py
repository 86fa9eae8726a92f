"""Real messages for the corpus to begin with: made by dnspython and our own writers.

python -m tools.fuzz.seeds       writes them into tests/corpus
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from fastvhost.cache import VerdictCache
from fastvhost.config import Cache
from fastvhost.faces.pdb_codec import MAX_NAME, write_reply, write_request
from fastvhost.model import ABSENT, Finding, VerdictKind
from fastvhost.resolve.reply import RrType
from fastvhost.resolve.wire import Question
from fastvhost.snapshot import write_block, write_end, write_header
from fastvhost.snapshot_blocks import payloads_of
from tools.fuzz.registry import CORPUS
from tools.fuzz.reply import NAME

__all__ = ["seeds", "write_seeds"]

_SOA = "example.com. 900 IN SOA ns.example.com. hostmaster.example.com. 1 2 3 4 60"
_NSEC = r"sip.example.com. 60 IN NSEC x\.y.example.com. SRV RRSIG NSEC CAA TYPE65280"
_RRSIG = "sip.example.com. 60 IN RRSIG NSEC 13 3 60 20380101000000 20200101000000 1 example.com. AwEAAag="
_APEX = "example.com. 60 IN NSEC a.example.com. NS SOA RRSIG NSEC"
_APEX_RRSIG = "example.com. 60 IN RRSIG NSEC 13 2 60 20380101000000 20200101000000 1 example.com. AwEAAag="


def seeds() -> Mapping[str, Mapping[str, bytes]]:
    """The messages by target and name, always the same."""
    return {
        "pdb": _pdb(),
        "dns": _dns(),
        "evapi": _evapi(),
        "reply": _replies(),
        "host": _hosts(),
        "attributes": _attributes(),
        "snapshot": _snapshots(),
        "batch": _dialogues(),
        "queries": _nxdomains(),
    }


def write_seeds(corpus: Path) -> None:
    """Write them, beside what else is there."""
    for target, messages in seeds().items():
        (corpus / target).mkdir(parents=True, exist_ok=True)
        for name, octets in messages.items():
            (corpus / target / name).write_bytes(octets)


def _pdb() -> dict[str, bytes]:
    request = write_request(b"example.com 192.0.2.1", 0x1234)
    return {
        "host": write_request(b"Example.com", 1),
        "host-source": request,
        "empty": write_request(b"", 0),
        "longest": write_request(b"a" * MAX_NAME, 0xFFFF),
        "reply-hosted": write_reply(request, VerdictKind.HOSTED),
        "reply-unknown-value": write_reply(request, VerdictKind.HOSTED)[:-1] + b"\x07",
    }


def _query(name: str, rtype: str = "A", *, message_id: int = 0, **edns: object) -> bytes:
    """The id tells by which transport it comes, and which verdict there is."""
    # mypy cannot tell which of the many keywords these are.
    return dns.message.make_query(f"{name}.vhost.internal", rtype, id=message_id, **edns).to_wire()  # type: ignore[arg-type]


def _dns() -> dict[str, bytes]:
    subnet = [dns.edns.ECSOption("192.0.2.0", 24)]
    subnet6 = [dns.edns.ECSOption("2001:db8::", 56)]
    return {
        **{
            f"a-{kind.name.lower().replace('_', '-')}": _query("example.com", message_id=kind - 1, use_edns=0)
            for kind in VerdictKind
        },
        "txt": _query("example.com", "TXT"),
        "txt-tcp": _query("example.com", "TXT", message_id=0x100),
        "aaaa-case": _query("Example.COM", "AAAA", message_id=1),
        "any": _query("example.com", "ANY", use_edns=0, want_dnssec=True),
        "ns": _query("example.com", "NS"),
        "subnet": _query("example.com", options=subnet),
        "subnet-ipv6": _query("example.com", options=subnet6),
        "subnet-and-others": _query(
            "a.b", options=[dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"abcdefgh"), *subnet]
        ),
        "payload": _query("example.com", "TXT", payload=700),
        "ipv4": _query("192.0.2.1"),
        "ipv6": _query(r"[2001:db8::1]"),
        "escapes": _query(r"a\.b.\000\255"),
        "malformed": _query("no_host", message_id=5),
        "longest": _query("a." * 118 + "b", use_edns=0),
        "apex": dns.message.make_query("vhost.internal", "SOA", id=0).to_wire(),
        "elsewhere": dns.message.make_query("example.com", "A", id=0, use_edns=0).to_wire(),
        "transfer": _query("example.com", "AXFR"),
        "chaos": dns.message.make_query("version.bind", "TXT", "CH", id=0).to_wire(),
        "edns-1": _query("example.com", use_edns=1),
    }


def _evapi() -> dict[str, bytes]:
    """The first octet tells where the stream is cut."""
    plain = b'{"index":107,"label":290852203,"host":"example.com"}'
    source = b'{"index":4294967295,"label":0,"host":"\\u00fc.example","source":"192.0.2.1"}'
    twice = b'{"index":1,"label":2,"host":"a.example","index":3}'
    unknown = b'{"index":1,"label":2,"host":"a.example","port":5060}'
    return {
        "host": b"\x05" + _netstring(plain),
        "several": b"\x40" + _netstring(plain) + _netstring(source) + _netstring(b""),
        "key-twice": b"\x01" + _netstring(twice),
        "key-unknown": b"\x01" + _netstring(unknown),
        "number-of-another-kind": b"\x01" + _netstring(b'{"index":true,"label":1e2,"host":""}'),
        "not-utf-8": b"\x01" + _netstring(plain.replace(b"example", b"\xff\xc3")),
        "nested": b"\x01" + _netstring(b"[" * 200),
        "passed-over": b"\x0f" + b"4100:" + b"x" * 80,
        "passed-over-whole": b"\x0f" + _netstring(b"x" * 4_097) + _netstring(plain),
        "length-with-a-zero": b"\x01" + b"01:a,",
        "length-too-long": b"\x01" + b"12345678:",
        "no-comma": b"\x01" + b"1:ab",
    }


def _netstring(payload: bytes) -> bytes:
    return b"%d:%b," % (len(payload), payload)


def _reply(
    rrtype: RrType,
    answer: Sequence[str] = (),
    authority: Sequence[str] = (),
    *,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    authentic: bool = False,
    flags: int = 0,
) -> bytes:
    query = dns.message.from_wire(Question(NAME, rrtype, want_ad=authentic).octets(int(authentic)))
    reply = dns.message.make_response(query, recursion_available=True, our_payload=1232)
    for section, lines in ((reply.answer, answer), (reply.authority, authority)):
        for line in lines:
            owner, ttl, rdclass, rdtype, rdata = line.split(" ", 4)
            rrset = dns.rrset.from_text(owner, int(ttl), rdclass, rdtype, rdata)
            section.append(rrset)
    reply.flags |= flags | (dns.flags.AD if authentic else 0)
    reply.set_rcode(rcode)
    return reply.to_wire()


def _replies() -> dict[str, bytes]:
    proofs = (_SOA, _NSEC, _RRSIG, _APEX, _APEX_RRSIG)
    aliases = (
        "sip.example.com. 300 IN CNAME one.example.com.",
        "one.example.com. 60 IN CNAME Two.example.net.",
    )
    address = "two.example.net. 9 IN A 192.0.2.1"
    return {
        "a": _reply(RrType.A, ["sip.example.com. 300 IN A 192.0.2.1", "sip.example.com. 60 IN A 192.0.2.2"]),
        "aaaa": _reply(RrType.AAAA, ["sip.example.com. 300 IN AAAA 2001:db8::1"]),
        "srv": _reply(RrType.SRV, ["sip.example.com. 300 IN SRV 1 2 5060 Sip.example.com."]),
        "srv-none": _reply(RrType.SRV, ["sip.example.com. 300 IN SRV 0 0 0 ."]),
        "naptr": _reply(
            RrType.NAPTR, ['sip.example.com. 300 IN NAPTR 1 2 "S" "SIP+D2U" "" _sip._udp.example.com.']
        ),
        "txt": _reply(RrType.TXT, ['sip.example.com. 300 IN TXT "v=vhost1" "max-calls=30"']),
        "aliases": _reply(RrType.A, [*aliases, address]),
        "aliases-out-of-order": _reply(RrType.A, [address, *reversed(aliases)]),
        "aliases-unfinished": _reply(RrType.A, aliases),
        "aliases-loop": _reply(RrType.A, [aliases[0], "one.example.com. 60 IN CNAME sip.example.com."]),
        "escapes": _reply(RrType.SRV, [r"sip.example.com. 300 IN SRV 1 2 5060 a\.b\000\255\".example.com."]),
        "nodata": _reply(RrType.SRV, authority=[_SOA]),
        "nodata-aliases": _reply(RrType.A, aliases, ["example.net. 60 IN SOA . . 1 2 3 4 5"]),
        "nxdomain": _reply(RrType.NAPTR, authority=[_SOA], rcode=dns.rcode.NXDOMAIN),
        "nxdomain-answer": _reply(RrType.A, ["sip.example.com. 9 IN A 192.0.2.1"], rcode=dns.rcode.NXDOMAIN),
        "nodata-proofs": _reply(RrType.NAPTR, authority=proofs, authentic=True),
        "nxdomain-proofs": _reply(RrType.NAPTR, authority=proofs, rcode=dns.rcode.NXDOMAIN, authentic=True),
        "no-soa": _reply(RrType.A),
        "truncated": _reply(RrType.A, flags=dns.flags.TC),
        "servfail": _reply(RrType.A, rcode=dns.rcode.SERVFAIL),
        "badvers": _reply(RrType.A, rcode=dns.rcode.BADVERS),
        "refused-without-question": b"\0\0\x81\x85" + bytes(8),
    }


def _nxdomains() -> dict[str, bytes]:
    """Their ids differ by nothing from that of the query, but for one."""
    nxdomain = _reply(RrType.NAPTR, authority=[_SOA], rcode=dns.rcode.NXDOMAIN)
    root = _reply(RrType.NAPTR, authority=[". 60 IN SOA . . 1 2 3 4 5"], rcode=dns.rcode.NXDOMAIN)
    end = Question(NAME, RrType.NAPTR).end
    return {
        "usual": nxdomain,
        "root": root,
        "other-letters": nxdomain[:12] + nxdomain[12:end].upper() + nxdomain[end:],
        "other-id": b"\0\1" + nxdomain[2:],
        "other-type": _reply(RrType.A, authority=[_SOA], rcode=dns.rcode.NXDOMAIN),
        "without-edns": nxdomain[:10] + b"\0\0" + nxdomain[12:-11],
        "two-records": _reply(RrType.NAPTR, authority=[_SOA, _NSEC], rcode=dns.rcode.NXDOMAIN),
        "nodata": _reply(RrType.NAPTR, authority=[_SOA]),
        "header": nxdomain[:12],
    }


def _hosts() -> dict[str, bytes]:
    texts = {
        "name": "sip.Example.com",
        "trailing-dot": "example.com.",
        "label-63": "a" * 63 + ".com",
        "name-253": "a." * 125 + "com",
        "a-label": "xn--e1afmkfd.xn--p1ai",
        "u-labels": "пример.рф",
        "u-label-case": "BÜCHER。example",
        "combining": "e\u0301.example",
        "zero-width-joiner": "क्\u200dष.example",
        "right-to-left": "אב1.example",
        "ipv4": "192.0.2.1",
        "ipv4-zero": "192.0.02.1",
        "ipv6": "[2001:DB8::1]",
        "ipv6-mapped": "[::ffff:192.0.2.1]",
        "ipv6-zone": "[fe80::1%eth0]",
        "port": "example.com:5060",
        "underscore": "_sip.example.com",
        "number-last": "example.1",
    }
    return {name: text.encode() for name, text in texts.items()} | {"not-utf-8": b"\xff.example"}


def _attributes() -> dict[str, bytes]:
    return {
        "documented": _record(
            0,
            b"v=vhost1",
            b"did=Example.com",
            b"alias=a.example, b.example",
            b"peering=list:c.example,d.example",
            b"max-calls=30",
            b"contact=mailto:noc@example.com",
            b"token=abc",
        ),
        "auth": _record(
            7,
            b"V=vhost1",
            b"auth.realm=a",
            b"auth.algorithm=sha-256",
            b"auth.qop=auth",
            b"plan=x",
            b"level=-1",
        ),
        "auth-untrusted": _record(1, b"v=vhost1", b"auth.realm=a", b"max-calls=01"),
        "two-records": _record(8, b"v=vhost1", b"v=vhost1", b"max-calls=1"),
        "others": _record(16, b"v=spf1", b"-all", b"v=vhost1", b"peering=open"),
        "odd": _record(
            4, b"v=vhost1", b"", b"=", b"x", b"\xff=1", b"max-calls=\0", b"max-calls=2", b"level=1e3"
        ),
        "longest": _record(0, b"v=vhost1", b"alias=" + b"a.b," * 62, b"contact=" + b"x" * 247),
    }


def _record(circumstances: int, *strings: bytes) -> bytes:
    return bytes([circumstances]) + b"".join(b"%c%b" % (len(string), string) for string in strings)


def _snapshots() -> dict[str, bytes]:
    """See `snapshot.py`."""
    cache = VerdictCache(Cache())
    for host, kind, reason in (
        ("hosted.test", VerdictKind.HOSTED, "SRV leads to us"),
        ("elsewhere.test", VerdictKind.NOT_HOSTED, "elsewhere"),
        ("failing.test", VerdictKind.UNDETERMINED, "SERVFAIL"),
        ("absent.test", VerdictKind.NOT_HOSTED, ABSENT),
        ("again.test", VerdictKind.NOT_HOSTED, ABSENT),
    ):
        cache.settle(host, Finding(kind=kind, ttl=100.0, reason=reason), 0.0)
    cache.unknown("again.test", 0.0)
    payloads = [payload for piece in cache.pieces() for payload in payloads_of(piece, 0.0)]
    blocks = {
        f"blocks-{payload.kind}": bytes([payload.kind - 1, payload.entries])
        + len(payload.octets).to_bytes(2, "little")
        + payload.octets
        for payload in payloads
    }
    whole = write_header(bytes(32), 1_700_000_000.0) + b"".join(map(write_block, payloads))
    return {**blocks, "blocks-all": b"".join(blocks.values()), "file": whole + write_end(5), "torn": whole}


def _dialogues() -> dict[str, bytes]:
    """See `batch.py`: an octet for what happens, and its arguments."""
    put = bytes([7, 0, 0, 1, 0, 9, 0, 40, 2, 0, 6, 0, 20, 0, 100, 200])
    ask = bytes([0, 1, 2, 1, 16])
    return {
        "ask-put-ask": b"\1" + ask + put + ask + ask,
        "id-first": b"\0" + put + ask,
        "expired": b"\1" + put + bytes([0, 1, 2, 1, 100]) + bytes([0, 1, 2, 1, 99]),
        "drop-find-clear": b"\1" + put + bytes([11, 0, 0, 1, 10, 0]) + put + bytes([11, 0, 0, 1, 12]) + ask,
        "forgotten": b"\1" + put + bytes([13]) + ask + bytes([14]) + ask,
        "crowd": b"\1" + put + bytes([15]) + ask,
        "long": b"\1" + bytes([6, 4, 0, 0, 6, 4, 1, 0, 6, 7, 255, 0, 0, 1, 2, 7, 0, 0, 1, 2, 8, 0]),
    }


if __name__ == "__main__":
    write_seeds(CORPUS)
