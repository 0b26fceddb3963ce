"""Steps that change the schema of a random table while others write into it.

No read model names columns that come and go: those of `"*"` show them. The type of a column is in
its name, so that no field of an index ever needs another mapping.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.generators.random_tables import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    import psycopg

    from tests.generators.history_steps import Step
    from tests.generators.random_tables import RandomTable

EXTRA = {
    **{f"xi{at}": ("int", "7") for at in range(2)},
    **{f"xt{at}": ("varchar(40)", "'new'") for at in range(2)},
    **{f"xw{at}": ("timestamptz", "clock_timestamp()") for at in range(2)},
}
"""Name to type and default; the last kind of default makes PostgreSQL rewrite the table."""
GENERATED = {
    "xg0": ("int", "length(label)"),
    "xg1": ("boolean", "not coalesce(flag, false)"),
    "xg2": ("text", "md5(body)"),
}
"""Name to type and expression, which may be of a value that an update leaves out."""
COMING_AND_GOING = (*EXTRA, *GENERATED)
"""Columns that a row may lack: then a document may have a null, or nothing."""
MORE_KEY_SHARE = 0.3
OPTIONS = (
    *("publish = 'insert'", "publish = 'update, delete, truncate'"),
    *("publish = 'insert, update, delete, truncate'",) * 2,
    *("publish_via_partition_root = false", "publish_via_partition_root = true"),
)
"""Of a publication: what leaves changes out, and what sets it right."""


class SchemaSteps:
    """What may become of one table."""

    def __init__(self, table: RandomTable, all_tables: Sequence[RandomTable], share: float) -> None:
        self._table = table
        self._all = all_tables
        self._share = share
        self.done = Counter[str]()
        """How often which; some of it was rolled back later."""

    def all(self) -> list[Step]:
        """Of the frequent ones several."""
        steps: list[Step] = [
            *(self.add_column, self.add_column, self.add_and_fill_column),
            *(self.drop_column, self.rename_column),
            *(self.retype_column, self.retype_mapped_column, self.make_anew, self.rename_label),
            *(self.add_generated, self.add_generated, self.drop_generated, self.make_plain),
            *(self.change_key, self.retype_key, self.alter_publication),
        ]
        if self._table.identity != "index":
            steps.append(self.change_identity)
        if self._table.partitioned:
            steps += [self.detach, self.attach, self.attach, self.truncate_partition]
        return [*map(self._now_and_then, steps), self.fill_column, self.fill_column]

    def _now_and_then(self, step: Step) -> Step:
        def run(cursor: psycopg.Cursor, rng: Random) -> None:
            if rng.random() < self._share:
                step(cursor, rng)
                self.done[step.__name__.replace("_", " ")] += 1

        return run

    def add_column(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """With a default or without."""
        name, (kind, default) = rng.choice(list(EXTRA.items()))
        given = rng.choice(("", f"default {default}", f"not null default {default}"))
        self._alter(cursor, f"add column {name} {kind} {given}")

    def add_and_fill_column(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Empty, and of some rows filled at once: who reads by the columns of before misses it."""
        name, (kind, value) = rng.choice(list(EXTRA.items()))
        self._alter(cursor, f"add column {name} {kind}")
        some = f"n % 5 = {rng.randrange(5)}"
        _run(cursor, f"update {self._table.sql} set {name} = {value} where {some}")

    def drop_column(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """If it is there."""
        self._alter(cursor, f"drop column {rng.choice(list(EXTRA))}")

    def rename_column(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """To one of the same type."""
        kind = rng.choice(("xi", "xt", "xw"))
        one, other = rng.sample(range(2), 2)
        self._alter(cursor, f"rename column {kind}{one} to {kind}{other}")

    def retype_column(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """To one that the same field can show; values become shorter."""
        name = rng.choice(("xt0", "xt1"))
        kind = rng.choice(("text", "varchar(40)", "char(9)"))
        self._alter(cursor, f"alter column {name} type {kind} using left({name}, 9)")

    def retype_mapped_column(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """One that read models name: the index needs another mapping."""
        self._alter(cursor, f"alter column n type {rng.choice(('int', 'bigint'))}")

    def add_generated(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Stored: PostgreSQL writes all rows anew."""
        name, (kind, expression) = rng.choice(list(GENERATED.items()))
        self._alter(cursor, f"add column {name} {kind} generated always as ({expression}) stored")

    def drop_generated(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """If it is there."""
        self._alter(cursor, f"drop column {rng.choice(list(GENERATED))}")

    def make_plain(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """A generated column: it keeps its values, and nothing computes them any more."""
        self._alter(cursor, f"alter column {rng.choice(list(GENERATED))} drop expression")

    def change_key(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Its columns in another order, sometimes with one more: documents get other ids.

        The one more is changed by updates, and by those of rows whose large values aren't sent.
        """
        names = [name for name, _ in self._table.key]
        if rng.random() < MORE_KEY_SHARE:
            names.append("n")
        rng.shuffle(names)
        other = f"add primary key ({', '.join(names)})"
        self._alter(cursor, f"drop constraint {self._table.name}_pkey, {other}")

    def retype_key(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """A column of it, to a type that takes the same values, and may write them differently."""
        name, kind = rng.choice(self._table.key)
        if kind.others:
            self._alter(cursor, f"alter column {name} type {rng.choice(kind.others)}")

    def alter_publication(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Of all tables: what it leaves out for a while is in no stream."""
        _run(cursor, f"alter publication cdc_{self._table.schema} set ({rng.choice(OPTIONS)})")

    def change_identity(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Old rows come whole from now on, or only their keys."""
        identity = rng.choice(("default", "full"))
        for one in self._table.files():
            _run(cursor, f"alter table {one} replica identity {identity}")

    def fill_column(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Of some rows."""
        name, (_, value) = rng.choice(list(EXTRA.items()))
        some = f"n % 5 = {rng.randrange(5)}"
        _run(cursor, f"update {self._table.sql} set {name} = {value} where {some}")

    def make_anew(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Dropped and created as it was at first, with other rows."""
        detached = ", ".join(self._table.partitions())
        _run(cursor, f"drop table {self._table.sql}")
        if detached:
            _run(cursor, f"drop table if exists {detached}")
        for statement in self._table.ddl():
            _run(cursor, statement)
        self._table.insert_many(cursor, rng)

    def rename_label(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Of an enum: rows show another text, and none of them has changed.

        Whoever writes them is waited for, as the server itself doesn't: who has written the label
        and commits later would leave it as it was (decision 0020).
        """
        tables = ", ".join(table.sql for table in self._all)
        _run(cursor, f"lock table {tables} in share row exclusive mode")
        old, new = rng.sample(("odd one", "odd two"), 2)
        _run(cursor, f"alter type mood rename value '{old}' to '{new}'")

    def detach(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """A partition: its rows are no longer in the table."""
        self._alter(cursor, f"detach partition {self._table.partition(rng.randrange(PARTITIONS))}")

    def attach(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """One that was detached."""
        at = rng.randrange(PARTITIONS)
        values = f"for values with (modulus {PARTITIONS}, remainder {at})"
        self._alter(cursor, f"attach partition {self._table.partition(at)} {values}")

    def truncate_partition(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """By itself."""
        _run(cursor, f"truncate {self._table.partition(rng.randrange(PARTITIONS))}")

    def _alter(self, cursor: psycopg.Cursor, action: str) -> None:
        _run(cursor, f"alter table {self._table.sql} {action}")


def _run(cursor: psycopg.Cursor, statement: str) -> None:
    """Bytes: a percent sign is one."""
    cursor.execute(statement.encode())
