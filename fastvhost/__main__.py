"""`python -m fastvhost` is `fastvhost`."""

import sys

from fastvhost.cli import main

sys.exit(main())
