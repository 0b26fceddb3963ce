"""Random worlds: a schema of 2 to 8 tables that refer to each other, and rows for it.

`random_mapping` of `mappings.py` makes projections over a world. Rows are made by `random_row`, so
that histories can go on making them; references are mostly to rows that exist, sometimes to none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from tests.generators.pg_values import literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from random import Random

Row: TypeAlias = "dict[str, str | None]"
"""Column to the text that the input function of its type takes; None is NULL."""

MOOD = ("sad", "so-so", "happy", "Zen")
COLUMN_NAMES = ("name", "Größe", "select", "two words", "rank", "state", "amount", "note", "at")
TABLE_NAMES = ("hotel", "Room", "order", "user account", "tag", "city", "straße", "item")

VALUES: dict[str, tuple[str, ...]] = {
    "int4": ("0", "1", "2", "3", "-7", "2147483647"),
    "int8": ("0", "1", "2", "-9", "9007199254740993"),
    "numeric": ("0", "1", "1.0", "1.50", "-2.25", "123456789012345678901234567890.125"),
    "numeric(10,2)": ("0.00", "1.00", "9.99", "-3.10"),
    "float8": ("0", "0.1", "0.2", "-1.5", "1e+20", "3"),
    "text": ("", "a", "B", "b", "ä", 'say "x"', "back\\slash", "line\nend", "z 😀"),
    "varchar(12)": ("", "a", "b", "Zz", "ß"),
    "char(4)": ("a", "b", "ab", ""),
    "bool": ("t", "f"),
    "date": ("2020-01-31", "1999-12-31", "2024-02-29"),
    "timestamptz": ("2020-01-31 10:00:00+00", "2020-01-31 10:00:00.5+00", "1970-01-01 00:00+00"),
    "interval": ("P1D", "PT24H", "P1M", "PT0.5S", "P-3D"),
    "uuid": ("00000000-0000-0000-0000-00000000000a", "ffffffff-0000-0000-0000-000000000001"),
    "bytea": ("\\x", "\\x00ff", "\\x01"),
    "mood": MOOD,
    "jsonb": ('{"a": 1.50}', "[1, null]", '"text"', '{"a": null, "b": [null, {"c": null}]}'),
    "int4[]": ("{}", "{1,2}", "{2,NULL}", "{{1},{NULL}}"),
    "grade": ("0", "1", "3", "-7"),
}
INFINITE = ("infinity", "-infinity")
SPECIAL: dict[str, tuple[str, ...]] = {
    "numeric": ("NaN", *INFINITE),
    "numeric(10,2)": ("NaN",),
    "float8": ("NaN", "-0", *INFINITE),
    "date": INFINITE,
    "timestamptz": INFINITE,
}
"""Which no JSON has; what the naive evaluation makes of them isn't known."""
WITH_SPECIAL = {type_: (*values, *SPECIAL.get(type_, ())) for type_, values in VALUES.items()}
OWN = {
    "mood": "create type {home}.mood as enum ({labels})",
    "grade": "create domain {home}.grade as int4",
}
"""Types that a world makes for itself."""
UNFOUND = frozenset({"jsonb", "int4[]"})
"""No rows are found by such columns."""
KEY_TYPES = ("int4", "int8", "text", "varchar(12)", "uuid", "numeric", "date", "bytea", "mood")
COMPARABLE = {
    "int4": ("int4", "int8", "numeric", "grade"),
    "int8": ("int8", "int4"),
    "numeric": ("numeric",),
    "text": ("text", "varchar(12)"),
    "varchar(12)": ("varchar(12)", "text"),
}
"""Other types that a reference to a key of that type may have."""
ORDERED = frozenset(VALUES) - {"jsonb", "int4[]"}
MOST_ROWS = 9
NOT_NULL = 0.25
"""So many of the columns that are in no key."""


@dataclass(frozen=True)
class Column:
    """A column with its type, as SQL writes it."""

    name: str
    type: str
    nullable: bool = True


@dataclass(frozen=True)
class Reference:
    """Columns of a table that hold the key of another one, or of its own."""

    columns: tuple[str, ...]
    target: str
    """The table, `schema.name`."""
    target_columns: tuple[str, ...]
    unique: bool = False
    """No two rows refer to the same one."""
    constraint: str | None = None
    """What a real foreign key does on delete; None where the relation is only declared."""


@dataclass(frozen=True)
class Table:
    """One table."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    references: tuple[Reference, ...] = ()
    partitioned: bool = False

    @property
    def qualified(self) -> str:
        """As a configuration names it."""
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """As SQL names it."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)


@dataclass
class World:
    """Tables, and the rows that are in them."""

    tables: list[Table]
    rows: dict[str, list[Row]] = field(default_factory=dict)
    values: Mapping[str, tuple[str, ...]] = field(default_factory=VALUES.copy)
    """What columns hold, by their types."""

    def has_special(self, type_: str) -> bool:
        """Whether such a column, unless it is a key, may hold what no JSON has."""
        return not {*SPECIAL.get(type_, ())}.isdisjoint(self.values[type_])

    def table(self, qualified: str) -> Table:
        """The table of that name."""
        return next(table for table in self.tables if table.qualified == qualified)

    @property
    def ddl(self) -> list[str]:
        """What makes the tables."""
        schemas = sorted({table.schema for table in self.tables})
        made = [f"create schema {quoted(schema)}" for schema in schemas]
        labels, home = ", ".join(map(literal, MOOD)), quoted(schemas[0])
        made += [one.format(home=home, labels=labels) for one in OWN.values()]
        for table in self.tables:
            made += _create(table, schemas[0])
        for table in self.tables:
            made += [_constraint(table, each, self) for each in table.references if each.constraint]
        return made

    @property
    def drop(self) -> list[str]:
        """What takes all away."""
        schemas = sorted({table.schema for table in self.tables})
        return [f"drop schema {', '.join(map(quoted, schemas))} cascade"]

    @property
    def inserts(self) -> list[str]:
        """What makes the rows."""
        return [insert(self.table(name), row) for name, rows in self.rows.items() for row in rows]


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def insert(table: Table, row: Row) -> str:
    """The statement that inserts `row`."""
    names = ", ".join(map(quoted, row))
    values = ", ".join("null" if value is None else literal(value) for value in row.values())
    return f"insert into {table.sql} ({names}) values ({values})"


def _create(table: Table, home: str) -> list[str]:
    columns = [
        f"{quoted(one.name)} {_type_sql(one.type, home)}{'' if one.nullable else ' not null'}"
        for one in table.columns
    ]
    columns.append(f"primary key ({_names(table.key)})")
    columns += [f"unique ({_names(one.columns)})" for one in table.references if one.unique]
    body = f"create table {table.sql} ({', '.join(columns)})"
    if not table.partitioned:
        return [body]
    parts = [
        f"create table {quoted(table.schema)}.{quoted(f'{table.name} {at}')} partition of"
        f" {table.sql} for values with (modulus 2, remainder {at})"
        for at in range(2)
    ]
    return [f"{body} partition by hash ({quoted(table.key[0])})", *parts]


def _constraint(table: Table, reference: Reference, world: World) -> str:
    target = world.table(reference.target)
    return (
        f"alter table {table.sql} add foreign key ({_names(reference.columns)}) references"
        f" {target.sql} ({_names(reference.target_columns)}) on delete {reference.constraint}"
        " deferrable initially deferred"
    )


def _type_sql(type_: str, home: str) -> str:
    return f"{quoted(home)}.{type_}" if type_ in OWN else type_


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(map(quoted, columns))


def random_world(
    rng: Random, prefix: str, values: Mapping[str, tuple[str, ...]] = MappingProxyType(VALUES)
) -> World:
    """A schema without rows; its schemas begin with `prefix`, its columns hold these `values`."""
    names = rng.sample(TABLE_NAMES, rng.randint(2, 8))
    schemas = [f"{prefix}a", f"{prefix}b"]
    tables = [_random_table(rng, rng.choice(schemas), name, values) for name in names]
    for at, table in enumerate(tables):
        wanted = 2 if rng.random() < 0.5 else rng.randint(0, 2)  # two make a junction
        for _ in range(wanted):
            target = rng.choice(tables) if rng.random() < 0.85 else table
            table = _with_reference(rng, table, target)  # noqa: PLW2901 - it grows
        tables[at] = table
    return World(tables, values=values)


def _random_table(rng: Random, schema: str, name: str, types: Collection[str]) -> Table:
    key = [
        Column(f"id{at}", rng.choice(KEY_TYPES), nullable=False)
        for at in range(rng.choice((1, 1, 1, 2)))
    ]
    others = [
        Column(column, rng.choice(sorted(types)), nullable=rng.random() >= NOT_NULL)
        for column in rng.sample(COLUMN_NAMES, rng.randint(1, 5))
    ]
    columns = [*key, *others]
    rng.shuffle(columns)
    names = tuple(column.name for column in key)
    hashable = key[0].type != "mood"
    return Table(schema, name, tuple(columns), names, partitioned=hashable and rng.random() < 0.15)


def _with_reference(rng: Random, table: Table, target: Table) -> Table:
    number = len(table.references)
    same = rng.random() < 0.7
    columns = tuple(
        Column(f"ref{number}_{at}", _referring(rng, target.column(name).type, same=same))
        for at, name in enumerate(target.key)
    )
    alike = all(
        one.type == target.column(name).type for one, name in zip(columns, target.key, strict=True)
    )
    names = tuple(column.name for column in columns)
    unique = rng.random() < 0.2 and not table.partitioned
    rule = rng.choice(("cascade", "set null")) if alike and rng.random() < 0.4 else None
    reference = Reference(names, target.qualified, target.key, unique=unique, constraint=rule)
    return replace(
        table, columns=(*table.columns, *columns), references=(*table.references, reference)
    )


def _referring(rng: Random, type_: str, *, same: bool) -> str:
    return type_ if same else rng.choice(COMPARABLE.get(type_, (type_,)))


def fill(rng: Random, world: World) -> None:
    """New rows for all tables; keys before what refers to them, a table's own keys included."""
    world.rows = {table.qualified: [] for table in world.tables}
    for table in world.tables:
        keys = dict.fromkeys(random_key(rng, table) for _ in range(rng.randint(0, MOST_ROWS)))
        world.rows[table.qualified] = [dict(zip(table.key, key, strict=True)) for key in keys]
    for table in world.tables:
        rows = world.rows[table.qualified]
        for row in rows:
            row.update(random_row(rng, world, table, rows))


def random_key(rng: Random, table: Table) -> tuple[str, ...]:
    """The values of a key; there may be a row with it."""
    return tuple(_key_value(rng, table.column(name).type) for name in table.key)


def _key_value(rng: Random, type_: str) -> str:
    if type_ == "numeric":
        return str(rng.randint(0, 20))  # 1 and 1.0 would be one key
    if type_ in {"int4", "int8", "text", "varchar(12)"}:
        return rng.choice((str(rng.randint(0, 30)), *VALUES[type_]))
    if type_ == "uuid":
        return f"00000000-0000-0000-0000-{rng.randint(0, 30):012x}"
    if type_ == "date":
        return f"2020-01-{rng.randint(1, 31):02}"
    if type_ == "bytea":
        return f"\\x{rng.randint(0, 255):02x}"
    return rng.choice(VALUES[type_])


def random_row(rng: Random, world: World, table: Table, others: list[Row]) -> Row:
    """All columns but the key, for a row that is to be among `others`."""
    referring = {name for one in table.references for name in one.columns}
    row: Row = {
        column.name: None
        if column.nullable and rng.random() < 0.15
        else rng.choice(world.values[column.type])
        for column in table.columns
        if column.name not in referring and column.name not in table.key
    }
    for reference in table.references:
        row.update(_reference_values(rng, world, table, reference, others))
    return row


def _reference_values(
    rng: Random, world: World, table: Table, reference: Reference, others: list[Row]
) -> Row:
    targets = world.rows[reference.target]
    values: list[str | None] = [None] * len(reference.columns)
    if targets and rng.random() < 0.85:
        found = rng.choice(targets)
        values = [found[name] for name in reference.target_columns]
    elif reference.constraint is None and rng.random() < 0.5:
        values = [_key_value(rng, table.column(name).type) for name in reference.columns]
    values = [
        None if value is None or not _fits(value, table.column(name).type) else value
        for name, value in zip(reference.columns, values, strict=True)
    ]
    made = dict(zip(reference.columns, values, strict=True))
    taken = any(all(other.get(name) == value for name, value in made.items()) for other in others)
    if reference.unique and taken:
        return dict.fromkeys(reference.columns)
    return made


def _fits(value: str, type_: str) -> bool:
    """A wider key may not fit into what refers to it."""
    return type_ != "int4" or abs(int(value)) < 2**31


def describe(world: World) -> str:
    """What a person needs to see the same."""
    return ";\n".join([*world.ddl, *world.inserts]) + ";"


def shown(mapping: object) -> str:
    """A mapping, for people."""
    return json.dumps(mapping, indent=1, ensure_ascii=False)
