"""Load tests for operators: hosts as callers have them, at a rate, and a report of what they were told when.

`python -m tools.flood --hosts FILE`; docs/load-testing.md shows one. `tools.load` sends the requests.
"""

from tools.flood.errors import FloodError
from tools.flood.report import Report
from tools.flood.running import flood
from tools.flood.timeline import Event, Interval

__all__ = ["Event", "FloodError", "Interval", "Report", "flood"]
