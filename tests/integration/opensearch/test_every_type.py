"""Columns of every type, with real values from a real server, in fields of a real OpenSearch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
import urllib3

from tests.generators.budget import seeded
from tests.generators.every_type import (
    OTHERS,
    ROWS,
    VALUES_OF_OTHERS,
    Table,
    connected,
    generated,
    written,
)

if TYPE_CHECKING:
    from cdc_daemon.embedded import OpenSearchServer
    from connectors.opensearch import OpenSearchSink
    from tests.conftest import Database

NOT_OBJECTS = {"json", "jsonb"}
"""Their default field takes objects only, and refuses keys twice: documented dead letters."""
NOT_BUILT = {"xml"}
"""A server may be built without it: the embedded ones are."""


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
