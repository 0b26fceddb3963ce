"""The default mapping of each type takes what PostgreSQL's values look like, and finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
import urllib3

from cdc_daemon.events import ColumnType, DocumentOperation
from cdc_daemon.ports import FieldSpec, ReadModel

if TYPE_CHECKING:
    from cdc_daemon.embedded import OpenSearchServer
    from connectors.opensearch import OpenSearchSink

TEXT_ARRAY = ColumnType("_text", "array", element=ColumnType("text"))
PAIR = ColumnType(
    "pair", "composite", attributes=(("a", ColumnType("int4")), ("b", ColumnType("date")))
)
MOOD = ColumnType("mood", "enum", labels=("sad", "happy"))
DOMAIN = ColumnType("positive", "domain", element=ColumnType("int4"))
RANGE = ColumnType("int4range", "range", element=ColumnType("int4"))

TAKEN: list[tuple[ColumnType, list[bytes]]] = [
    (ColumnType("bool"), [b"true", b"false"]),
    (ColumnType("int2"), [b"-32768", b"32767"]),
    (ColumnType("int4"), [b"-2147483648", b"2147483647"]),
    (ColumnType("int8"), [b"-9223372036854775808", b"9223372036854775807"]),
    (ColumnType("oid"), [b"4294967295", b'"4294967295"']),
    (ColumnType("int2vector"), [b"[1,2]"]),
    (ColumnType("hstore"), [b'{"a":"1","b":null}', b"{}"]),
    (ColumnType("float4"), [b"1e-30", b"3.4028235e+38"]),
    (ColumnType("float8"), [b"1.7976931348623157e+308", b"-0"]),
    (ColumnType("numeric"), [b"12345678901234567890.123456789012345678901234567890", b"1.50"]),
    (ColumnType("text"), [b'""', b'"' + b"long " * 20_000 + b'"', b'"x\\u0001"']),
    (ColumnType("bpchar"), [b'"a   "']),
    (ColumnType("uuid"), [b'"6f1ed002-ab15-4b1e-a7f7-000000000001"']),
    (ColumnType("date"), [b'"2024-02-29"', b'"0001-01-01"', b'"9999-12-31"']),
    (ColumnType("timestamp"), [b'"2024-02-29T23:59:59.999999"', b'"2024-02-29T00:00:00"']),
    (ColumnType("timestamptz"), [b'"2024-02-29T23:59:59.5+00:00"', b'"1900-01-01T00:00:00+00:00"']),
    (ColumnType("time"), [b'"24:00:00"']),
    (ColumnType("interval"), [b'"P1Y2M3DT4H5M6.5S"']),
    (ColumnType("bytea"), [b'"\\\\xdeadbeef"', b'"' + b"00" * 100_000 + b'"']),
    (ColumnType("jsonb"), [b'{"a":[1,{"b":null}]}', b'[{"a":1},{"a":2}]', b"[]", b"{}"]),
    (ColumnType("inet"), [b'"192.168.0.0/24"', b'"::1"']),
    (ColumnType("tsvector"), [b'"' + b"word:1 " * 20_000 + b'"']),
    (TEXT_ARRAY, [b'["a","b"]', b"[]", b'[["a"],["b"]]', b"[null]"]),
    (PAIR, [b'{"a":1,"b":"2024-01-01"}', b'{"a":null,"b":null}']),
    (MOOD, [b'"happy"']),
    (DOMAIN, [b"5"]),
    (RANGE, [b'"[1,5)"', b'"empty"']),
]


@pytest.mark.parametrize(("column_type", "values"), TAKEN, ids=[pair[0].name for pair in TAKEN])
def test_takes_values(
    sink: OpenSearchSink, model: ReadModel, column_type: ColumnType, values: list[bytes]
) -> None:
    """Every value of the type, and NULL, is taken and comes back digit by digit."""
    fields = (FieldSpec("v", column_type),)
    generation = sink.create_generation(ReadModel(model.name, fields, "f"))
    batch = [
        DocumentOperation(generation.index, b'"%d"' % number, 1, b'{"v":%b}' % value)
        for number, value in enumerate([*values, b"null"])
    ]
    writer = sink.writer()
    assert list(writer.write(batch).rejected) == []
    for number, operation in enumerate(batch):
        assert sink.documents.get(generation.index, str(number)) == (1, operation.body)
    writer.close()
    sink.drop_generation(generation)


REFUSED = [
    (ColumnType("jsonb"), b"12"),
    (ColumnType("jsonb"), b'"text"'),
    (ColumnType("jsonb"), b"[1,2]"),
    (ColumnType("date"), b'"infinity"'),
    (ColumnType("timestamptz"), b'"0044-03-15T00:00:00+00:00 BC"'),
    (ColumnType("date"), b'"12024-01-01"'),
    (ColumnType("float8"), b'"NaN"'),
    (ColumnType("numeric"), b"1e400"),
]


@pytest.mark.parametrize(("column_type", "value"), REFUSED)
def test_documented_dead_letters(
    sink: OpenSearchSink, model: ReadModel, column_type: ColumnType, value: bytes
) -> None:
    """What docs/reference/opensearch.md calls a dead letter is rejected with a reason."""
    fields = (FieldSpec("v", column_type),)
    generation = sink.create_generation(ReadModel(model.name, fields, "f"))
    writer = sink.writer()
    operation = DocumentOperation(generation.index, b'"1"', 1, b'{"v":%b}' % value)
    (rejection,) = writer.write([operation]).rejected
    assert rejection.reason == "mapper_parsing_exception"
    assert "[v]" in rejection.explanation
    writer.close()
    sink.drop_generation(generation)


def test_refuses_unknown_fields(sink: OpenSearchSink, model: ReadModel) -> None:
    """The mapping is strict: a field that the read model doesn't have is rejected."""
    generation = sink.create_generation(model)
    writer = sink.writer()
    operation = DocumentOperation(generation.index, b'"1"', 1, b'{"other":1}')
    (rejection,) = writer.write([operation]).rejected
    assert rejection.reason == "strict_dynamic_mapping_exception"
    writer.close()
    sink.drop_generation(generation)


SEARCHES: list[tuple[ColumnType, bytes, dict[str, Any]]] = [
    (ColumnType("text"), b'"Grand Hotel"', {"match": {"v": "hotel"}}),
    (ColumnType("text"), b'"Grand Hotel"', {"term": {"v.keyword": "Grand Hotel"}}),
    (ColumnType("jsonb"), b'{"a":{"b":"c"}}', {"term": {"v.a.b": "c"}}),
    (ColumnType("numeric"), b"12.50", {"range": {"v": {"gt": 12.4, "lt": 12.6}}}),
    (
        ColumnType("timestamptz"),
        b'"2024-02-29T23:59:59.123456+00:00"',
        {"range": {"v": {"gte": "2024-02-29T23:59:59.123Z", "lt": "2024-03-01"}}},
    ),
    (PAIR, b'{"a":1,"b":"2024-01-01"}', {"term": {"v.a": 1}}),
]


@pytest.mark.parametrize(("column_type", "value", "query"), SEARCHES)
def test_finds_values(
    sink: OpenSearchSink,
    opensearch: OpenSearchServer,
    model: ReadModel,
    column_type: ColumnType,
    value: bytes,
    query: dict[str, Any],
) -> None:
    """A search on the default mapping finds the value the way one expects of its type."""
    fields = (FieldSpec("v", column_type),)
    generation = sink.create_generation(ReadModel(model.name, fields, "f"))
    writer = sink.writer()
    writer.write([DocumentOperation(generation.index, b'"1"', 1, b'{"v":%b}' % value)])
    sink.refresh([generation.index])
    with urllib3.PoolManager() as http:
        url = f"{opensearch.url}/{generation.index}/_count"
        body = orjson.dumps({"query": query})
        answer = http.request("POST", url, body=body, headers={"content-type": "application/json"})
    assert orjson.loads(answer.data)["count"] == 1
    writer.close()
    sink.drop_generation(generation)
