"""The forms of the scout's queries, of which every test asks each."""

import shutil

import pytest

from fastvhost.resolve.compiled_queries import LIBRARY, CompiledQueries
from fastvhost.resolve.queries import PlainQueries, Queries

FORMS: tuple[type[Queries], ...] = (PlainQueries, CompiledQueries)


def available(form: type[Queries]) -> type[Queries]:
    """`form`; the test is skipped, or fails, where it is not there."""
    if form is CompiledQueries and not LIBRARY.exists():
        if shutil.which("cc"):
            pytest.fail("libqueries.so is missing: make sets it up")
        pytest.skip("no C compiler here")
    return form
