"""The store as others see it: what was acknowledged, the operator's rows, and whether it all adds up."""

import random
from collections import Counter
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from tests.support import until

__all__ = ["Ledger"]

_LEARNED = "SELECT domain, revision FROM fastvhost_domain WHERE state = 'active' AND revision > :seen"
_OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class Ledger:
    """A reader and an operator beside the daemon, each time on a connection of its own.

    So none of theirs is open when the daemon is killed, and who comes next has to recover.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._revision = 0
        self.acknowledged: set[str] = set()
        """Domains that were seen as learned."""
        self.operators: dict[tuple[str, int], tuple[Any, ...]] = {}
        """The operator's rows, by table and id, with all their columns."""

    def read(self) -> None:
        """Note what was committed since the last look."""
        for domain, revision in self._rows(_LEARNED, seen=self._revision):
            self.acknowledged.add(domain)
            self._revision = max(self._revision, revision)

    def operate(self, contested: str, draw: random.Random) -> None:
        """Put in rows for `contested`, unless it has been learned, and make one of the learned ones his."""
        domain = "INSERT INTO domain (domain, did) VALUES (:name, 'his')"
        attribute = "INSERT INTO domain_attrs (did, name, type, value) VALUES (:name, 'his.own', 0, '9')"
        if self._write("domain", domain, "domain = :name", contested):
            self._write("domain_attrs", attribute, "did = :name AND name = 'his.own'", contested)
        if self.acknowledged:
            mine = draw.choice(sorted(self.acknowledged))
            self._write(
                "domain", "UPDATE domain SET did = 'his' WHERE domain = :name", "domain = :name", mine
            )

    async def verify(self) -> None:
        """Once the daemon is gone: nothing acknowledged is lost, no row is there twice or nobody's, and the
        operator's are as he left them."""
        await until(self._is_alone)
        if not self.acknowledged:
            return
        known = dict(self._rows("SELECT domain, row_id FROM fastvhost_domain WHERE state = 'active'"))
        domains, attributes = self._rows("SELECT * FROM domain"), self._rows("SELECT * FROM domain_attrs")
        names = Counter(row.domain.lower() for row in domains)
        assert self.acknowledged - known.keys() == set()
        assert self.acknowledged - names.keys() == set()
        assert set(names.values()) == {1}
        assert set(Counter((row.did, row.name) for row in attributes).values()) <= {1}
        found = {("domain", row.id): tuple(row) for row in domains}
        found |= {("domain_attrs", row.id): tuple(row) for row in attributes}
        assert {key: found.get(key) for key in self.operators} == self.operators
        # A row of ours that we do not know of would be taken for the operator's for ever.
        ours = {("domain", row_id) for row_id in known.values() if row_id is not None}
        ours |= {("domain_attrs", id_) for (id_,) in self._rows("SELECT row_id FROM fastvhost_attribute")}
        assert found.keys() == ours | self.operators.keys()

    def _is_alone(self) -> bool:
        """Whether PostgreSQL has noticed that the daemon is gone, and ended what it was at."""
        return self._engine.dialect.name != "postgresql" or self._rows(_OTHERS)[0][0] == 0

    def _write(self, table: str, statement: str, where: str, name: str) -> bool:
        """Whether there is a row of the operator's after it."""
        with self._engine.connect() as connection:
            try:
                connection.execute(text(statement), {"name": name})
            except IntegrityError:
                return False
            rows = connection.execute(text(f"SELECT * FROM {table} WHERE {where}"), {"name": name})  # noqa: S608
            self.operators |= {(table, row.id): tuple(row) for row in rows}
            return True

    def _rows(self, statement: str, **values: object) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(text(statement), values))
