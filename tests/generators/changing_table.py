"""A table that changes while a daemon follows it, and what its documents must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from tests.generators.oracle import bare, documents, expected
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon


class Scene:
    """The table `item` with the columns id and n, at least, and a daemon."""

    def __init__(self, database: Database, daemon: RunningDaemon, rest: Rest) -> None:
        self.daemon = daemon
        self.rest = rest
        self._dsn = database.dsn
        self._connection = psycopg.connect(database.dsn, autocommit=True)
        self._number = 10_000

    def run(self, sql: str) -> None:
        """One statement or several, each its own transaction."""
        for statement in sql.split(";\n"):
            self._connection.execute(statement.encode())

    def touch(self) -> None:
        """Rows come, change and go, whatever columns there are."""
        self._number += 10
        first = self._number
        self.run(
            f"insert into item (id, n) select i, i from generate_series({first}, {first + 5}) i;\n"
            f"update item set n = '{first}' where id % 7 = {first // 10 % 7};\n"
            f"delete from item where id in ({first + 1}, {first // 10 % 300});\n"
            f"update item set id = id + 5000 where id = {first // 10 % 300 + 1}"
        )

    def wait_until_noticed(self, times: int = 1) -> None:
        """The daemon says that it compiles its mappings anew, so often by now."""
        until(lambda: len(self.daemon.events("schema_changed")) >= times, 20, "it is noticed")

    def is_adopted(self, table: str) -> bool:
        """Whether the checkpoint knows its file; rows change, so that one is stored."""
        self.touch()
        query = "select relfilenode::text from pg_class where oid = %s::regclass"
        found = self._connection.execute(query, [table]).fetchone()
        return found == (self._stored_shape(table)["file"],)

    def has_taken_in(self, partition: str) -> bool:
        """Whether the checkpoint knows it: the start that took it in has stored that."""
        [(oid,)] = self._connection.execute("select %s::regclass::oid::text", [partition])
        return oid in self._stored_shape("item")["parts"]

    def _stored_shape(self, table: str) -> dict[str, Any]:
        index = "/cdc-daemon-checkpoints/_doc"
        stored = self.rest.get(f"{index}/{self.daemon.status()['pipeline']}")["_source"]
        shape: dict[str, Any] = stored["checkpoint"]["shapes"][f"public.{table}"]
        return shape

    def settle(self) -> None:
        """Wait until the stream and all loads have caught up."""
        self.daemon.wait_until("streaming")
        self.daemon.catch_up()
        until(self._is_idle, 60, "nothing is loaded any more")
        self.daemon.catch_up()

    def is_loading(self) -> bool:
        """Whether some rows have been read, and others haven't."""
        loads = self.daemon.status().get("backfill", {}).get("loads", [])
        return any(0 < load["share"] < 1 for load in loads)

    def _is_idle(self) -> bool:
        status = self.daemon.status()
        return status.get("state") == "streaming" and status["backfill"]["loads"] == []

    def compare(self, **queries: str) -> None:
        """Every document equals its row: a column that was added is absent in those before it."""
        for alias, query in queries.items():
            wanted = {key: bare(document) for key, document in expected(self._dsn, query).items()}
            found = self._found(alias)
            assert len(found) == len(wanted), alias
            wrong = {k: (found.get(k), wanted[k]) for k in wanted if found.get(k) != wanted[k]}
            assert not wrong, f"{alias}: {len(wrong)}: {list(wrong.items())[:3]}"

    def _found(self, alias: str) -> dict[str, Any]:
        return {key: bare(document) for key, (_, document) in documents(self.rest, alias).items()}

    def close(self) -> None:
        """End the session."""
        self._connection.close()
