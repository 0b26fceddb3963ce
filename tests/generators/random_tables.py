"""Random tables: key, columns, replica identity, partitions; and the steps that change their rows.

All values are such that a document shows them as `to_jsonb` does: what becomes of the others is the
matter of `tests/property/test_stream.py` and `tests/integration/opensearch/test_every_type.py`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from tests.generators.pg_scalars import random_text
from tests.generators.pg_values import literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    import psycopg

    from tests.generators.history_steps import Step

KEYS = 240
"""Rows of a table at most, about: sessions meet, and keys come back."""
FAR = 10_000
"""Numbers from here on make keys that no row has for long: swaps lead through them."""
PARTITIONS = 3
TRUNCATE_SHARE = 0.1
LONG_TEXT_LINES = 300
"""Lines of hexadecimal digits, which hardly compress: together they are stored out of line."""
TYPES = "create type mood as enum ('calm', 'it''s \"fine\"', 'é☕', 'odd one')"

Identity: TypeAlias = Literal["default", "full", "index"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type as SQL writes it, and SQL for a random value."""

    sql: str
    value: Callable[[Random], str]


@dataclass(frozen=True, slots=True)
class KeyKind:
    """A type as SQL writes it, and SQL for the value of a number: another number, another value."""

    sql: str
    value: Callable[[int], str]
    others: tuple[str, ...] = ()
    """Types that the column may have: all take such a value."""


def _day(number: int) -> str:
    return (date(2000, 1, 1) + timedelta(days=number)).isoformat()


def _odd_text(number: int) -> str:
    pieces = ("", "|", "\\", '"', "'", "é☕", " ", "\n", "sha256:", "x" * 600)
    return pieces[number % len(pieces)] + (str(number // len(pieces)) if number >= 10 else "")


KEY_KINDS = (
    KeyKind("int", str, ("int", "bigint")),
    KeyKind("bigint", lambda number: str((number - 50) * 10**12)),
    KeyKind("text", lambda number: literal(_odd_text(number))),
    KeyKind("varchar(20)", lambda number: literal(f"{number}\\{number}|"), ("varchar(20)", "text")),
    KeyKind("char(9)", lambda number: literal(f"é{number}")),
    KeyKind("numeric", lambda number: f"{number}.{number % 4}0"),
    KeyKind("uuid", lambda number: literal(str(uuid.UUID(int=number * 0x1234567)))),
    KeyKind("date", lambda number: literal(_day(number)), ("date", "timestamp")),
    KeyKind("timestamptz", lambda number: literal(f"{_day(number)} 12:00:00.5+02")),
    KeyKind("bytea", lambda number: literal(f"\\x{number:08x}")),
)


def _long_text(rng: Random) -> str:
    """Sometimes so long that it is stored out of line."""
    if rng.random() < 0.5:
        return literal(random_text(rng))
    lines = f"generate_series(1, {LONG_TEXT_LINES}) i"
    return f"(select string_agg(md5(i::text || {rng.random()}), E'\\n') from {lines})"


def _of(*values: str) -> Callable[[Random], str]:
    return lambda rng: rng.choice(values)


KINDS = (
    Kind("int", lambda rng: str(rng.randint(-(2**31), 2**31 - 1))),
    Kind("bigint", lambda rng: str(rng.randint(-(2**62), 2**62))),
    Kind("smallint", lambda rng: str(rng.randint(-99, 99))),
    Kind("numeric", lambda rng: f"{rng.randint(-999, 999)}.{rng.randint(0, 99):02}0"),
    Kind("numeric(12,3)", lambda rng: str(rng.randint(-999, 999))),
    Kind("double precision", lambda rng: repr(round(rng.uniform(-1e9, 1e9), 3))),
    Kind("real", lambda rng: str(rng.randint(-9999, 9999) / 4)),
    Kind("boolean", _of("true", "false")),
    Kind("text", _long_text),
    Kind("varchar(40)", lambda rng: literal(random_text(rng)[:40])),
    Kind("char(5)", _of("''", "'ab'", "'é'")),
    Kind("date", lambda rng: literal(_day(rng.randrange(FAR)))),
    Kind("timestamp", lambda rng: literal(f"{_day(rng.randrange(FAR))} 01:02:03.000456")),
    Kind("timestamptz", lambda rng: literal(f"{_day(rng.randrange(FAR))} 23:59:59-05:30")),
    Kind("uuid", lambda rng: literal(str(uuid.UUID(int=rng.getrandbits(128))))),
    Kind("bytea", lambda rng: literal(f"\\x{rng.randbytes(rng.randrange(9)).hex()}")),
    Kind("jsonb", _of("""'{"a": {"b": 1.50}, "c": null}'""", """'{}'""", """'{"é \\" ": [1]}'""")),
    Kind("text[]", _of("'{}'", "array['a', null, 'b\"\\']", "'{{a,b},{c,d}}'")),
    Kind("int[]", _of("'{}'", "'{1,null,-3}'", "'[2:3]={7,8}'")),
    Kind("mood", _of("'calm'", "'it''s \"fine\"'", "'é☕'", "(enum_range(null::mood))[4]")),
    Kind("inet", _of("'10.1.2.3'", "'::1/64'")),
)
NULL_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class RandomTable:
    """One table. Beside what is random it has the columns `n`, `flag`, `label` and `body`."""

    schema: str
    name: str
    key: tuple[tuple[str, KeyKind], ...]
    columns: tuple[tuple[str, Kind, bool], ...]
    """Name, kind, and whether it may be NULL."""
    identity: Identity
    partitioned: bool

    @property
    def sql(self) -> str:
        """The table, quoted."""
        return f'"{self.schema}"."{self.name}"'

    def ddl(self) -> list[str]:
        """The statements that make it."""
        lines = [f"{name} {kind.sql} not null" for name, kind in self.key]
        lines += [
            f"{name} {kind.sql}{'' if nullable else ' not null'}"
            for name, kind, nullable in self.columns
        ]
        lines.append(f"primary key ({', '.join(name for name, _ in self.key)})")
        if self.identity == "index":
            lines.insert(0, f"u bigserial constraint {self.name}_u unique")
        first = self.key[0][0]
        statement = f"create table {self.sql} ({', '.join(lines)})"
        made = [f"{statement} partition by hash ({first})" if self.partitioned else statement]
        made += [f"create table {self.partition(at)} {self._bounds(at)}" for at in self._parts()]
        made += [f"alter table {one} replica identity {self._identity}" for one in self.files()]
        return made

    def partition(self, at: int) -> str:
        """One of the partitions, quoted."""
        return f'"{self.schema}"."{self.name}_{at}"'

    def partitions(self) -> list[str]:
        """All of them, quoted."""
        return [self.partition(at) for at in self._parts()]

    def _parts(self) -> range:
        return range(PARTITIONS if self.partitioned else 0)

    def _bounds(self, at: int) -> str:
        of = f"for values with (modulus {PARTITIONS}, remainder {at})"
        return f"partition of {self.sql} {of}"

    @property
    def _identity(self) -> str:
        return f"using index {self.name}_u" if self.identity == "index" else self.identity

    def files(self) -> list[str]:
        """What holds rows, and for a partitioned table the table itself."""
        return [self.sql, *self.partitions()]

    def steps(self) -> list[Step]:
        """What a transaction may do; of the frequent ones several."""
        return [
            *(self.insert, self.insert, self.insert_many, self.update, self.update, self.update),
            *(self.update_many, self.delete, self.delete_many, self.move, self.move, self.swap),
        ]

    def fill(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """About half of the keys."""
        for _ in range(KEYS // 20):
            self.insert_many(cursor, rng)

    def insert(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """A row, or another one in place of the one that is there."""
        self._insert(cursor, rng, 1)

    def insert_many(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Several rows."""
        self._insert(cursor, rng, 12)

    def update(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Some columns of a row, mostly without its large values."""
        few = rng.sample(self.columns, rng.randint(1, min(3, len(self.columns))))
        sets = ", ".join(f"{name} = {_value(rng, kind, nullable)}" for name, kind, nullable in few)
        _run(cursor, f"update {self.sql} set {sets} where {self._is(self._any(rng))}")

    def update_many(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Whatever is in a row beside `n` stays, and a value out of line isn't sent."""
        _run(cursor, f"update {self.sql} set n = n + 1 where n % 7 = {rng.randrange(7)}")

    def delete(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """A row."""
        _run(cursor, f"delete from {self.sql} where {self._is(self._any(rng))}")

    def delete_many(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Several rows, and sometimes they come back in the same transaction."""
        _run(cursor, f"delete from {self.sql} where n % 11 = {rng.randrange(11)}")
        if rng.random() < 0.5:
            self.insert_many(cursor, rng)

    def move(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """A row gets another key, and perhaps another partition."""
        self._move(cursor, self._any(rng), self._any(rng))

    def swap(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """Two rows change places."""
        one, other = self._any(rng), self._any(rng)
        nowhere = self._key([rng.randint(FAR, 2 * FAR) for _ in self.key])
        for old, new in ((one, nowhere), (other, one), (nowhere, other)):
            self._move(cursor, old, new)

    def truncate(self, cursor: psycopg.Cursor, rng: Random) -> None:
        """All rows, and a few new ones; seldom, or there would hardly be any."""
        if rng.random() > TRUNCATE_SHARE:
            return
        _run(cursor, f"truncate {self.sql}")
        self.insert_many(cursor, rng)

    def _insert(self, cursor: psycopg.Cursor, rng: Random, rows: int) -> None:
        names = [*(name for name, _ in self.key), *(name for name, _, _ in self.columns)]
        keys = {self._any(rng) for _ in range(rows)}
        values = ", ".join(f"({', '.join([*key, *self._values(rng)])})" for key in sorted(keys))
        key_names = ", ".join(name for name, _ in self.key)
        insert = f"insert into {self.sql} ({', '.join(names)}) values {values}"
        update = f"({key_names}) do update set n = excluded.n, flag = excluded.flag"
        _run(cursor, f"{insert} on conflict {rng.choice(('do nothing', update))}")

    def _values(self, rng: Random) -> list[str]:
        return [_value(rng, kind, nullable) for _, kind, nullable in self.columns]

    def _any(self, rng: Random) -> tuple[str, ...]:
        """Some key: of several columns each has few values, so that keys meet."""
        most = KEYS if len(self.key) == 1 else max(2, round(KEYS ** (1 / len(self.key))))
        return self._key([rng.randrange(most) for _ in self.key])

    def _key(self, numbers: list[int]) -> tuple[str, ...]:
        return tuple(kind.value(at) for (_, kind), at in zip(self.key, numbers, strict=True))

    def _is(self, key: tuple[str, ...]) -> str:
        pairs = zip(self.key, key, strict=True)
        return " and ".join(f"{name} = {value}::{kind.sql}" for (name, kind), value in pairs)

    def _move(self, cursor: psycopg.Cursor, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        pairs = zip(self.key, new, strict=True)
        sets = ", ".join(f"{name} = {value}" for (name, _), value in pairs)
        _run(cursor, f"update {self.sql} set {sets} where {self._is(old)}")


def random_table(rng: Random, schema: str, name: str) -> RandomTable:
    """A table, with a key of one to three columns."""
    key = [(f"k{at}", rng.choice(KEY_KINDS)) for at in range(rng.choice((1, 1, 2, 3)))]
    others = [(f"c{at}", rng.choice(KINDS), rng.random() < 0.7) for at in range(rng.randrange(6))]
    columns = [*others, *ALWAYS]
    rng.shuffle(columns)
    partitioned = rng.random() < 0.3
    identities: tuple[Identity, ...] = ("default", "default", "full")
    if not partitioned:  # a unique index would need the columns that divide it
        identities += ("index",)
    return RandomTable(
        schema, name, tuple(key), tuple(columns), rng.choice(identities), partitioned
    )


ALWAYS = (
    ("n", Kind("int", lambda rng: str(rng.randrange(1000))), False),
    ("flag", Kind("boolean", _of("true", "false")), True),
    ("label", Kind("text", lambda rng: literal(random_text(rng))), True),
    ("body", Kind("text", _long_text), True),
)
"""Columns that every table has: conditions and expressions read them."""


def _value(rng: Random, kind: Kind, nullable: bool) -> str:  # noqa: FBT001 - one of a tuple
    return "null" if nullable and rng.random() < NULL_SHARE else kind.value(rng)


def _run(cursor: psycopg.Cursor, statement: str) -> None:
    """Bytes: a percent sign is one."""
    cursor.execute(statement.encode())
