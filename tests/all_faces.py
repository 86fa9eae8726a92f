"""A configuration in which every part has something to count."""

from pathlib import Path

from fastvhost.config import Config, Endpoint
from tests.support import config_on, free_endpoint, free_port
from tools.dnslab import Lab

__all__ = ["config_with_all_faces"]


def config_with_all_faces(lab: Lab, folder: Path) -> Config:
    """All faces, a store and a snapshot in `folder`, and proxies that are not there."""
    return config_on(
        lab,
        listen={"dns": free_endpoint(), "admin": free_endpoint()},
        cache={"snapshot": f"{folder}/snapshot"},
        domains={"store": f"sqlite:///{folder}/x.db"},
        proxies={
            "kamailio": (f"udp:127.0.0.1:{free_port()}",),
            "htable": "vhosts",
            "evapi": (Endpoint("127.0.0.1", free_port()),),
        },
    )
