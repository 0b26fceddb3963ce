"""Values as Debezium writes them, each against what PostgreSQL's own stream gives for it."""

from __future__ import annotations

import pytest

from cdc_daemon.errors import RejectedError
from cdc_daemon.values import GivenError, read_json, source_text
from connectors.messages.columntypes import column_type
from connectors.messages.debeziumvalues import Handling, given

CAPTURED = [
    ("numeric", '{"scale": 2, "value": "LxI="}', "120.50"),
    ("numeric(8,2)", '"LxI="', "120.50"),
    ("numeric(20,4)", '"xWg="', "-1.5000"),
    ("numeric(8,2)", "120.50", "120.50"),
    ("numeric", '"NaN"', "NaN"),
    ("date", "19782", "2024-02-29"),
    ("date", "-622191234", "infinity"),
    ("date", "-625821272", "-infinity"),
    ("time", "45296700000", "12:34:56.7"),
    ("time(0)", "45296000", "12:34:56"),
    ("timestamp", "1709210096789012", "2024-02-29 12:34:56.789012"),
    ("timestamp(3) without time zone", "1709210096789", "2024-02-29 12:34:56.789"),
    ("timestamp", "9223372036825200000", "infinity"),
    ("timestamp", "-9223372036832400000", "-infinity"),
    ("timestamp(3)[]", "[1709210096789, 9223372036825200]", None),
    ("timestamptz", '"2024-02-29T07:04:56.789012Z"', "2024-02-29 07:04:56.789012+00"),
    ("timestamptz", '"-0043-03-15T01:02:03.500000Z"', "0044-03-15 01:02:03.5+00 BC"),
    ("timestamptz", '"+10000-01-01T00:00:00.000000Z"', "10000-01-01 00:00:00+00"),
    ("timetz", '"23:00:00Z"', "23:00:00+00"),
    ("interval", '"P1Y2M3DT4H5M6.7S"', "P1Y2M3DT4H5M6.7S"),
    ("interval", "86400000000", "PT24H"),
    ("bytea", '"3q2+7wEC"', "\\xdeadbeef0102"),
    ("bit", "true", "1"),
    ("bit(9)", '"VQE="', "101010101"),
    ("point", '{"x": 1.5, "y": -0.0, "wkb": "AQ==", "srid": null}', "(1.5,-0)"),
    ("hstore", '"{\\"a\\": \\"b\\", \\"c\\": null}"', '"a"=>"b", "c"=>NULL'),
    ("jsonb", '"{\\"a\\": 1.50}"', '{"a": 1.50}'),
    ("int4range", '"[1,8)"', "[1,8)"),
    ("numeric[]", '[{"scale": 1, "value": "Dw=="}, null]', '{"1.5",NULL}'),
    ("bytea[]", '["AP8="]', '{"\\\\x00ff"}'),
]


@pytest.mark.parametrize(("declared", "value", "text"), CAPTURED)
def test_a_value_is_the_text_that_the_database_prints(
    declared: str, value: str, text: str | None
) -> None:
    """Of what Debezium 3.6 wrote by default, without schemas."""
    type_, _ = column_type(declared)
    found = source_text(type_, given(type_, read_json(value.encode()), None, Handling())).decode()
    assert found == (text or '{"2024-02-29 12:34:56.789","infinity"}')


@pytest.mark.parametrize(
    ("declared", "value"),
    [("numeric", '"LxI="'), ("date", '"soon"'), ("bytea", '"?"'), ("bit(2)", '"?"')],
)
def test_what_is_no_such_value_is_refused(declared: str, value: str) -> None:
    """With what it should be."""
    type_, _ = column_type(declared)
    with pytest.raises((GivenError, RejectedError)):
        source_text(type_, given(type_, read_json(value.encode()), None, Handling()))


@pytest.mark.parametrize(
    "value",
    [
        '"__debezium_unavailable_value"',
        '"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="',
        '["__debezium_unavailable_value"]',
        '{"__debezium_unavailable_value": "__debezium_unavailable_value"}',
    ],
)
def test_the_placeholder_is_seen_in_each_type(value: str) -> None:
    """As a text, as bytes, in an array, in an object."""
    assert Handling().is_unavailable(read_json(value.encode()))
