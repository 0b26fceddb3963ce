"""The tables that are followed, and whether they and their triggers are as they were."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import SchemaChangedError, StartAgainError
from connectors.outbox.noted import Noted
from connectors.outbox.noting import written_names
from connectors.outbox.reading import Tables
from connectors.postgres.database import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdc_daemon.events import Relation
    from connectors.outbox.installing import Installed, Trigger
    from connectors.postgres.database import Database

LOOK_SECONDS: Final = 1.0
"""How often triggers are looked at: as often as the shapes of tables."""
_COLUMNS: Final = """
select attrelid::int8, attname::text, attnum, atttypid::int8, atttypmod
from pg_catalog.pg_attribute where attrelid = any(%s) and attnum > 0 and not attisdropped
"""


class Followed:
    """Those of one stream. The reader owns it."""

    def __init__(
        self,
        database: Database,
        installed: Callable[[], Installed],
        relations: Sequence[Relation],
    ) -> None:
        """`installed` looks at the triggers, as of now."""
        self._database = database
        self._installed = installed
        self._candidates, _ = database.candidates(relations)
        self._partitions = {
            leaf.oid: candidate.relation.qualified_name
            for candidate in self._candidates
            for leaf in candidate.leaves
        }
        """Of which table each is one."""
        self._triggers: frozenset[Trigger] = frozenset()
        """As they were when they were looked at last."""
        self._looked_at = 0.0

    def tables(self) -> Tables:
        """By how the outbox names them."""
        names = written_names([each.relation for each in self._candidates])
        noted = [
            Noted(each.relation, each.table.oid, names[each.relation.qualified_name])
            for each in self._candidates
        ]
        before = self._columns(noted)

        def changed() -> Mapping[Relation, str]:
            now = self._columns(noted)
            found: dict[Relation, str] = {}
            for each in noted:
                # The catalog was looked at before the stream began: one may have come in between.
                there = (name for name, *_ in now[each.oid])
                if now[each.oid] != before[each.oid]:
                    found[each.relation] = "its columns have changed"
                elif added := each.relation.added(there):
                    found[each.relation] = f"column {', '.join(added)} was added"
            return found

        return Tables(
            {each.oid: each for each in noted},
            {name: each for each in noted for name in each.names},
            changed,
        )

    def begin(self) -> None:
        """The triggers that are there now are those that note what will be read."""
        self._triggers = frozenset(self._installed().triggers)

    def require_unaltered(self) -> None:
        """Raise StartAgainError where a trigger was altered: it may have missed changes.

        One of a partition: SchemaChangedError. Partitions come and go with theirs.
        """
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        before, self._triggers = self._triggers, frozenset(self._installed().triggers)
        for each in before - self._triggers:
            if not each.inherited:
                raise StartAgainError("triggers of the outbox were altered: changes may be missing")
            same = [one for one in self._triggers if one[:3] == each[:3]]
            if same and each.table in self._partitions:
                table = self._partitions[each.table]
                why = f"trigger {same[0].version} of partition {each.table_name} was altered"
                raise SchemaChangedError(table, why)

    def _columns(self, noted: Sequence[Noted]) -> dict[int, set[tuple[str, int, int, int]]]:
        """Of each table: names, places and types of the columns that are shown, or are to be."""
        found: dict[int, set[tuple[str, int, int, int]]] = {each.oid: set() for each in noted}
        shown = {
            each.oid: None
            if each.relation.is_open
            else {*each.relation.missing, *(column.name for column in each.relation.columns)}
            for each in noted
        }
        with mapped_errors("look at the columns of tables"):
            lines = self._database.queries().execute(_COLUMNS, [list(found)]).fetchall()
        for oid, name, *rest in lines:
            names = shown[oid]
            if names is None or name in names:
                found[oid].add((name, *rest))
        return found
