"""A random world for a whole daemon: tables with rows, and read models that an index can take."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from cdc_daemon.ports import TableRequest
from connectors.postgres.catalog import describe
from tests.generators import worlds
from tests.generators.random_plans import random_plans
from tests.generators.world_history import WorldHistory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from tests.generators.world_history import Connection

OBJECTS = ('{"a": 1.50}', '{"a": null}', '{"a": null, "b": [null, {"c": null}]}', "{}")
"""An index takes these of `jsonb`, and nothing else."""
FIRST_TRANSACTIONS = 25
"""They make the rows that are there before a daemon comes."""
MOST_MODELS = 2
MOST_BYTES = 50_000
MOST_MILLISECONDS = 1000
"""Of a document, and for SQL to make all of a read model. Many times over the same rows, at each of
several levels, a few rows come to megabytes, and to more nested objects than an index takes."""
SETTINGS = {
    "mapping.total_fields.limit": 20_000,
    "mapping.nested_fields.limit": 1_000,
    "mapping.nested_objects.limit": 100_000,
    "number_of_replicas": 0,
}


class JoinedWorld:
    """Made in a database, and no part of any other world there."""

    def __init__(self, rng: Random, name: str, connection: Connection) -> None:
        self._rng, self.name = rng, name
        values = rng.choice((worlds.VALUES, worlds.WITH_SPECIAL)) | {"jsonb": OBJECTS}
        self.world = worlds.random_world(rng, name, values)
        self._history = WorldHistory(rng, self.world, connection)
        self._connection = connection
        self.projections: dict[str, Any] = {}

    def make(self, *, with_flat: bool) -> None:
        """Tables, rows and read models, perhaps with one that joins nothing."""
        self._history.begin()
        for _ in range(FIRST_TRANSACTIONS):
            self._history.transact()
        names = [table.qualified for table in self.world.tables]
        found = describe(self._connection, [TableRequest(name) for name in names])
        relations = dict(zip(names, found, strict=True))
        mappings, _ = random_plans(self._rng, self.world, relations, MOST_MODELS)
        if with_flat:
            mappings["flat"] = {"from": self._rng.choice(names), "fields": "*"}
        self.projections = {
            f"{self.name}{name}": self._indexed(mapping) for name, mapping in mappings.items()
        }

    def leave_out_large(self, queries: Mapping[str, str]) -> None:
        """Those read models whose documents are large by now; `queries`: their SQL, by name."""
        for name in list(self.projections):
            if not self._is_bearable(queries[name]):
                del self.projections[name]

    def _is_bearable(self, query: str) -> bool:
        largest = f"select max(length(document::text)) from ({query}) d"
        with suppress(psycopg.errors.QueryCanceled), self._connection.transaction():
            for setting in (f"statement_timeout = {MOST_MILLISECONDS}", "jit = off"):
                self._connection.execute(f"set local {setting}".encode())
            found = self._connection.execute(largest.encode()).fetchone()
            assert found is not None
            return (found[0] or 0) <= MOST_BYTES
        return False

    def described(self) -> str:
        """What a person needs to see the same."""
        return ";\n".join([worlds.shown(self.projections), *self.world.ddl])

    def _indexed(self, mapping: dict[str, Any]) -> dict[str, Any]:
        settings = SETTINGS | {"number_of_shards": 3 if "routing" in mapping else 1}
        fresh = {"freshness": self._rng.choice(("0", "20ms", "200ms"))}
        return {**_storable(mapping), **fresh, "index": {"settings": settings}}


def _storable(said: Any) -> Any:
    """With a field for both, where a default is of another type than the column."""
    if isinstance(said, list):
        return [_storable(one) for one in said]
    if not isinstance(said, dict):
        return said
    inner = {name: _storable(one) for name, one in said.items()}
    return {**inner, "type": "keyword"} if "default" in said else inner
