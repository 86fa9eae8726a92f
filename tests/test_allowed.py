"""Which clients get a reply."""

from ipaddress import ip_address, ip_network

import pytest

from fastvhost.faces.allowed import is_allowed

NETWORKS = (ip_network("192.0.2.0/24"), ip_network("2001:db8::1"))


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
def test_client_is_allowed_by_its_network(address: str, allowed: bool) -> None:
    assert is_allowed(ip_address(address), NETWORKS) is allowed


def test_no_network_allows_nobody() -> None:
    assert not is_allowed(ip_address("127.0.0.1"), ())
