"""Avro as it is read: what another library has written, what Debezium means, what is broken."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_daemon.values.float_text import to_float4
from cdc_daemon.values.given import Digits
from connectors.messages.avro import AvroSchema, schema_id
from connectors.messages.avrobinary import AvroError
from tests.generators.avro_written import ID, as_read, avro_schema, avro_value, written
from tests.generators.debezium_values import Written, written_values

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW_AT_FIRST = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Characters are looked up once, which takes seconds where two tests run."""
LEAVES = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "bytes": st.binary(max_size=20),
    "string": st.text(max_size=20),
    "null": st.none(),
}
"""Floats have a test of their own: how they are shown is no matter of bytes."""


@st.composite
def typed(draw: st.DrawFn, depth: int = 3) -> tuple[Any, Any]:
    """A schema and a value of it."""
    symbols = ["a", "b", "c"]
    made: dict[str, st.SearchStrategy[tuple[Any, Any]]] = {
        **{kind: st.tuples(st.just(kind), values) for kind, values in LEAVES.items()},
        "enum": st.tuples(
            st.just({"type": "enum", "name": "e", "symbols": symbols}), st.sampled_from(symbols)
        ),
        "fixed": st.tuples(
            st.just({"type": "fixed", "name": "f", "size": 3}), st.binary(min_size=3, max_size=3)
        ),
    }
    if depth:
        made["record"] = st.lists(typed(depth - 1), min_size=1, max_size=3).map(_record)
        made["array"] = st.tuples(typed(depth - 1), st.integers(0, 3)).map(_array)
        made["map"] = st.tuples(typed(depth - 1), st.integers(0, 3)).map(_map)
        made["union"] = st.sampled_from(sorted(LEAVES.keys() - {"null"})).flatmap(
            lambda leaf: st.tuples(st.just(["null", leaf]), st.none() | LEAVES[leaf])
        )
    schema, value = draw(made[draw(st.sampled_from(sorted(made)))])
    return _named(schema, count()), value


def _named(schema: Any, numbers: Iterator[int]) -> Any:
    """Each type by a name of its own."""
    if isinstance(schema, list):
        return [_named(one, numbers) for one in schema]
    if not isinstance(schema, dict):
        return schema
    named = {part: _named(one, numbers) for part, one in schema.items()}
    if str(schema["type"]) in {"record", "enum", "fixed"}:
        named["name"] = f"n{next(numbers)}"
    return named


def _record(inner: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    fields = [{"name": f"f{at}", "type": schema} for at, (schema, _) in enumerate(inner)]
    value = {f"f{at}": one for at, (_, one) in enumerate(inner)}
    return {"type": "record", "name": "r", "fields": fields}, value


def _array(made: tuple[tuple[Any, Any], int]) -> tuple[Any, Any]:
    """Of values that have a byte: no converter writes lists of others."""
    (schema, value), count = made
    return {"type": "array", "items": schema}, [value] * (count if _has_bytes(schema) else 0)


def _map(made: tuple[tuple[Any, Any], int]) -> tuple[Any, Any]:
    (schema, value), count = made
    return {"type": "map", "values": schema}, {str(at): value for at in range(count)}


def _has_bytes(schema: Any) -> bool:
    if isinstance(schema, dict) and schema["type"] == "record":
        return any(_has_bytes(one["type"]) for one in schema["fields"])
    return bool(schema != "null")


@SLOW_AT_FIRST
@given(typed())
def test_what_another_library_writes_is_read(made: tuple[Any, Any]) -> None:
    """Of any schema, and to the last byte."""
    schema, value = made
    assert AvroSchema(json.dumps(schema)).read(written(schema, value)) == as_read(value)


@SLOW_AT_FIRST
@given(typed(), st.data())
def test_what_is_cut_short_is_an_error_and_nothing_else(
    made: tuple[Any, Any], data: st.DataObject
) -> None:
    """Never another value, an endless loop or a foreign exception."""
    schema, value = made
    whole = written(schema, value)
    if len(whole) > 5:
        with pytest.raises(AvroError):
            AvroSchema(json.dumps(schema)).read(whole[: data.draw(st.integers(5, len(whole) - 1))])


@SLOW_AT_FIRST
@given(typed(), st.binary(max_size=40))
def test_any_bytes_are_a_value_or_an_error(made: tuple[Any, Any], octets: bytes) -> None:
    """Somebody may have written anything."""
    with suppress(AvroError):
        AvroSchema(json.dumps(made[0])).read(b"\0\0\0\0\7" + octets)


@pytest.mark.parametrize(
    ("type_", "value", "shown"),
    [
        ("double", 0.1, Digits("0.1")),
        ("double", 1e30, Digits("1e+30")),
        ("double", -2.0, Digits("-2")),
        ("double", float("nan"), "NaN"),
        ("double", float("-inf"), "-Infinity"),
        ("float", 1.1, Digits("1.1")),
        ("float", float("inf"), "Infinity"),
    ],
)
def test_floats_are_shown_as_postgresql_shows_them(type_: str, value: float, shown: str) -> None:
    """The shortest text of each width; what isn't finite is a word."""
    found = AvroSchema(json.dumps(type_)).read(written(type_, value))
    assert (found, type(found)) == (shown, type(shown))


def test_a_type_may_be_named_again_and_be_of_itself() -> None:
    """As `Value` of an envelope is, in its namespace, and the nodes of a tree."""
    node = {
        "type": "record",
        "name": "Node",
        "namespace": "shop",
        "fields": [
            {"name": "id", "type": "int"},
            {"name": "left", "type": ["null", "Node"]},
            {"name": "right", "type": ["null", "shop.Node"]},
        ],
    }
    value = {"id": 1, "left": {"id": 2, "left": None, "right": None}, "right": None}
    assert AvroSchema(json.dumps(node)).read(written(node, value)) == as_read(value)


def test_a_schema_may_name_those_of_others() -> None:
    """Its references, which a registry has under names of their own."""
    money = {"type": "record", "name": "shop.Money", "fields": [{"name": "n", "type": "long"}]}
    bill = {"type": "record", "name": "Bill", "fields": [{"name": "sum", "type": "shop.Money"}]}
    whole = {**bill, "fields": [{"name": "sum", "type": money}]}
    found = AvroSchema(json.dumps(bill), [json.dumps(money)])
    assert found.read(written(whole, {"sum": {"n": 5}})) == {"sum": {"n": Digits("5")}}
    with pytest.raises(AvroError, match=r"schema can't be read.*Money"):
        AvroSchema(json.dumps(bill))


@pytest.mark.parametrize(
    ("schema", "octets", "said"),
    [
        ('"string"', b"\x02", "ends in the middle"),
        ('"string"', b"\x01", "ends in the middle"),
        ('"string"', b"\x02\xff", "no UTF-8"),
        ('"int"', b"\x02\x02", "1 bytes more than its schema says"),
        ('"long"', b"\xff" * 11, "more than 64 bits"),
        ('["null","int"]', b"\x04", "choice 2 of 2"),
        ('{"type":"array","items":"null"}', b"\xfe\xff\xff\xff\x0f", "more items than"),
    ],
)
def test_what_is_broken_is_said(schema: str, octets: bytes, said: str) -> None:
    """In words for a dead letter."""
    with pytest.raises(AvroError, match=said):
        AvroSchema(schema).read(b"\0\0\0\0\7" + octets)


def test_values_nested_without_end_are_an_error() -> None:
    """As somebody might write them on purpose."""
    schema = '{"type":"record","name":"n","fields":[{"name":"n","type":["null","n"]}]}'
    with pytest.raises(AvroError, match="too deep"):
        AvroSchema(schema).read(b"\0\0\0\0\7" + b"\2" * 100_000)


def test_ids_are_those_of_the_wire_format() -> None:
    """Of JSON, of nothing and of what is too short there is none."""
    assert schema_id(written("int", 1)) == ID
    assert [schema_id(octets) for octets in (None, b"", b'{"a":1}', b"\0\0\1")] == [None] * 4


def _with_schemas() -> list[Written]:
    return [one for one in written_values() if one.schema is not None and one.values]


@pytest.mark.parametrize("one", _with_schemas(), ids=lambda one: f"{one.mode}-{one.type}")
def test_debezium_means_the_same_in_avro_as_in_json(one: Written) -> None:
    """Value and schema are those of JsonConverter, so all else is as with JSON."""
    assert one.schema is not None
    schema = avro_schema(one.schema)
    compiled = AvroSchema(json.dumps(schema))
    assert _meaning(compiled.schema) == _meaning(one.schema)
    for _, value in one.values:
        encoded = written(schema, avro_value(one.schema, value))
        found = compiled.read(encoded)
        if one.type == "float4":  # of which ours has fewer digits than Java's
            assert repr(to_float4(float(found))) == repr(to_float4(float(value)))
        else:
            assert _rounded(found) == _rounded(value)


def _meaning(schema: dict[str, Any]) -> dict[str, Any]:
    """What is gone by when values are read."""
    inside = {
        part: _meaning(schema[part])
        for part in ("items", "values")
        if isinstance(schema.get(part), dict)
    }
    fields = {one["field"]: _meaning(one) for one in schema.get("fields", ())}
    parameters = (schema.get("parameters") or {}).get("scale")
    name = schema.get("name") if schema["type"] != "struct" else None
    return {"name": name, "scale": parameters, "fields": fields, **inside}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    if isinstance(value, Digits) or (
        isinstance(value, int | float) and not isinstance(value, bool)
    ):
        return float(value)
    return value
