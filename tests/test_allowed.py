"""Which clients get a reply."""

from ipaddress import ip_network

import pytest

from fastvhost.faces.allowed import AllowedClients


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("192.0.2.0", True),
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("::ffff:192.0.2.1", True),
        ("::ffff:192.0.3.1", False),
        ("2001:db8::1", True),
        ("2001:db8::2", False),
    ],
)
def test_client_within_a_network_is_allowed_again_and_again(address: str, allowed: bool) -> None:
    clients = AllowedClients([ip_network("192.0.2.0/24"), ip_network("2001:db8::1")])
    assert [clients.allows(address) for _ in range(3)] == [allowed] * 3


def test_clients_remembered_are_bounded_and_answered_beyond_it() -> None:
    clients = AllowedClients([ip_network("10.0.0.0/8")])
    for number in range(10_000):
        assert clients.allows(f"10.0.{number >> 8}.{number & 255}")
    assert len(clients._before) <= 4096
    assert clients.allows("10.0.0.0")
