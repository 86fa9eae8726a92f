"""Micro-benchmarks of what each datagram costs before the cache: the PDB codec and the grammar of hosts."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastvhost.faces.pdb_codec import read_request, write_reply, write_request
from fastvhost.host import DomainName, Malformed, parse_address, parse_host
from fastvhost.model import VerdictKind

REQUEST = write_request(b"sip.customer-4711.example.com", 4711)


def test_read_request(benchmark: BenchmarkFixture) -> None:
    assert benchmark(read_request, REQUEST) == b"sip.customer-4711.example.com"


def test_read_request_that_is_not_pdb(benchmark: BenchmarkFixture) -> None:
    assert benchmark(read_request, REQUEST[:-1]) is None


def test_write_reply(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(write_reply, REQUEST, VerdictKind.HOSTED)) == len(REQUEST) + 2


@pytest.mark.parametrize("text", ["sip.customer-4711.example.com", "SIP.Customer-4711.Example.COM."])
def test_parse_host_name(benchmark: BenchmarkFixture, text: str) -> None:
    assert benchmark(parse_host, text) == DomainName("sip.customer-4711.example.com")


def test_parse_host_of_u_labels(benchmark: BenchmarkFixture) -> None:
    assert benchmark(parse_host, "bücher.example") == DomainName("xn--bcher-kva.example")


def test_parse_host_malformed(benchmark: BenchmarkFixture) -> None:
    assert isinstance(benchmark(parse_host, "no_host.example.com"), Malformed)


@pytest.mark.parametrize("text", ["192.0.2.17", "2001:db8::17"])
def test_parse_source_address(benchmark: BenchmarkFixture, text: str) -> None:
    assert str(benchmark(parse_address, text)) == text
