"""Columns of every type, with real values from a real server, in fields of a real OpenSearch."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
import urllib3

from cdc_daemon.config.models import ProjectionConfig
from cdc_daemon.errors import RejectedError
from cdc_daemon.events import DocumentOperation
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.projection.showing import Showing
from cdc_daemon.values import SESSION_SETTINGS
from connectors.postgres.catalog import describe
from connectors.postgres.copytext import read_line
from connectors.postgres.pgoutput import tolerant
from connectors.postgres.rowplan import column_plans
from tests.generators.budget import seeded
from tests.generators.pg_scalars import EXTENSIONS, SCALARS
from tests.generators.pg_values import (
    RANGES,
    PgType,
    array_of,
    literal,
    multirange_of,
    range_of,
    scalar,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from cdc_daemon.embedded import OpenSearchServer
    from cdc_daemon.projection.flat import FlatProjection
    from connectors.opensearch import OpenSearchSink
    from tests.conftest import Database

ROWS = 60
"""Values of each type."""
NOT_OBJECTS = {"json", "jsonb"}
"""Their default field takes objects only, and refuses keys twice: documented dead letters."""
NOT_BUILT = {"xml"}
"""A server may be built without it: the embedded ones are."""
OTHERS = [
    "create type mood as enum ('sad', 'happy')",
    "create domain positive as int4 check (value > 0)",
    "create domain positives as positive[]",
    "create type pair as (number numeric, day date, said text)",
    "create type pairs as (one pair, many pair[])",
    "create type moods as range (subtype = text)",
]
VALUES_OF_OTHERS: dict[str, list[str]] = {
    "mood": ["sad", "happy"],
    "mood[]": ["{sad,NULL}", "[0:1]={happy,sad}", "{}"],
    "positives": ["{1,2}", "{}"],
    "pair": ["(1.50,2024-02-29,x)", "(NaN,infinity,NaN)", "(,,)", "(1,0044-03-15 BC,)"],
    "pair[]": ['{"(1.50,2024-02-29,x)"}', '{"(NaN,-infinity,\\"a b\\")",NULL}'],
    "pairs": ['("(1,12024-01-01,)","{""(Infinity,2024-01-01,y)""}")'],
    "moods": ["[a,b)", "empty"],
}
Connection = psycopg.Connection[tuple[Any, ...]]


@contextmanager
def connected(database: Database) -> Iterator[Connection]:
    """A connection that shows values as the daemon's do."""
    options = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
    with psycopg.connect(database.dsn, autocommit=True, options=options) as connection:
        yield connection


class Table:
    """A table whose rows become documents of one read model, refused ones apart."""

    def __init__(self, connection: Connection, columns: dict[str, str]) -> None:
        """`columns`: name to type."""
        self.connection = connection
        self.columns = columns
        listed = ", ".join(f'"{name}" {sql}' for name, sql in columns.items())
        connection.execute(f"create table every (id int primary key, {listed})")
        self.rows = 0
        self.nulled: list[str] = []

    def insert(self, column: str, text: str) -> bool:
        """Add a row with a value in one column; False if the server refuses it."""
        value = f"cast({literal(text)} as {self.columns[column]})"
        try:
            self.connection.execute(
                f'insert into every (id, "{column}") values ({self.rows}, {value})'.encode()
            )
        except psycopg.Error:
            return False
        self.rows += 1
        return True

    def projection(self, sink: OpenSearchSink, config: dict[str, Any]) -> FlatProjection:
        """The read model, with the forms that the sink asks for."""
        relation = describe(self.connection, [TableRequest("public.every")])[0]
        showing = Showing(sink.form, lambda _, field: self.nulled.append(field))
        parsed = ProjectionConfig.model_validate({"from": "public.every", **config})
        compiled = compile_projections(
            {"every": parsed}, {"public.every": relation}, lambda *_: "f.yaml:1", showing
        )
        return compiled.projections[0]

    def contents(self, projection: FlatProjection) -> Iterator[tuple[bytes, bytes]]:
        """Id and document of each row, as a load makes them."""
        plans = column_plans(projection.relation.columns)
        names = ", ".join(f'"{column.name}"' for column in projection.relation.columns)
        statement = f"copy (select {names} from every order by id) to stdout"
        with self.connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for line in copy:
                try:
                    content = projection.load(read_line(bytes(line), plans))
                except RejectedError:
                    row = read_line(bytes(line), tolerant(plans))
                    content = projection.load_partly_unreadable(row)
                assert content is not None
                yield content


@contextmanager
def written(
    sink: OpenSearchSink, table: Table, projection: FlatProjection
) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The index with all documents, and what was refused: why, and of which row."""
    generation = sink.create_generation(projection.model)
    writer = sink.writer()
    operations = [
        DocumentOperation(generation.index, id_, 1, body)
        for id_, body in table.contents(projection)
    ]
    refused = [("letter", o.body or b"") for o in operations if (o.body or b"")[:1] == b"!"]
    good = [o for o in operations if (o.body or b"")[:1] == b"{"]
    refused += [(one.explanation, one.operation.body or b"") for one in writer.write(good).rejected]
    sink.refresh([generation.index])
    yield generation.index, refused
    writer.close()
    sink.drop_generation(generation)


def available(connection: Connection) -> dict[str, Callable[[Random], str]]:
    """Types of extensions that this server has, created."""
    found = {}
    for name, (extension, text) in EXTENSIONS.items():
        query = "select from pg_available_extensions where name = %s"
        if connection.execute(query, [extension]).fetchone() is not None:
            connection.execute(f"create extension if not exists {extension}".encode())
            found[name] = text
    return found


def generated(connection: Connection) -> dict[str, PgType]:
    """Every base type that a column can have, ranges, multiranges, and arrays of all of them."""
    has = "select from pg_type where typname = %s and typtype = 'b'"
    names = [n for n in SCALARS if connection.execute(has, [n]).fetchone() is not None]
    found = {name: scalar(name) for name in names}
    # Needs the k-NN plugin: `test_vectors_can_be_kept`.
    extended = {name: text for name, text in available(connection).items() if name not in VECTORS}
    found |= {name: PgType(name, text) for name, text in extended.items()}
    for name, spans in RANGES.items():
        found[name] = range_of(name, scalar(spans))
        multi = name.replace("range", "multirange")
        found[multi] = multirange_of(multi, found[name])
    return found | {f"{name}[]": array_of(one) for name, one in found.items()}


VECTORS = {"vector", "halfvec"}


def test_default_fields_take_every_value(sink: OpenSearchSink, database: Database) -> None:
    """Whatever PostgreSQL takes, its default field takes, but for what the documentation names."""
    seed, rng = seeded()
    with connected(database) as connection:
        for statement in OTHERS:
            connection.execute(statement.encode())
        types = generated(connection)
        types = {n: t for n, t in types.items() if n.removesuffix("[]") not in NOT_OBJECTS}
        columns = {name: one.sql for name, one in types.items()} | {n: n for n in VALUES_OF_OTHERS}
        table = Table(connection, {name.replace(".", "_"): sql for name, sql in columns.items()})
        for name, one in types.items():
            filled = sum(table.insert(name, one.text(rng)) for _ in range(ROWS))
            assert filled or name.removesuffix("[]") in NOT_BUILT, (name, seed)
        for name, texts in VALUES_OF_OTHERS.items():
            assert all(table.insert(name, text) for text in texts), name
        projection = table.projection(sink, {"fields": "*"})
        with written(sink, table, projection) as (_, refused):
            assert refused == [], seed
        print(f"{len(columns)} types, {table.rows} values, {len(table.nulled)} nulled, {seed=}")  # noqa: T201 - the counts


ASKED: list[tuple[str, str]] = [
    *(("point", kind) for kind in ("geo_point", "geo_shape")),
    *((name, "geo_shape") for name in ("lseg", "path", "box")),
    *((name, "date_nanos") for name in ("date", "timestamp", "timestamptz")),
    *((name, "date_range") for name in ("daterange", "tsrange", "tstzrange")),
    *(("inet", kind) for kind in ("ip", "ip_range")),
    *(("cidr", "ip_range"), ("bytea", "binary"), ("numeric", "scaled_float")),
    *(("int4range", "integer_range"), ("int8range", "long_range"), ("numrange", "double_range")),
    *((name, "keyword") for name in ("numeric", "float8", "date", "timestamptz")),
]
"""Not polygon: OpenSearch refuses one whose sides cross, or that has no area (documented)."""


def test_forms_take_every_value(sink: OpenSearchSink, database: Database) -> None:
    """Whatever PostgreSQL takes, a field of another type takes in its form, or it is null."""
    seed, rng = seeded()
    with connected(database) as connection:
        types = generated(connection)
        names = [f"{name}{end}" for name, _ in ASKED for end in ("", "[]")]
        table = Table(connection, {f"f{at}": types[name].sql for at, name in enumerate(names)})
        for at, name in enumerate(names):
            filled = sum(table.insert(f"f{at}", types[name].text(rng)) for _ in range(ROWS))
            assert filled, (name, seed)
        kinds = [kind for _, kind in ASKED for _ in range(2)]
        fields: dict[str, dict[str, Any]] = {
            f"f{at}": {"type": kind} | ({"scaling_factor": 100} if kind == "scaled_float" else {})
            for at, kind in enumerate(kinds)
        }
        projection = table.projection(sink, {"fields": fields})
        with written(sink, table, projection) as (_, refused):
            assert refused == [], seed
        print(f"{len(names)} fields, {table.rows} values, {len(table.nulled)} nulled, {seed=}")  # noqa: T201 - the counts


SHOWN: list[tuple[str, dict[str, Any], str, Any]] = [
    ("point", {"type": "geo_point"}, "(13.4,52.5)", {"lon": 13.4, "lat": 52.5}),
    (
        "point[]",
        {"type": "geo_point"},
        '{"(1,2)","(3,4)"}',
        [{"lon": 1, "lat": 2}, {"lon": 3, "lat": 4}],
    ),
    ("point[]", {"type": "geo_point"}, '{NULL,"(1,2)"}', [{"lon": 1, "lat": 2}]),
    ("point", {"type": "geo_point"}, "(1,95)", None),
    ("point", {"type": "geo_point"}, "(NaN,1)", None),
    ("point", {"type": "geo_shape"}, "(1,2)", {"type": "Point", "coordinates": [1, 2]}),
    (
        "lseg",
        {"type": "geo_shape"},
        "[(1,2),(3,4)]",
        {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
    ),
    ("lseg", {"type": "geo_shape"}, "[(1,2),(1,2)]", {"type": "Point", "coordinates": [1, 2]}),
    (
        "path",
        {"type": "geo_shape"},
        "[(1,2),(3,4)]",
        {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
    ),
    (
        "path",
        {"type": "geo_shape"},
        "((1,2),(3,4),(5,7))",
        {"type": "LineString", "coordinates": [[1, 2], [3, 4], [5, 7], [1, 2]]},
    ),
    ("path", {"type": "geo_shape"}, "((1,2))", {"type": "Point", "coordinates": [1, 2]}),
    (
        "polygon",
        {"type": "geo_shape"},
        "((0,0),(0,1),(1,1))",
        {"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 1], [0, 0]]]},
    ),
    (
        "polygon",
        {"type": "geo_shape"},
        "((0,0),(0,1))",
        {"type": "LineString", "coordinates": [[0, 0], [0, 1]]},
    ),
    (
        "box",
        {"type": "geo_shape"},
        "(3,4),(1,2)",
        {"type": "Polygon", "coordinates": [[[1, 2], [3, 2], [3, 4], [1, 4], [1, 2]]]},
    ),
    (
        "box",
        {"type": "geo_shape"},
        "(3,4),(3,2)",
        {"type": "LineString", "coordinates": [[3, 2], [3, 4]]},
    ),
    (
        "box[]",
        {"type": "geo_shape"},
        "{(1,1),(0,0);(1,1),(1,1)}",
        {
            "type": "GeometryCollection",
            "geometries": [
                {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]},
                {"type": "Point", "coordinates": [1, 1]},
            ],
        },
    ),
    ("point[]", {"type": "geo_shape"}, "{NULL}", None),
    ("bytea", {"type": "binary"}, r"\xdeadbeef", "3q2+7w=="),
    ("bytea", {"bytes": "base64"}, r"\xdeadbeef", "3q2+7w=="),
    ("bytea", {"bytes": "hex"}, r"\xdeadbeef", r"\xdeadbeef"),
    ("bytea[]", {"type": "binary"}, r'{"\\xdead",NULL}', ["3q0=", None]),
    ("int4range", {"type": "integer_range"}, "[1,5]", {"gte": 1, "lt": 6}),
    ("int8range", {"type": "long_range"}, "(,5)", {"lt": 5}),
    ("int4range", {"type": "integer_range"}, "(,)", {}),
    ("int4range", {"type": "integer_range"}, "empty", None),
    ("numrange", {"type": "double_range"}, "(1.50,Infinity)", {"gt": 1.5}),
    ("numrange", {"type": "double_range"}, "(1.50,NaN)", None),
    ("daterange", {"type": "date_range"}, "[2024-02-29,infinity)", {"gte": "2024-02-29"}),
    (
        "daterange",
        {"type": "date_range"},
        "[0044-03-15 BC,12024-01-01)",
        {"gte": "-0043-03-15", "lt": "+12024-01-01"},
    ),
    (
        "tsrange",
        {"type": "date_range"},
        "[2024-02-29 10:00,2024-03-01 00:00:00.5]",
        {"gte": "2024-02-29T10:00:00", "lte": "2024-03-01T00:00:00.5"},
    ),
    (
        "tstzrange",
        {"type": "date_range"},
        "(2024-02-29 10:00+02,)",
        {"gt": "2024-02-29T08:00:00+00:00"},
    ),
    (
        "int4multirange",
        {"type": "integer_range"},
        "{[1,3),[5,)}",
        [{"gte": 1, "lt": 3}, {"gte": 5}],
    ),
    ("inet", {"type": "ip"}, "10.1.2.3", "10.1.2.3"),
    ("inet", {"type": "ip"}, "fe80::1", "fe80::1"),
    ("inet", {"type": "ip"}, "10.1.2.3/8", None),
    ("inet", {"type": "ip_range"}, "10.1.2.3", "10.1.2.3/32"),
    ("inet", {"type": "ip_range"}, "10.1.2.3/8", "10.1.2.3/8"),
    ("cidr", {"type": "ip_range"}, "2001:db8::/32", "2001:db8::/32"),
    (
        "timestamptz",
        {"type": "date_nanos"},
        "2024-02-29 10:00:00.123456+00",
        "2024-02-29T10:00:00.123456+00:00",
    ),
    (
        "timestamptz",
        {"type": "date_nanos"},
        "2262-04-11 23:47:16.854775+00",
        "2262-04-11T23:47:16.854775+00:00",
    ),
    ("timestamptz", {"type": "date_nanos"}, "2262-04-11 23:47:16.854776+00", None),
    ("date", {"type": "date_nanos"}, "1969-12-31", None),
    ("date", {"type": "date_nanos"}, "infinity", None),
    ("date", {}, "infinity", None),
    ("date", {}, "0044-03-15 BC", "-0043-03-15"),
    ("date", {}, "0001-12-31 BC", "0000-12-31"),
    ("date", {}, "5874897-12-31", "+5874897-12-31"),
    ("timestamp", {}, "4714-11-24 00:00:00 BC", "-4713-11-24T00:00:00"),
    ("timestamptz", {}, "294276-12-31 23:59:59.999999+00", "+294276-12-31T23:59:59.999999+00:00"),
    ("date", {"type": "keyword"}, "infinity", "infinity"),
    ("date", {"type": "keyword"}, "0044-03-15 BC", "0044-03-15 BC"),
    ("date[]", {}, "{2024-01-01,infinity}", ["2024-01-01", None]),
    ("numeric", {}, "NaN", None),
    ("numeric", {"type": "keyword"}, "NaN", "NaN"),
    ("float8", {"type": "keyword"}, "-Infinity", "-Infinity"),
    ("numeric", {}, "1e400", None),
    ("numeric[]", {"type": "keyword"}, "{1.5,NaN}", [1.5, "NaN"]),
    ("float8", {"default": 0}, "NaN", 0),
]


def test_fields_show_values_in_their_form(sink: OpenSearchSink, database: Database) -> None:
    """A field of that type takes the value, and the document has it like this."""
    with connected(database) as connection:
        table = Table(connection, {f"f{at}": one[0] for at, one in enumerate(SHOWN)})
        for at, (_, _, text, _) in enumerate(SHOWN):
            assert table.insert(f"f{at}", text), SHOWN[at]
        fields = {f"f{at}": one[1] for at, one in enumerate(SHOWN)}
        projection = table.projection(sink, {"fields": fields})
        with written(sink, table, projection) as (index, refused):
            assert refused == []
            for at, (sql, _, text, expected) in enumerate(SHOWN):
                found = sink.documents.get(index, str(at))
                assert found is not None
                assert json.loads(found[1])[f"f{at}"] == expected, SHOWN[at]
                lost = (expected in (None, 0) and text not in NOTHING) or sql == "date[]"
                assert (f"f{at}" in table.nulled) == lost, SHOWN[at]


NOTHING = {"empty", "{NULL}"}
"""What finds nothing anyway: null is the same."""

FOUND: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (
        "point",
        {"type": "geo_point"},
        "(13.4,52.5)",
        {"geo_distance": {"distance": "9km", "v": {"lat": 52.5, "lon": 13.41}}},
    ),
    (
        "box",
        {"type": "geo_shape"},
        "(3,4),(1,2)",
        {
            "geo_shape": {
                "v": {"shape": {"type": "point", "coordinates": [2, 3]}, "relation": "intersects"}
            }
        },
    ),
    ("int4range", {"type": "integer_range"}, "[1,5)", {"term": {"v": 4}}),
    ("daterange", {"type": "date_range"}, "[2024-02-29,infinity)", {"term": {"v": "9000-01-01"}}),
    ("int4multirange", {"type": "integer_range"}, "{[1,3),[5,)}", {"term": {"v": 7}}),
    ("inet", {"type": "ip"}, "10.1.2.3", {"term": {"v": "10.0.0.0/8"}}),
    ("cidr", {"type": "ip_range"}, "10.0.0.0/8", {"term": {"v": "10.1.2.3"}}),
    ("date", {}, "0044-03-15 BC", {"range": {"v": {"lt": "0001-01-01"}}}),
    ("date", {}, "12024-01-01", {"range": {"v": {"gt": "9999-12-31"}}}),
    ("numeric", {"type": "keyword"}, "NaN", {"term": {"v": "NaN"}}),
]


def test_forms_are_searched_by_what_they_mean(
    sink: OpenSearchSink, opensearch: OpenSearchServer, database: Database
) -> None:
    """The query that one expects of the field type finds the document, and no other."""
    with connected(database) as connection:
        table = Table(connection, {f"f{at}": one[0] for at, one in enumerate(FOUND)})
        for at, (_, _, text, _) in enumerate(FOUND):
            assert table.insert(f"f{at}", text), FOUND[at]
        fields = {f"f{at}": one[1] for at, one in enumerate(FOUND)}
        projection = table.projection(sink, {"fields": fields})
        with written(sink, table, projection) as (index, refused), urllib3.PoolManager() as http:
            assert refused == []
            for at, (_, _, _, query) in enumerate(FOUND):
                answer = http.request(
                    "POST",
                    f"{opensearch.url}/{index}/_count",
                    body=orjson.dumps({"query": query}).replace(b'"v"', b'"f%d"' % at),
                    headers={"content-type": "application/json"},
                )
                assert orjson.loads(answer.data).get("count") == 1, (FOUND[at], answer.data)


def test_unrepresentable_values_become_dead_letters_where_asked(
    sink: OpenSearchSink, database: Database
) -> None:
    """The policy of a field is stronger than that of its projection."""
    with connected(database) as connection:
        table = Table(connection, {"v": "date", "w": "numeric"})
        for column, text in (("v", "infinity"), ("w", "NaN"), ("v", "2024-01-01")):
            assert table.insert(column, text)
        fields = {"v": {}, "w": {"unrepresentable": None}}
        config = {"fields": fields, "unrepresentable": "dead_letter"}
        projection = table.projection(sink, config)
        with written(sink, table, projection) as (_, refused):
            (letter,) = refused
        assert b"unrepresentable_value" in letter[1]
        assert b"field v" in letter[1]
        assert table.nulled == ["w"]


def test_vectors_can_be_kept(sink: OpenSearchSink, database16: Database) -> None:
    """A vector of pgvector is an array of numbers; without k-NN a field can still hold it."""
    with connected(database16) as connection:
        connection.execute("create extension vector")
        table = Table(connection, {"v": "vector(3)", "w": "vector", "x": "halfvec(2)[]"})
        assert table.insert("v", "[1,2.5,1e-5]")
        assert table.insert("w", "[1,2]")
        assert table.insert("x", '{"[1,2]"}')
        projection = table.projection(sink, {"fields": {"v": {"type": "float"}, "w": {}, "x": {}}})
        bodies = [json.loads(body) for _, body in table.contents(projection)]
        assert [one["v"] for one in bodies] == [[1, 2.5, 1e-05], None, None]
        assert (bodies[1]["w"], bodies[2]["x"]) == ([1, 2], [[1, 2]])
        with written(sink, table, projection) as (_, refused):
            assert refused == []
