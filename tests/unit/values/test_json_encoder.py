"""PostgreSQL text to JSON, type by type; tests/property asks a server about the same."""

from __future__ import annotations

import pytest

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import ColumnType
from cdc_daemon.values import json_encoder


def array(element: ColumnType) -> ColumnType:
    """The array type of `element`."""
    return ColumnType(f"_{element.name}", "array", element=element)


TEXT = ColumnType("text")
NUMERIC = ColumnType("numeric")
PAIR = ColumnType("pair", "composite", attributes=(("a", ColumnType("int4")), ('b"', TEXT)))


@pytest.mark.parametrize("name", ["int2", "int4", "int8", "jsonb"])
def test_what_is_json_already_needs_no_encoder(name: str) -> None:
    """Integers and jsonb cost nothing in the hot path, under a domain too."""
    assert json_encoder(ColumnType(name)) is None
    assert json_encoder(ColumnType("d", "domain", element=ColumnType(name))) is None


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("bool", b"t", b"true"),
        ("bool", b"f", b"false"),
        ("numeric", b"-0.10", b"-0.10"),
        ("numeric", b"123456789012345678901234567890.5", b"123456789012345678901234567890.5"),
        ("numeric", b"NaN", b"null"),
        ("float8", b"1e+20", b"1e+20"),
        ("float8", b"-Infinity", b"null"),
        ("float4", b"-0", b"-0"),
        ("text", b"", b'""'),
        ("text", b'say "hi" \\ \n\x01', b'"say \\"hi\\" \\\\ \\n\\u0001"'),
        ("text", "Hôtel 🏨".encode(), '"Hôtel 🏨"'.encode()),
        ("bpchar", b"ab  ", b'"ab  "'),
        ("date", b"0044-03-15 BC", b'"0044-03-15 BC"'),
        ("date", b"infinity", b'"infinity"'),
        ("timestamp", b"2020-01-02 03:04:05.6", b'"2020-01-02T03:04:05.6"'),
        ("timestamp", b"2020-01-02 03:04:05 BC", b'"2020-01-02T03:04:05 BC"'),
        ("timestamp", b"-infinity", b'"-infinity"'),
        ("timestamptz", b"2020-01-02 03:04:05+00", b'"2020-01-02T03:04:05+00:00"'),
        ("timestamptz", b"12345-01-02 03:04:05.6+00 BC", b'"12345-01-02T03:04:05.6+00:00 BC"'),
        ("timestamptz", b"2020-01-02 03:04:05+05:30", b'"2020-01-02T03:04:05+05:30"'),
        ("timestamptz", b"infinity", b'"infinity"'),
        ("timetz", b"10:00:00.1+03", b'"10:00:00.1+03"'),
        ("interval", b"P1Y-2DT3H", b'"P1Y-2DT3H"'),
        ("bytea", b"\\x00ff", b'"\\\\x00ff"'),
        ("bytea", b"\\x", b'"\\\\x"'),
        ("oid", b"1", b'"1"'),
        ("money", b"$1,000.00", b'"$1,000.00"'),
        ("int2vector", b"1 2", b"[1,2]"),
        ("int2vector", b"", b"[]"),
        ("oidvector", b"1 2", b'["1","2"]'),
        ("oidvector", b"", b"[]"),
        ("hstore", b'"a\\"b"=>"1", "c"=>NULL', b'{"a\\"b":"1","c":null}'),
        ("hstore", b"", b"{}"),
        ("some_type_of_an_extension", b'x"y', b'"x\\"y"'),
    ],
)
def test_scalars(name: str, raw: bytes, expected: bytes) -> None:
    """Each base type has the form that `to_jsonb` gives it; NaN and infinities are null."""
    encode = json_encoder(ColumnType(name))
    assert encode is not None
    assert encode(raw) == expected


def test_json_comes_out_on_one_line_with_every_digit() -> None:
    """NDJSON allows no line end within a document; digits and duplicate keys stay."""
    encode = json_encoder(ColumnType("json"))
    assert encode is not None
    assert encode(b'{"a":\r\n 1.00,\n"a" : 1e400}') == b'{"a": 1.00,"a" : 1e400}'
    unchanged = b'{"a" : "\\n"}'
    assert encode(unchanged) is unchanged


@pytest.mark.parametrize(
    ("element", "raw", "expected"),
    [
        (ColumnType("int4"), b"{}", b"[]"),
        (ColumnType("int4"), b"{1,NULL,-3}", b"[1,null,-3]"),
        (ColumnType("int4"), b"[0:1][2:2]={{1},{NULL}}", b"[[1],[null]]"),
        (NUMERIC, b"{1.50,NaN,NULL}", b"[1.50,null,null]"),
        (TEXT, b"{a,b}", b'["a","b"]'),
        (TEXT, b"{}", b"[]"),
        (TEXT, b'{"NULL",NULL,xNULL,""}', b'["NULL",null,"xNULL",""]'),
        (TEXT, b'{{"a,b","{}"},{"\\"","\\\\"}}', b'[["a,b","{}"],["\\"","\\\\"]]'),
        (TEXT, b"[2:3]={a,b}", b'["a","b"]'),
        (TEXT, b'{";",;}', b'[";",";"]'),
        (TEXT, b'{"a\nb"}', b'["a\\nb"]'),
        (ColumnType("bool"), b"{t,f}", b"[true,false]"),
        (
            ColumnType("box", delimiter=";"),
            b"{(1,1),(0,0);(2,2),(1,1)}",
            b'["(1,1),(0,0)","(2,2),(1,1)"]',
        ),
        (ColumnType("box", delimiter=";"), b"{{(1,1),(0,0)};{NULL}}", b'[["(1,1),(0,0)"],[null]]'),
        (ColumnType("jsonb"), b'{"{\\"a\\": 1}",NULL,"null"}', b'[{"a": 1},null,null]'),
        (ColumnType("json"), b'{"[1,\n2]"}', b"[[1,2]]"),
        (ColumnType("d", "domain", element=NUMERIC), b"{1.0}", b"[1.0]"),
        (ColumnType("e", "enum", labels=("a", 'b"')), b'{a,"b\\""}', b'["a","b\\""]'),
        (PAIR, b'{"(1,\\"x y\\")","(,)"}', b'[{"a":1,"b\\"":"x y"},{"a":null,"b\\"":null}]'),
    ],
)
def test_arrays(element: ColumnType, raw: bytes, expected: bytes) -> None:
    """Nested JSON arrays, elements as their own type says; lower bounds are lost."""
    encode = json_encoder(array(element))
    assert encode is not None
    assert encode(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"(1,abc)", b'{"a":1,"b\\"":"abc"}'),
        (b"(,)", b'{"a":null,"b\\"":null}'),
        (b'(,"")', b'{"a":null,"b\\"":""}'),
        (b'(1,"a,""b""\\\\)")', b'{"a":1,"b\\"":"a,\\"b\\"\\\\)"}'),
    ],
)
def test_composites(raw: bytes, expected: bytes) -> None:
    """An object with every attribute; nothing is NULL, a pair of quotes is an empty string."""
    encode = json_encoder(PAIR)
    assert encode is not None
    assert encode(raw) == expected


def test_a_composite_without_attributes_is_an_empty_object() -> None:
    """PostgreSQL allows a type without attributes."""
    encode = json_encoder(ColumnType("nothing", "composite"))
    assert encode is not None
    assert encode(b"()") == b"{}"


@pytest.mark.parametrize("raw", [b"(1)", b"(1,a,2)", b'(1,"a",)'])
def test_a_composite_that_changed_is_rejected(raw: bytes) -> None:
    """A value with other attributes than are known is never guessed at."""
    encode = json_encoder(PAIR)
    assert encode is not None
    with pytest.raises(RejectedError, match="attributes"):
        encode(raw)


def test_an_enum_label_that_was_added_since_is_encoded() -> None:
    """The labels are a short cut, not a limit."""
    encode = json_encoder(ColumnType("mood", "enum", labels=("sad",)))
    assert encode is not None
    assert [encode(b"sad"), encode(b'"new"')] == [b'"sad"', b'"\\"new\\""']


@pytest.mark.parametrize("kind", ["range", "multirange"])
def test_ranges_are_text(kind: str) -> None:
    """As to `to_jsonb`; the quotes within are escaped."""
    encode = json_encoder(ColumnType("r", kind, element=ColumnType("tstzrange")))  # type: ignore[arg-type]
    assert encode is not None
    assert encode(b'["2020-01-01 00:00:00+00",)') == b'"[\\"2020-01-01 00:00:00+00\\",)"'


def test_text_that_is_not_utf8_is_rejected() -> None:
    """A database of encoding SQL_ASCII can hold such a value: its row is a dead letter."""
    encode = json_encoder(TEXT)
    assert encode is not None
    with pytest.raises(RejectedError, match="not UTF-8"):
        encode(b"\xff")
