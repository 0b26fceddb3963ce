"""Encoders, ids and canonical keys, with a real server as the oracle.

PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import psycopg
import pytest
from psycopg.pq import ExecStatus

from cdc_daemon.errors import ConfigurationError, RejectedError
from cdc_daemon.events import Special
from cdc_daemon.values import (
    SESSION_SETTINGS,
    SpecialValueError,
    canonical_key,
    id_encoder,
    json_encoder,
    read_json,
    source_text,
    watched_encoder,
)
from cdc_daemon.values.special import has_special
from connectors.postgres.catalog_types import load_types
from tests.generators.budget import repeatable, rounds, seeded
from tests.generators.json_meaning import as_documented, parse
from tests.generators.pg_scalars import EXTENSIONS, SCALARS
from tests.generators.pg_values import (
    RANGES,
    PgType,
    array_of,
    literal,
    multirange_of,
    random_type,
    random_value_sql,
    range_of,
    scalar,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from cdc_daemon.events import ColumnType

Connection = psycopg.Connection[tuple[Any, ...]]

WITHOUT_INPUT = {"aclitem", "gtsvector", "xml"}
"""Types whose input function takes nothing useful, or that a server may be built without."""


NOT_GIVEN = {"int2vector", "oidvector"}
"""Types of the catalog, which no table of a user has."""
SPECIAL = re.compile(rb'infinity"|"\d{5,}-| BC"|NaN')
"""In the JSON of a type that may be special: it must have been noticed."""


class Database(Protocol):
    """What the fixture `database` gives."""

    @property
    def dsn(self) -> str:
        """How to connect."""


class Shown(NamedTuple):
    """One value as the server shows it."""

    output: bytes
    """By the type's output function, as in pgoutput and COPY."""
    jsonb: bytes
    text: bytes


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """A connection under the session settings that the encoders expect."""
    options = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
    with psycopg.connect(database.dsn, autocommit=True, options=options) as connection:
        for name, (extension, _) in EXTENSIONS.items():
            if _available(connection, extension):
                connection.execute(f"create extension if not exists {extension}")
                SCALARS[name] = EXTENSIONS[name][1]
        yield connection
    for name in EXTENSIONS:
        SCALARS.pop(name, None)


def _available(connection: Connection, extension: str) -> bool:
    query = "select from pg_available_extensions where name = %s"
    return connection.execute(query, [extension]).fetchone() is not None


def show(connection: Connection, value_sql: str) -> Shown | None:
    """What the server makes of the value; None when it refuses it or it is NULL."""
    one = f"(select {value_sql}) as one (v)"
    query = f"select v, to_jsonb(v), v::text from {one} where v is distinct from null"
    result = connection.pgconn.exec_(query.encode())
    if result.status != ExecStatus.TUPLES_OK or result.ntuples == 0:
        return None
    output, jsonb, text = (result.get_value(0, at) for at in range(3))
    assert output is not None
    assert jsonb is not None
    assert text is not None
    return Shown(output, jsonb, text)


def resolve(connection: Connection, type_: PgType) -> ColumnType:
    """The type as the source looks it up."""
    row = connection.execute(f"select {literal(type_.sql)}::regtype::oid").fetchone()
    assert row is not None
    return load_types(connection, [row[0]])[row[0]]


@dataclass
class Checker:
    """Compares the encoders of one type with the server, value by value."""

    type: ColumnType
    values: int = 0
    ids: int = 0
    special: int = 0
    given: int = 0
    same: int = 0
    """Of those: given back as the server's very text."""

    def __post_init__(self) -> None:
        self.encode = json_encoder(self.type) or bytes
        self.watch = watched_encoder(self.type) or bytes
        try:
            self.identify = id_encoder(self.type)
        except ConfigurationError:
            self.identify = None  # type: ignore[assignment]

    def check(self, shown: Shown) -> None:
        """The JSON means what `to_jsonb` means, and the id is the text."""
        encoded = self.encode(shown.output)
        assert b"\n" not in encoded, (self.type, shown)
        assert b"\r" not in encoded, (self.type, shown)
        expected = as_documented(self.type, parse(shown.jsonb))
        parsed = readable(encoded, self.type, shown)
        assert parsed == expected, (self.type, shown, encoded)
        self._check_special(encoded, shown)
        self._check_given(shown)
        self.values += 1
        if self.identify is not None:
            self._check_id(encoded, shown)

    def _check_given(self, shown: Shown) -> None:
        """What the server's JSON says is the value itself, also to the server's text."""
        given = read_json(shown.jsonb)
        if given is None or not can_be_given(self.type):
            return  # the null of jsonb is SQL's here
        if b"294277" in shown.output:
            return  # rounded up beyond the end: the server prints what it would not read
        text = source_text(self.type, given)
        assert readable(self.encode(text), self.type, shown) == as_documented(
            self.type, parse(shown.jsonb)
        ), (self.type, shown, text)
        self.same += text == shown.output
        self.given += 1

    def _check_special(self, encoded: bytes, shown: Shown) -> None:
        """A value is the same where it is watched; of a special one nothing is lost."""
        try:
            watched = self.watch(shown.output)
        except SpecialValueError as error:
            watched = error.value
        assert watched == encoded, (self.type, shown)
        if not isinstance(watched, Special):
            assert not SPECIAL.search(encoded) or not has_special(self.type), (self.type, shown)
            return
        exact = readable(watched.exact, self.type, shown)
        assert exact == as_documented(self.type, parse(shown.jsonb), exact=True), shown
        self.special += 1

    def _check_id(self, encoded: bytes, shown: Shown) -> None:
        if encoded == b"null":
            with pytest.raises(RejectedError):
                self.identify(encoded)
            return
        assert json.loads(self.identify(encoded)) == shown.text.decode(), (self.type, shown)
        self.ids += 1


def can_be_given(type_: ColumnType) -> bool:
    """Whether its JSON says which value it is: of arrays in an array nobody knows."""
    base = type_.base
    if base.kind == "array" and base.element is not None:
        return base.element.base.kind != "array" and can_be_given(base.element)
    return base.name not in NOT_GIVEN and all(can_be_given(one) for _, one in base.attributes)


def built_in_types(connection: Connection) -> dict[str, PgType]:
    """Every base, range and multirange type that a column can have, and those of extensions."""
    query = """select typname::text from pg_type
        where typtype in ('b', 'r', 'm') and typname !~ '^_' and typarray <> 0
        and typnamespace = 'pg_catalog'::regnamespace order by 1"""
    found = {}
    for (name,) in connection.execute(query).fetchall():
        if name in RANGES:
            found[name] = range_of(name, scalar(RANGES[name]))
        elif name.replace("multi", "") in RANGES:
            spans = name.replace("multi", "")
            found[name] = multirange_of(name, range_of(spans, scalar(RANGES[spans])))
        elif name in SCALARS:
            found[name] = scalar(name)
        else:
            found[name] = PgType(name, lambda rng: rng.choice(["", "1", "a", "{}"]))
    return found | {name: scalar(name) for name in EXTENSIONS if name in SCALARS}


def test_every_type_is_encoded_as_to_jsonb_does(connection: Connection) -> None:
    """Each type that the server has, and its array: JSON as by to_jsonb, id as by ::text."""
    seed, rng = seeded()
    types = built_in_types(connection)
    types |= {f"_{name}": array_of(one) for name, one in types.items()}
    checkers = {name: Checker(resolve(connection, one)) for name, one in types.items()}
    with repeatable(seed):
        for _ in rounds(0.4, proof_share=0.08):
            for name, one in types.items():
                for _ in range(5):
                    check_value(connection, rng, one, checkers[name])
    tested = {name for name, checker in checkers.items() if checker.values}
    report("types", seed, list(checkers.values()))
    assert {name for name in types if not name.startswith("_")} - tested <= WITHOUT_INPUT


def test_random_types_are_encoded_as_to_jsonb_does(connection: Connection) -> None:
    """Enums, domains, composites, ranges and arrays nested in each other, three levels deep."""
    seed, rng = seeded()
    checkers = []
    with repeatable(seed):
        for _ in rounds(0.4, proof_share=0.08):
            one = random_type(rng)
            if not created(connection, one):
                continue
            checker = Checker(resolve(connection, one))
            for _ in range(20):
                check_value(connection, rng, one, checker)
            checkers.append(checker)
    report("random types", seed, checkers)
    assert any(checker.values for checker in checkers)


def created(connection: Connection, type_: PgType) -> bool:
    """Create it; False where the server refuses (a composite of a pseudo-type, say)."""
    try:
        for statement in type_.ddl:
            connection.execute(statement)
    except psycopg.Error:
        return False
    return True


def check_value(connection: Connection, rng: Random, type_: PgType, checker: Checker) -> None:
    """One random value of the type, unless it is NULL or refused."""
    shown = show(connection, random_value_sql(rng, type_))
    if shown is not None:
        checker.check(shown)


def report(what: str, seed: int, checkers: list[Checker]) -> None:
    """Print what was compared."""
    names = ("values", "ids", "special", "given", "same")
    counts = ", ".join(f"{sum(getattr(one, name) for one in checkers)} {name}" for name in names)
    print(f"{what}: {len(checkers)} types, {counts}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts


EQUALS = {
    "numeric": ["1.5", "1.50", "1", "1.0", "-0.0", "0", "100", "1e2", "1.05"],
    "float8": ["0", "-0", "1", "1.0", "1e16", "10000000000000000"],
    "float4": ["0", "-0", "1", "16777216", "16777217"],
    "interval": ["1 mon", "30 days", "720:00", "1 year", "360 days", "-1 mon 30 days", "0", "1us"],
    "bpchar": ["a", "a ", "a  ", " a", "", " ", "A", "é ", "é"],
    "char(5)": ["a", "a ", " a", "é"],
    "citext": ["a", "A", "É", "é", "\u0391\u03a3", "\u03b1\u03c2", "\u03b1\u03c3", "a\n", "A\n"],
    "jsonb": ['{"a":1.0}', '{"a":1.00}', '{"a":"1.0"}', '{"a":"1.00"}', "[1,10.0]", "[1.0,10]"],
    "numrange": ["[1.0,2)", "[1,2.00)", "[1,2]", "empty", "[10,20)"],
    "nummultirange": ["{[1.0,2),[3,4)}", "{[1,2.0),[3.0,4)}"],
    "inet": ["10.0.0.1", "10.0.0.1/32", "10.0.0.1/24", "::1", "::1/128"],
    "timestamptz": ["2020-01-01 00:00+00", "2020-01-01 01:00+01", "2020-01-01 00:00:00.000"],
    "timetz": ["10:00+00", "11:00+01", "10:00:00.0+00"],
    "text": ["a", "a ", "A"],
    "money": ["1", "1.00", "-1"],
    "bool": ["t", "yes", "f"],
    "uuid": ["A0EEBC999C0B4EF8BB6D6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "bit(3)": ["101", "100"],
    "date": ["2020-01-01", "infinity"],
    "int4range": ["[1,2]", "[1,3)", "empty", "(5,6)"],
}


def test_canonical_keys_agree_with_equality(connection: Connection) -> None:
    """Two values have one canonical form exactly when the server calls them equal."""
    pairs = 0
    for sql, texts in EQUALS.items():
        if sql == "citext" and sql not in SCALARS:
            continue
        type_ = resolve(connection, PgType(sql, lambda _: ""))
        encode, canonical = json_encoder(type_) or bytes, canonical_key(type_) or bytes
        values = [f"cast({literal(text)} as {sql})" for text in texts]
        keys = [
            canonical(encode(one.output)) for one in (show(connection, v) for v in values) if one
        ]
        assert len(keys) == len(values)
        for at, one in enumerate(values):
            for other_at, other in enumerate(values):
                row = connection.execute(f"select {one} = {other}").fetchone()
                assert (keys[at] == keys[other_at]) == (row == (True,)), (one, other, keys)
                pairs += 1
    print(f"canonical keys: {pairs} pairs")  # noqa: T201 - the count


def test_canonical_keys_of_random_values(connection: Connection) -> None:
    """The same for random values of every type that can be a key, each with itself and others."""
    seed, rng = seeded()
    types = built_in_types(connection)
    resolved = {name: resolve(connection, one) for name, one in types.items()}
    pairs = 0
    with repeatable(seed):
        for _ in rounds(0.2, proof_share=0.05):
            for name, one in types.items():
                pairs += check_pair(connection, rng, one, resolved[name])
    print(f"canonical keys: {pairs} random pairs, PROPERTY_SEED={seed}")  # noqa: T201 - the count


def check_pair(connection: Connection, rng: Random, one: PgType, type_: ColumnType) -> int:
    """Compare two random values; returns 0 where the type can't be a key or has no equality."""
    try:
        canonical = canonical_key(type_) or bytes
    except ConfigurationError:
        return 0
    encode = json_encoder(type_) or bytes
    values = [random_value_sql(rng, one) for _ in range(2)]
    shown = [show(connection, value) for value in values]
    result = connection.pgconn.exec_(f"select {values[0]} = {values[1]}".encode())
    if result.status != ExecStatus.TUPLES_OK or None in shown:
        return 0
    keys = [canonical(encode(s.output)) for s in shown if s is not None]
    if b"null" in keys:
        return 0
    assert (keys[0] == keys[1]) == (result.get_value(0, 0) == b"t"), (values, keys)
    return 1


def readable(encoded: bytes, type_: ColumnType, shown: Shown) -> Any:
    """Parse what an encoder made; a failure shows what of."""
    try:
        return parse(encoded)
    except ValueError as error:
        error.add_note(f"{type_} {shown}")
        raise
