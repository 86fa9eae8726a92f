"""A load generator for the faces, by PDB or DNS: prebuilt frames, batched system calls, every reply checked.

From a program (it blocks: give it a thread or, for speed, a process of its own)::

    figures = run_load(Plan(server=Endpoint("127.0.0.1", 5380), names=(b"a.example",), seconds=5.0))
    print(figures.answers_per_second, figures.latency.percentile(99.0))

As a process: `python -m tools.load --server 127.0.0.1:5380 --hosts FILE --seconds 5`.
"""

from tools.load.dialect import Dialect
from tools.load.dns import Dns
from tools.load.errors import LoadError
from tools.load.figures import Figures
from tools.load.latency import LatencyHistogram
from tools.load.pdb import Pdb
from tools.load.plan import Plan
from tools.load.run import run_load, run_together

__all__ = [
    "Dialect",
    "Dns",
    "Figures",
    "LatencyHistogram",
    "LoadError",
    "Pdb",
    "Plan",
    "run_load",
    "run_together",
]
