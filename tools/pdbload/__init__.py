"""A load generator for the PDB face: prebuilt frames, batched system calls, every reply checked.

From a program (it blocks: give it a thread or, for speed, a process of its own)::

    figures = run_load(Plan(server=Endpoint("127.0.0.1", 5380), names=(b"a.example",), seconds=5.0))
    print(figures.answers_per_second, figures.latency.percentile(99.0))

As a process: `python -m tools.pdbload --server 127.0.0.1:5380 --hosts FILE --seconds 5`.
"""

from tools.pdbload.errors import LoadError
from tools.pdbload.figures import Figures
from tools.pdbload.latency import LatencyHistogram
from tools.pdbload.plan import Plan
from tools.pdbload.run import run_load

__all__ = ["Figures", "LatencyHistogram", "LoadError", "Plan", "run_load"]
