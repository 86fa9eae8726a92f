"""What all tests share: servers that may be missing, and the lab DNS server."""

import os
import shutil

import pytest

_SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_REQUIRE_SERVERS = bool(os.environ.get("FASTVHOST_REQUIRE_SERVERS"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip by name a test whose server is not installed; where servers are required, fail it."""
    for marker in item.iter_markers("server"):
        for program in marker.args:
            if shutil.which(program, path=_SYSTEM_PATH) is None:
                missing = f"{program} is not installed"
                if _REQUIRE_SERVERS:
                    pytest.fail(missing, pytrace=False)
                pytest.skip(missing)
