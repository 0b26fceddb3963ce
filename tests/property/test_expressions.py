"""Random expressions over random rows mean the same here as in a real PostgreSQL.

`PROPERTY_SECONDS` sets the time budget (default 20), `PROPERTY_SEED` replays a run.
"""

# ruff: noqa: E501  the templates and values read best side by side

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import Column, ColumnType, Relation, Row
from cdc_daemon.projection.expressions import (
    CompiledExpression,
    ExpressionError,
    compile_expression,
)
from cdc_daemon.projection.expressions.types import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = float(os.environ.get("PROPERTY_SECONDS", "20"))
SEED = int(os.environ.get("PROPERTY_SEED") or random.randrange(1 << 32))
ROWS = 12
BATCH = 150
STATEMENT_SECONDS = 120
"""No statement takes so long on the slowest machine: one that hangs is named, and ends."""

COLUMNS = {
    "i2": "int2", "i4": "int4", "k4": "int4", "i8": "int8", "n": "numeric", "n2": "numeric(12,3)",
    "f4": "float4", "f8": "float8", "t": "text", "t2": "text", "v": "varchar(10)", "c": "char(5)",
    "b": "bool", "b2": "bool", "d": "date", "d2": "date", "ts": "timestamp", "tz": "timestamptz",
    "u": "uuid", "j": "jsonb", "by": "bytea", "ia": "int4[]", "ta": "text[]", "e": "mood", "iv": "interval",
}  # fmt: skip

ORACLE = """
create function try(expression text, out kind text, out results text[]) language plpgsql as $$
declare found text; each int;
begin
  begin
    execute format('select pg_typeof(%s)::text from t limit 1', expression) into kind;
  exception when others then
    if sqlstate like '42%' then kind := 'refused ' || sqlerrm; return; end if;
  end;
  begin
    execute format('select array_agg(coalesce(to_jsonb(%s)::text, ''null'') order by id) from t', expression)
      into results;
    return;
  exception when others then
    if sqlstate like '42%' then kind := 'refused ' || sqlerrm; return; end if;
  end;
  for each in select id from t order by id loop
    begin
      execute format('select coalesce(to_jsonb(%s)::text, ''null'') from t where id = $1', expression)
        into found using each;
    exception when others then found := 'error ' || sqlstate || ' ' || sqlerrm;
    end;
    results := results || found;
  end loop;
end $$
"""


@pytest.fixture
def connection(database: Any) -> Iterator[psycopg.Connection]:
    """A database whose text compares bytewise and whose case mapping is Unicode's."""
    with psycopg.connect(database.dsn, autocommit=True) as administrator:
        builtin = administrator.info.server_version >= 170_000
        locale = (
            "locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'"
            if builtin
            else "locale 'C.UTF-8'"
        )
        name = f"{administrator.info.dbname}_bytewise"
        administrator.execute(
            f"create database {name} template template0 encoding 'UTF8' {locale}".encode()
        )
        try:
            with psycopg.connect(database.dsn, dbname=name, autocommit=True) as found:
                yield _prepared(found)
        finally:
            administrator.execute(f"drop database {name} with (force)".encode())


def _prepared(connection: psycopg.Connection) -> psycopg.Connection:
    for setting in ("timezone = 'UTC'", "datestyle = 'ISO'", "intervalstyle = 'iso_8601'",
                    "extra_float_digits = 3", "bytea_output = 'hex'"):  # fmt: skip
        connection.execute(f"set {setting}".encode())
    connection.execute(f"set statement_timeout = '{STATEMENT_SECONDS}s'".encode())
    connection.execute("create type mood as enum ('sad', 'ok', 'happy')")
    make_table(connection)
    connection.execute(ORACLE)
    return connection


def make_table(connection: psycopg.Connection) -> None:
    """Anew: a table has room for 1600 columns, those that were dropped included."""
    connection.execute("drop table if exists t")
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    connection.execute(f"create table t (id int primary key, {columns})".encode())


def _relation(connection: psycopg.Connection) -> Relation:
    def resolve(oid: int, modifier: int) -> ColumnType:
        question = "select typname, typelem, typcategory from pg_type where oid = %s"
        [(name, element, category)] = connection.execute(question, [oid]).fetchall()
        if category == "A":
            return ColumnType(name, "array", element=resolve(element, modifier))
        question = "select enumlabel from pg_enum where enumtypid = %s order by enumsortorder"
        labels = tuple(label for (label,) in connection.execute(question, [oid]).fetchall())
        return ColumnType(name, "enum" if labels else "base", modifier, labels=labels)

    found = connection.execute(
        "select attname, atttypid, atttypmod from pg_attribute where attrelid = 't'::regclass and attnum > 0"
        " order by attnum"
    ).fetchall()
    return Relation(
        "public", "t", tuple(Column(name, resolve(oid, mod)) for name, oid, mod in found)
    )


class Values:
    """Random values of each type, the awkward ones more often than chance would."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def integer(self, bits: int) -> str:
        """From zero to the ends of the range."""
        top = (1 << (bits - 1)) - 1
        return str(
            self.rng.choice(
                [
                    0,
                    1,
                    -1,
                    2,
                    -7,
                    10,
                    top,
                    -top - 1,
                    self.rng.randint(-100, 100),
                    self.rng.randint(-top, top),
                ]
            )
        )

    def numeric(self) -> str:
        """Of very different sizes and scales."""
        whole = self.rng.randrange(10 ** self.rng.choice([1, 2, 5, 9, 17, 40]))
        scale = self.rng.choice([0, 0, 1, 2, 4, 9, 20])
        fraction = "." + "".join(self.rng.choices("0123456789", k=scale)) if scale else ""
        return (
            self.rng.choice(["", "", "-"])
            + self.rng.choice([str(whole), str(whole), "0"])
            + fraction
        )

    def real(self) -> str:
        """Halves, tiny and huge values, and any float."""
        simple = [
            "0",
            "-0",
            "0.5",
            "-1.5",
            "2.5",
            "1e-5",
            "1e15",
            "123456789012345678",
            "1e300",
            "1e-300",
            "0.1",
        ]
        return self.rng.choice(
            [
                *simple,
                repr(self.rng.uniform(-1000, 1000)),
                repr(self.rng.random() * 10 ** self.rng.randint(-30, 30)),
            ]
        )

    def text(self) -> str:
        """Empty, padded, numbers in text, escapes, other scripts."""
        some = ["", " ", "a", "A", "ab", "abc", " pad ", "12", "-3.50", "true", "2020-02-30", "2024-02-29", 'q"uote\\', "line\nbreak\ttab",
                "Zürich ÀÉ", "日本語", "😀x", "ßİ", "%_\\", "a,b,,c", "\x01", "Straße", "x" * 30, "'", "a/b"]  # fmt: skip
        return self.rng.choice(
            [*some, "".join(self.rng.choices("ab,% _é😀", k=self.rng.randint(0, 8)))]
        )

    def date(self) -> str:
        """Leap days, month ends, far past and future."""
        some = ["2020-02-29", "2000-01-01", "1999-12-31", "0001-01-01", "0044-03-15 BC", "9999-12-31", "12000-06-30", "2024-12-30", "1900-03-01", "2021-01-03"]  # fmt: skip
        year, month, day = (
            self.rng.randint(1950, 2050),
            self.rng.randint(1, 12),
            self.rng.randint(1, 28),
        )
        return self.rng.choice([*some, f"{year}-{month:02d}-{day:02d}"])

    def timestamp(self) -> str:
        """A date with a time of day."""
        clock = self.rng.choice(["00:00:00", "23:59:59.999999", "12:34:56.5", "01:02:03.000001"])
        day, _, era = self.date().partition(" ")
        return f"{day} {clock} {era}".strip()

    def interval(self) -> str:
        """Months, days, times, mixed signs."""
        return self.rng.choice(
            ["P1D", "PT0S", "P1Y2M3DT4H5M6.7S", "P-1M", "PT-0.5S", "P1M-1D", "P30D", "PT36H"]
        )

    def jsonb(self) -> str:
        """Objects, arrays, scalars, with numbers of many digits."""

        def value(depth: int) -> Any:
            kinds = [1, 1.5, -0.25, 10**25, "x", "12", 'é"', True, False, None, []]
            if depth and self.rng.random() < 0.6:
                if self.rng.random() < 0.5:
                    return {
                        self.rng.choice(["a", "b", "c d", "é"]): value(depth - 1)
                        for _ in range(self.rng.randint(0, 3))
                    }
                return [value(depth - 1) for _ in range(self.rng.randint(0, 3))]
            return self.rng.choice(kinds)

        top = value(3)
        return json.dumps(top if top is not None else {})  # a JSON null in a column counts as NULL

    def array(self, item: Callable[[], str]) -> list[str | None]:
        """Empty, with NULLs, short."""
        return [None if self.rng.random() < 0.2 else item() for _ in range(self.rng.randint(0, 4))]

    def of(self, kind: str) -> Any:
        """A value of a column of that type, as a parameter; NULL one time in six."""
        if self.rng.random() < 1 / 6:
            return None
        makers: dict[str, Callable[[], Any]] = {
            "int2": lambda: self.integer(16), "int4": lambda: self.integer(32), "int8": lambda: self.integer(64),
            "numeric": self.numeric, "numeric(12,3)": lambda: str(Decimal(self.rng.randint(-(10**9), 10**9)).scaleb(-3)),
            "float4": lambda: self.rng.choice(["0", "1.5", "0.1", "-2.5", "1e10", "3.4e38", "1e-40", str(self.rng.uniform(-9, 9))]),
            "float8": self.real, "text": self.text, "varchar(10)": lambda: self.text()[:10], "char(5)": lambda: self.text()[:5],
            "bool": lambda: self.rng.choice(["true", "false"]), "date": self.date, "timestamp": self.timestamp,
            "timestamptz": self.timestamp, "uuid": lambda: f"{self.rng.getrandbits(128):032x}",
            "jsonb": self.jsonb, "bytea": lambda: "\\x" + self.rng.randbytes(self.rng.randint(0, 80)).hex(),
            "int4[]": lambda: self.array(lambda: self.integer(32)), "text[]": lambda: self.array(self.text),
            "mood": lambda: self.rng.choice(["sad", "ok", "happy"]), "interval": self.interval,
        }  # fmt: skip
        return makers[kind]()


def quoted(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("'", "''") + "'"


class Expressions:
    """Random expressions of a wanted type; now and then of another one, which must then be refused alike."""

    NUMBERS = ("int2", "int4", "int8", "numeric", "float4", "float8")
    TYPES = (*NUMBERS, "text", "text", "bool", "bool", "date", "timestamp", "timestamptz", "interval", "uuid", "jsonb", "varchar", "bpchar")  # fmt: skip

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.values = Values(rng)

    def any(self, depth: int = 3) -> str:
        """Of any type."""
        return self.of(self.rng.choice(self.TYPES), depth)

    def whole(self) -> str:
        """Of any type, but no bare literal: such has no type of its own."""
        while (found := self.any(self.rng.randint(1, 4))).startswith("'"):
            pass
        return found

    def of(self, kind: str, depth: int) -> str:
        """Of the wanted type, mostly."""
        if self.rng.random() < 0.02:
            kind = self.rng.choice(self.TYPES)
        if depth <= 0 or self.rng.random() < 0.1:
            return self._leaf(kind)
        name = "number" if kind in self.NUMBERS else kind
        template = self.rng.choice([*TEMPLATES.get(name, ()), *ANY])
        return self._fill(template, kind, depth)

    def _fill(self, template: str, kind: str, depth: int) -> str:
        """Replace `{self}` and `{type}` by expressions, `{'text'}` by a literal of that kind."""
        out, rest = "", template
        while "{" in rest:
            before, _, rest = rest.partition("{")
            slot, _, rest = rest.partition("}")
            out += before + self._slot(slot, kind, depth)
        return f"({out}{rest})"

    def _slot(self, slot: str, kind: str, depth: int) -> str:
        if slot == "self":
            return self.of(kind, depth - 1)
        if slot == "number":
            return self.of(self.rng.choice(self.NUMBERS), depth - 1)
        if slot == "any":
            return self.any(depth - 1)
        if slot in LITERALS:
            return self.rng.choice(LITERALS[slot])
        return self.of(slot, depth - 1)

    def _leaf(self, kind: str) -> str:
        columns = {"int2": "i2", "int4": "i4 k4 id", "int8": "i8", "numeric": "n n2", "float4": "f4", "float8": "f8",
                   "text": "t t2", "varchar": "v", "bpchar": "c", "bool": "b b2", "date": "d d2", "timestamp": "ts",
                   "timestamptz": "tz", "interval": "iv", "uuid": "u", "jsonb": "j", "bytea": "by"}  # fmt: skip
        names = columns[kind].split()
        if self.rng.random() < 0.7 or kind in {"bytea", "jsonb"}:
            return self.rng.choice(names)
        return self._literal(kind)

    def _literal(self, kind: str) -> str:
        if self.rng.random() < 0.1:
            return f"null::{kind}"
        v = self.values
        if kind in {"int2", "int8", "float4", "float8"}:
            return f"{v.rng.randint(-9, 99)}::{kind}"
        makers: dict[str, Callable[[], str]] = {
            "int4": lambda: str(v.rng.choice([0, 1, 2, 3, 10, 2147483647])), "numeric": lambda: v.numeric().lstrip("-"),
            "text": lambda: quoted(v.text()), "varchar": lambda: f"{quoted(v.text())}::varchar", "bpchar": lambda: f"{quoted(v.text())}::char(4)",
            "bool": lambda: v.rng.choice(["true", "false"]), "date": lambda: f"date '{v.date()}'",
            "timestamp": lambda: f"timestamp '{v.timestamp()}'", "timestamptz": lambda: f"timestamptz '{v.timestamp()}'",
            "interval": lambda: v.rng.choice(["interval '1 day'", "interval '-2 mons 3 days'", "interval '1 year 04:05:06.5'", "interval 'P1M'"]),
            "uuid": lambda: f"'{v.rng.getrandbits(128):032x}'::uuid",
        }  # fmt: skip
        return makers[kind]()


LITERALS = {
    "pattern": ["'a%'", "'%b'", "'%é%'", "'a_c'", "'%'", "''", "'_%'", "'A%'", "'%a%b%'", "'ab'", "'a\\%'", "'%\\\\%'", "'x!%' escape '!'", "'%a%' escape ''"],
    "field": ["'year'", "'month'", "'day'", "'quarter'", "'decade'", "'century'", "'millennium'", "'week'", "'isoyear'", "'dow'", "'isodow'", "'doy'", "'epoch'"],
    "clock": ["'hour'", "'minute'", "'second'", "'milliseconds'", "'microseconds'", "'epoch'", "'day'"],
    "unit": ["'microseconds'", "'milliseconds'", "'second'", "'minute'", "'hour'", "'day'", "'week'", "'month'", "'quarter'", "'year'", "'decade'", "'century'", "'millennium'"],
    "compare": ["=", "<>", "<", "<=", ">", ">="],
    "arith": ["+", "-", "*", "/", "%"],
    "small": ["0", "1", "2", "3", "5", "-1", "-2", "12"],
    "key": ["'a'", "'b'", "'c d'", "'é'", "0", "1", "-1"],
    "path": ["'{a}'", "'{a,b}'", "'{0}'", "'{a,0,b}'", "'{}'"],
    "precision": ["numeric(10,2)", "numeric(5)", "numeric(20,10)", "numeric", "numeric(3,5)", "numeric(4,-2)"],
    "intkind": ["int2", "int4", "int8", "int", "smallint"],
    "numkind": ["int2", "int4", "int8", "numeric", "float4", "float8", "numeric(8,2)"],
    "charkind": ["varchar(3)", "char(3)", "varchar", "char", "text", "bpchar"],
    "castkind": ["int4", "int8", "numeric", "float8", "float4", "bool", "date", "timestamp", "uuid", "text", "varchar(2)", "jsonb"],
    "what": ["null", "true", "false", "unknown", "not null", "not true", "not false", "not unknown"],
    "chars": ["' '", "'a'", "'ab '", "''", "'é😀'", "','"],
    "mood": ["e", "'ok'", "'sad'", "e"],
}  # fmt: skip

ANY = ["case when {bool} then {self} else {self} end", "case when {bool} then {self} end", "coalesce({self}, {self})",
       "nullif({self}, {self})", "greatest({self}, {self})", "least({self}, {self}, {self})",
       "case {int4} when {small} then {self} when {int4} then {self} else {self} end"]  # fmt: skip

TEMPLATES = {
    "number": ["{self} {arith} {self}", "{self} {arith} {number}", "{number} {arith} {number}", "- {self}", "abs({self})",
               "{number}::{numkind}", "round({number})", "round({numeric}, {small})", "trunc({numeric}, {small})", "trunc({number})",
               "ceil({number})", "floor({number})", "sign({number})", "mod({int4}, {int8})", "mod({numeric}, {numeric})",
               "div({numeric}, {numeric})", "length({text})", "length({bpchar})", "char_length({varchar})", "octet_length({text})", "octet_length({bpchar})",
               "octet_length(by)", "position({text} in {text})", "strpos({text}, {chars})", "extract({field} from {date})",
               "extract({clock} from {timestamp})", "extract({field} from {timestamptz})", "date_part({clock}, {timestamp})",
               "date_part({field}, {date})", "{date} - {date}", "{bool}::int", "{text}::{numkind}", "jsonb_array_length({jsonb})", "ia[{small}]",
               "cardinality(ia)", "array_length(ta, 1)", "sqrt(abs({float8}))", "{int4} ^ {small}", "power({float8}, {small})", "{number} + 1", "{number} * 1.10",
               "{numeric} / {numeric}", "{int4} / {int4}", "{int4} % {int4}", "{self} - '1'"],
    "text": ["{text} || {text}", "{text} || {any}", "{any} || {text}", "{text} || ', ' || {varchar}", "lower({text})", "upper({text})", "substring({text} from {small} for {small})",
             "substr({text}, {small})", "substr({text}, {small}, {small})", "left({text}, {small})", "right({text}, {small})", "trim({text})",
             "btrim({text}, {chars})", "ltrim({text}, {chars})", "trim(trailing {chars} from {text})", "replace({text}, {chars}, {text})",
             "split_part({text}, {chars}, {small})", "concat({any}, {any}, {bpchar})", "concat_ws({chars}, {text}, {any}, {bpchar})", "lpad({text}, {small}, {chars})",
             "rpad({text}, {small})", "repeat({text}, {small})", "reverse({text})", "md5({text})", "encode(by, 'hex')", "encode(by, 'base64')",
             "{any}::text", "{any}::{charkind}", "{jsonb} ->> {key}", "{jsonb} #>> {path}", "ta[{small}]", "jsonb_typeof({jsonb})", "e::text", "by::text", "{bpchar} || {bpchar}",
             "initcap({text})", "cast({number} as text)", "{bpchar} || {int4}", "e || {text}"],
    "bool": ["{self} and {self}", "{self} or {self}", "not {self}", "{self} is {what}", "{any} is null", "{any} is not null", "{number} {compare} {number}",
             "{text} {compare} {text}", "{text} {compare} {bpchar}", "{bpchar} {compare} {bpchar}", "{varchar} {compare} {text}", "{bpchar} {compare} 'ab'", "{date} {compare} {date}",
             "{date} {compare} {timestamp}", "{timestamp} {compare} {timestamptz}", "{interval} {compare} {interval}", "{uuid} {compare} {uuid}", "{bool} {compare} {bool}",
             "{text} like {pattern}", "{text} ilike {pattern}", "{text} not like {pattern}", "{bpchar} like {pattern}", "{text} like {text} || '%' escape ''", "{text} ~~ '_%b%'", "{text} !~~ 'a_%'", "{bpchar} ~~* 'A%'", "{text} !~~* 'a%'", "v = any((array['a'::varchar, {varchar}])::text[])", "{number} between {number} and {number}",
             "{text} not between {text} and {text}", "{int4} in ({small}, {small}, {int4})", "{text} in ('a', 'ab', '', {text})", "i4 in (1, -1, 0, 10)", "t in ('a', 'b', '')", "t not in ('a', null)", "i4 not in (0, 1)",
             "{number} is distinct from {number}", "{text} is not distinct from {text}", "{text}::bool", "{int4}::bool", "{jsonb} ? {text}", "{int4} = any(ia)", "{text} = any(ta)",
             "{int4} > all(ia)", "{text} <> all(ta)", "{int4} = any(array[1, {int4}, 3])", "starts_with({text}, {chars})", "{mood} {compare} e", "e in ('sad', 'ok')", "t = 'a'", "t <> 'a'", "not (t = 'ab')", "i4 = 1", "v = 'a'", "u = u",
             "{number} between symmetric {number} and {number}", "{int8} in (1, 2.0, 10)", "c in ('a', 'ab ')", "n in (0, 1.0, null)", "n = 0", "f8 < 1", "c <> 'a'"],
    "date": ["{date} + {small}", "{date} - {int4}", "{timestamp}::date", "{timestamptz}::date", "{text}::date", "make_date({int4}, {small}, {small})"],
    "timestamp": ["{date} + {interval}", "{timestamp} + {interval}", "{timestamp} - {interval}", "{date}::timestamp", "date_trunc({unit}, {timestamp})", "{timestamptz}::timestamp", "{timestamptz} at time zone 'UTC'"],
    "timestamptz": ["{timestamptz} + {interval}", "date_trunc({unit}, {timestamptz})", "date_trunc({unit}, {date})", "{timestamp}::timestamptz", "{timestamp} at time zone 'UTC'"],
    "interval": ["{timestamp} - {timestamp}", "{timestamptz} - {timestamp}", "{interval} + {interval}", "- {interval}", "{interval} - {interval}"],
    "jsonb": ["{jsonb} -> {key}", "{jsonb} #> {path}", "j -> {key} -> {key}", "j[{key}]"],
    "varchar": ["{text}::varchar", "{any}::varchar(3)"],
    "bpchar": ["{text}::char(3)", "{any}::bpchar(6)"],
    "uuid": ["{text}::uuid", "{uuid}::text::uuid"],
}  # fmt: skip


def test_random_expressions_mean_the_same_as_in_postgresql(
    connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """What compiles gives PostgreSQL's value and type for every row, and fails where it fails."""
    rng = random.Random(SEED)
    deadline = time.monotonic() + SECONDS
    counts: Counter[str] = Counter()
    relation, expressions = _relation(connection), Expressions(rng)
    while time.monotonic() < deadline:
        rows = _new_rows(connection, rng)
        for _ in range(4):
            batch = [expressions.whole() for _ in range(BATCH)]
            _compare(connection, relation, rows, batch, counts)
    with capsys.disabled():
        print(f"\nexpressions: {dict(counts)}; PROPERTY_SEED={SEED}", file=sys.stderr)  # noqa: T201  how much, and how to replay it
    assert counts["compared"] > counts["refused here"] * 4, "too much is refused to mean anything"


def _new_rows(connection: psycopg.Connection, rng: random.Random) -> list[Row]:
    values = Values(rng)
    connection.execute("truncate t")
    insert = sql.SQL("insert into t values ({})").format(
        sql.SQL(", ").join(
            [
                sql.Placeholder(),
                *(
                    sql.SQL("%s::" + ("text[]::" if kind.endswith("[]") else "") + kind)
                    for kind in COLUMNS.values()
                ),
            ]
        )
    )
    for number in range(ROWS):
        connection.execute(insert, [number, *(values.of(kind) for kind in COLUMNS.values())])
    names = ["id", *COLUMNS]
    shown_as = {
        "f4": "f4",
        "f8": "f8",
    }  # as text: jsonb would lose the sign of zero, the stream keeps it
    selected = ", ".join(
        f"coalesce({shown_as.get(name, f'to_jsonb({name})')}::text, 'null')" for name in names
    )
    found = connection.execute(f"select {selected} from t order by id".encode()).fetchall()
    return [[text.encode() for text in row] for row in found]


def _compare(
    connection: psycopg.Connection,
    relation: Relation,
    rows: list[Row],
    expressions: list[str],
    counts: Counter[str],
) -> None:
    answers = connection.execute(
        "select (try(x)).* from unnest(%s::text[]) with ordinality as u(x, at) order by at",
        [expressions],
    ).fetchall()
    for expression, (kind, results) in zip(expressions, answers, strict=True):
        counts["expressions"] += 1
        try:
            compiled = compile_expression(expression, relation)
        except ExpressionError as error:
            _check_refusal(expression, error, results, counts)
            continue
        assert results is not None, (
            f"compiles, but PostgreSQL says {kind}: {expression} (seed {SEED})"
        )
        assert kind in {None, shown(compiled.type)}, (
            f"type {shown(compiled.type)}, not {kind}: {expression} (seed {SEED})"
        )
        for row, expected in zip(rows, results, strict=True):
            counts["compared"] += 1
            _check_value(expression, compiled, row, expected, counts)


def _check_refusal(
    expression: str,
    error: ExpressionError,
    results: list[str] | None,
    counts: Counter[str],
) -> None:
    always = results is not None and all(text.startswith("error") for text in results)
    counts["refused by both" if results is None or always else "refused here"] += 1
    if os.environ.get("PROPERTY_SHOW") and results is not None and not always:
        print(f"refused here: {error} | {expression}")  # noqa: T201  only when asked


def _check_value(
    expression: str,
    compiled: CompiledExpression,
    row: Row,
    expected: str,
    counts: Counter[str],
) -> None:
    where = f"\n{expression}\nwith {dict(zip(['id', *COLUMNS], row, strict=True))}\n(seed {SEED})"
    got = _evaluated(compiled, row)
    if isinstance(got, RejectedError):
        if got.reason == "invalid_datetime_format":  # documented: text is a date in ISO 8601 only
            counts["dates refused"] += 1
            return
        counts["failed by both"] += 1
        assert expected.startswith("error"), f"{got.reason} {got}, not {expected}: {where}"
        assert got.reason != "expression_failed", f"unforeseen {got}: {where}"
        return
    assert not expected.startswith("error"), f"{got}, not {expected}: {where}"
    same = _meaning(got, shown(compiled.type)) == _meaning(expected, shown(compiled.type))
    assert same, f"{got}, not {expected}: {where}"
    if shown(compiled.type) == "boolean":
        assert bool(compiled.test(row)) == (expected == "true"), f"test() is wrong: {where}"


def _evaluated(compiled: CompiledExpression, row: Row) -> str | RejectedError:
    try:
        return compiled.evaluate(row).decode()
    except RejectedError as error:
        return error


def _meaning(text: str, kind: str) -> Any:
    """What must be equal: the digits of numeric, the value of floats, the text of jsonb."""
    if kind in {"real", "double precision"} and text != "null":
        return Decimal(text)
    if kind in {"numeric", "integer", "bigint", "smallint", "jsonb"}:
        return text
    return json.loads(text)
