"""fastvhost: is this SIP host one of ours? Decided from DNS by RFC 3263, answered in microseconds.

    async with open_service(load_config(path)) as service:
        verdict = await service.lookup("example.com", source="198.51.100.7")

Everything that a program needs is here; the modules below are for those who read on. Names are loaded
when they are first used, so that `fastvhost query` does not pay for what only `serve` needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastvhost.config import Config
    from fastvhost.config_file import load_config
    from fastvhost.errors import ConfigError, FastvhostError, ListenError, StoppedError
    from fastvhost.model import Step, Verdict, VerdictKind
    from fastvhost.service import Service, open_service

__all__ = [
    "Config",
    "ConfigError",
    "FastvhostError",
    "ListenError",
    "Service",
    "Step",
    "StoppedError",
    "Verdict",
    "VerdictKind",
    "__version__",
    "load_config",
    "open_service",
]

__version__ = "0.1.0"

_HOME = {
    "Config": "config",
    "ConfigError": "errors",
    "FastvhostError": "errors",
    "ListenError": "errors",
    "Service": "service",
    "Step": "model",
    "StoppedError": "errors",
    "Verdict": "model",
    "VerdictKind": "model",
    "load_config": "config_file",
    "open_service": "service",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
