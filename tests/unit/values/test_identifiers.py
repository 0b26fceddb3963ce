"""Document ids from key values."""

from __future__ import annotations

import hashlib
import json

import pytest

from cdc_daemon.errors import ConfigurationError, RejectedError
from cdc_daemon.events import ColumnType
from cdc_daemon.values import id_encoder, join_id


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("int4", b"12", b'"12"'),
        ("numeric", b"1.50", b'"1.50"'),
        ("float8", b"1e+20", b'"1e+20"'),
        ("bool", b"true", b'"true"'),
        ("text", b'"a\\"b"', b'"a\\"b"'),
        ("text", b'"null"', b'"null"'),
        ("bpchar", b'"ab  "', b'"ab"'),
        ("bpchar", b'"  "', b'""'),
        ("timestamp", b'"2020-01-02T03:04:05"', b'"2020-01-02 03:04:05"'),
        ("timestamptz", b'"2020-01-02T03:04:05+00:00"', b'"2020-01-02 03:04:05+00"'),
        ("timestamptz", b'"2020-01-02T03:04:05+00:00 BC"', b'"2020-01-02 03:04:05+00 BC"'),
        ("timestamptz", b'"infinity"', b'"infinity"'),
        ("inet", b'"10.0.0.1"', b'"10.0.0.1/32"'),
        ("inet", b'"10.0.0.1/8"', b'"10.0.0.1/8"'),
        ("inet", b'"::1"', b'"::1/128"'),
        ("jsonb", b'{"a": 1}', b'"{\\"a\\": 1}"'),
        ("uuid", b'"a0ee"', b'"a0ee"'),
    ],
)
def test_an_id_is_the_value_as_text(name: str, value: bytes, expected: bytes) -> None:
    """What SQL's `::text` gives, which isn't always what the output function gives."""
    column = ColumnType(name)
    assert id_encoder(column)(value) == expected
    assert id_encoder(ColumnType("d", "domain", element=column))(value) == expected


@pytest.mark.parametrize(
    "column",
    [
        ColumnType("json"),
        ColumnType("xml"),
        ColumnType("hstore"),
        ColumnType("_int4", "array", element=ColumnType("int4"), declared="integer[]"),
        ColumnType("pair", "composite"),
    ],
)
def test_types_without_an_exact_text_are_refused(column: ColumnType) -> None:
    """What can't be derived exactly is a mistake in the configuration."""
    with pytest.raises(ConfigurationError, match="document id"):
        id_encoder(column)


@pytest.mark.parametrize(
    "name", ["int4", "text", "numeric", "bpchar", "timestamptz", "inet", "jsonb"]
)
def test_null_is_no_id(name: str) -> None:
    """NULL, and NaN which is null in JSON, can't name a document."""
    with pytest.raises(RejectedError, match="NULL"):
        id_encoder(ColumnType(name))(b"null")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([b'"a|b\\\\"'], "a|b\\"),
        ([b'"1"', b'"2"'], "1|2"),
        ([b'"1|"', b'"2"'], "1\\||2"),
        ([b'"1\\\\"', b'"|2"'], "1\\\\|\\|2"),
        ([b'"\\""', b'"\\n"'], '"|\n'),
        ([b'""', b'""'], "|"),
        ([b'"' + b"x" * 512 + b'"'], "x" * 512),
        ([b'"' + b'\\"' * 512 + b'"'], '"' * 512),
    ],
)
def test_parts_are_joined_without_ambiguity(parts: list[bytes], expected: str) -> None:
    """One part stays as it is; in several, bars and backslashes are escaped."""
    assert json.loads(join_id(parts)) == expected


@pytest.mark.parametrize("text", ["", "x" * 513, "é" * 257, "sha256:", "sha256:" + "0" * 64])
def test_what_opensearch_refuses_becomes_a_digest(text: str) -> None:
    """Empty or over 512 bytes; also what looks like a digest, so that two keys share no id."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    part = json.dumps(text, ensure_ascii=False).encode()
    assert json.loads(join_id([part])) == f"sha256:{digest}"
