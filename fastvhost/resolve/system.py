"""The system's own DNS servers, for a configuration that names none."""

from ipaddress import ip_address
from pathlib import Path

from fastvhost.config import DNS_PORT, Endpoint
from fastvhost.errors import ConfigError

__all__ = ["RESOLV_CONF", "system_servers"]

RESOLV_CONF = Path("/etc/resolv.conf")


def system_servers() -> tuple[Endpoint, ...]:
    """The servers of /etc/resolv.conf, in its order (resolv.conf(5)). Nothing else that it says counts.

    Raises:
        ConfigError: there is none, one is no address, or the file cannot be read.
    """
    try:
        lines = map(str.split, RESOLV_CONF.read_text(errors="replace").splitlines())
        named = [words[1] for words in lines if words[:1] == ["nameserver"] and len(words) > 1]
        servers = tuple(Endpoint(str(ip_address(address)), DNS_PORT) for address in named)
    except OSError as error:
        raise _unusable(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _unusable(f"cannot be used: {error}") from error
    if not servers:
        raise _unusable("names no server")
    return servers


def _unusable(why: str) -> ConfigError:
    return ConfigError(
        f"dns.servers is empty, and {RESOLV_CONF} {why}: name at least one server in dns.servers"
    )
