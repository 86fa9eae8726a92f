"""The servers of resolv.conf, for a configuration that names none."""

from pathlib import Path

import pytest

from fastvhost.config import Endpoint
from fastvhost.errors import ConfigError
from fastvhost.resolve import system
from fastvhost.resolve.system import system_servers


@pytest.fixture
def resolv_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr(system, "RESOLV_CONF", path)
    return path


def test_servers_are_those_of_the_file_in_its_order(resolv_conf: Path) -> None:
    resolv_conf.write_bytes(
        b"# nameserver 192.0.2.9\n; nameserver 192.0.2.8\nsearch example.org nameserver\n"
        b"nameserver 192.0.2.2\nnameserver\t2001:DB8::1 # \xff\nnameserver\noptions timeout:1\n\n"
        b"nameserver 192.0.2.1"
    )
    assert system_servers() == (
        Endpoint("192.0.2.2", 53),
        Endpoint("2001:db8::1", 53),
        Endpoint("192.0.2.1", 53),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "names no server"),
        ("search example.org\nnameserver\n", "names no server"),
        ("nameserver ns.example.org\n", "cannot be used: 'ns.example.org' does not appear to be"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_file_without_servers_is_one_line_that_says_what_to_do(
    resolv_conf: Path, text: str | None, why: str
) -> None:
    if text is not None:
        resolv_conf.write_text(text)
    with pytest.raises(ConfigError) as caught:
        system_servers()
    said = str(caught.value)
    assert said.startswith(f"dns.servers is empty, and {resolv_conf} {why}")
    assert said.endswith("name at least one server in dns.servers")
    assert "\n" not in said
