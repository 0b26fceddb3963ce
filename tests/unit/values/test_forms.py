"""The forms that fields ask for; tests/integration/opensearch has them in a real index."""

from __future__ import annotations

import pytest

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import ColumnType, Special
from cdc_daemon.values import Form, SpecialValueError, unknown_types, watched_encoder
from cdc_daemon.values.forms import conversion

PAIR = ColumnType(
    "pair",
    "composite",
    attributes=(
        ("a b", ColumnType("float8")),
        ("day", ColumnType("date")),
        ("said", ColumnType("text")),
    ),
)
INT_RANGE = ColumnType("int4range", "range", element=ColumnType("int4"))


def array(element: ColumnType) -> ColumnType:
    """The array type of `element`."""
    return ColumnType(f"_{element.name}", "array", element=element)


def domain(base: ColumnType) -> ColumnType:
    """A domain over `base`."""
    return ColumnType("d", "domain", element=base)


def shown(form: Form, column_type: ColumnType, raw: bytes) -> tuple[bytes, list[str]]:
    """What a field of that form shows of PostgreSQL's text, and what it can't hold of it."""
    refused: list[str] = []

    def refuse(why: str) -> bytes:
        refused.append(why)
        return b"null"

    try:
        value = (watched_encoder(column_type) or bytes)(raw)
    except SpecialValueError as error:
        value = error.value
    always, special = conversion(form, column_type, refuse)
    if always is not None:
        return always(value), refused
    if isinstance(value, Special):
        return (special or bytes)(value.exact), refused
    return value, refused


@pytest.mark.parametrize(
    ("form", "column_type", "raw", "expected", "refused"),
    [
        (Form.VALUE, ColumnType("date"), b"2024-02-29", b'"2024-02-29"', 0),
        (Form.VALUE, domain(ColumnType("date")), b"0044-03-15 BC", b'"-0043-03-15"', 0),
        (Form.VALUE, ColumnType("date"), b"0001-12-31 BC", b'"0000-12-31"', 0),
        (Form.VALUE, ColumnType("date"), b"10000-01-01", b'"+10000-01-01"', 0),
        (Form.VALUE, ColumnType("date"), b"-infinity", b"null", 1),
        (
            Form.VALUE,
            ColumnType("timestamp"),
            b"12345-01-02 03:04:05.6 BC",
            b'"-12344-01-02T03:04:05.6"',
            0,
        ),
        (
            Form.VALUE,
            ColumnType("timestamptz"),
            b"10000-01-02 03:04:05+00",
            b'"+10000-01-02T03:04:05+00:00"',
            0,
        ),
        (Form.VALUE, ColumnType("timestamptz"), b"infinity", b"null", 1),
        (
            Form.VALUE,
            array(ColumnType("date")),
            b'{{2024-01-01,infinity},{NULL,"0044-03-15 BC"}}',
            b'[["2024-01-01",null],[null,"-0043-03-15"]]',
            1,
        ),
        (Form.VALUE, ColumnType("numeric"), b"NaN", b"null", 1),
        (Form.VALUE, ColumnType("float4"), b"-Infinity", b"null", 1),
        (Form.VALUE, ColumnType("numeric"), b"9" * 309, b"null", 1),
        (Form.VALUE, ColumnType("numeric"), b"9" * 308, b"9" * 308, 0),
        (Form.VALUE, ColumnType("numeric"), b"0." + b"1" * 400, b"0." + b"1" * 400, 0),
        (Form.VALUE, array(ColumnType("numeric")), b"{1.50,NaN}", b"[1.50,null]", 1),
        (
            Form.VALUE,
            PAIR,
            b'(NaN,"0044-03-15 BC","NaN ""x""")',
            b'{"a b":null,"day":"-0043-03-15","said":"NaN \\"x\\""}',
            1,
        ),
        (
            Form.VALUE,
            array(domain(PAIR)),
            b'{"(1.5,infinity,)",NULL}',
            b'[{"a b":1.5,"day":null,"said":null},null]',
            1,
        ),
        (Form.TEXT, ColumnType("numeric"), b"NaN", b'"NaN"', 0),
        (Form.TEXT, array(ColumnType("float8")), b"{1,Infinity}", b'[1,"Infinity"]', 0),
        (Form.TEXT, ColumnType("date"), b"0044-03-15 BC", b'"0044-03-15 BC"', 0),
        (Form.DATE_NANOS, ColumnType("date"), b"1970-01-01", b'"1970-01-01"', 0),
        (Form.DATE_NANOS, ColumnType("date"), b"1969-12-31", b"null", 1),
        (Form.DATE_NANOS, ColumnType("date"), b"2262-04-12", b"null", 1),
        (Form.DATE_NANOS, ColumnType("date"), b"19700-01-01", b"null", 1),
        (Form.DATE_NANOS, ColumnType("date"), b"2000-01-01 BC", b"null", 1),
        (Form.DATE_NANOS, ColumnType("timestamp"), b"infinity", b"null", 1),
        (Form.BASE64, ColumnType("bytea"), b"\\x", b'""', 0),
        (Form.BASE64, array(ColumnType("bytea")), b'{"\\\\xdead",NULL}', b'["3q0=",null]', 0),
        (Form.GEO_POINT, ColumnType("point"), b"(-180,90)", b'{"lon":-180,"lat":90}', 0),
        (Form.GEO_POINT, ColumnType("point"), b"(180.1,0)", b"null", 1),
        (Form.GEO_POINT, ColumnType("point"), b"(NaN,0)", b"null", 1),
        (Form.GEO_SHAPE, ColumnType("box"), b"(1,95),(0,0)", b"null", 1),
        (Form.GEO_SHAPE, array(ColumnType("point")), b"{}", b"null", 0),
        (
            Form.GEO_POINT,
            array(ColumnType("point")),
            b'{{NULL,"(1,2)"},{"(1,95)","(3,4)"}}',
            b'[{"lon":1,"lat":2},{"lon":3,"lat":4}]',
            1,
        ),
        (
            Form.GEO_SHAPE,
            ColumnType("box"),
            b"(0,2),(-0,1)",
            b'{"type":"LineString","coordinates":[[0,1],[-0,2]]}',
            0,
        ),
        (
            Form.GEO_SHAPE,
            ColumnType("lseg"),
            b"[(0,-0),(-0,0)]",
            b'{"type":"Point","coordinates":[0,-0]}',
            0,
        ),
        (Form.RANGE, INT_RANGE, b"[1,5)", b'{"gte":1,"lt":5}', 0),
        (Form.RANGE, INT_RANGE, b"(,)", b"{}", 0),
        (Form.RANGE, INT_RANGE, b"empty", b"null", 0),
        (
            Form.RANGE,
            ColumnType("nummultirange", "multirange", element=INT_RANGE),
            b"{[1,3),(4,)}",
            b'[{"gte":1,"lt":3},{"gt":4}]',
            0,
        ),
        (
            Form.RANGE,
            ColumnType("tsrange", "range", element=domain(ColumnType("timestamp"))),
            b'["0044-03-15 10:00:00 BC",infinity]',
            b'{"gte":"-0043-03-15T10:00:00"}',
            0,
        ),
        (
            Form.RANGE,
            ColumnType("daterange", "range", element=ColumnType("date")),
            b"[infinity,)",
            b"null",
            1,
        ),
        (Form.IP, ColumnType("inet"), b"10.0.0.1/8", b"null", 1),
        (Form.IP_RANGE, ColumnType("inet"), b"::1", b'"::1/128"', 0),
        (Form.IP_RANGE, ColumnType("inet"), b"::ffff:1.2.3.4", b'"1.2.3.4/32"', 0),
        (Form.IP_RANGE, ColumnType("cidr"), b"::ffff:10.0.0.0/104", b'"10.0.0.0/8"', 0),
        (Form.IP_RANGE, ColumnType("inet"), b"::ffff:1.2.3.4/68", b"null", 1),
    ],
)
def test_a_field_shows_values_in_its_form(
    form: Form, column_type: ColumnType, raw: bytes, expected: bytes, refused: int
) -> None:
    """Each value as the form has it, and what it can't hold is refused one by one."""
    value, reasons = shown(form, column_type, raw)
    assert (value, len(reasons)) == (expected, refused)


def test_a_special_value_is_plain_json_for_others() -> None:
    """Ids and expressions see what they ever saw: null for NaN, text for infinity."""
    for name, raw, seen, exact in (
        ("numeric", b"NaN", b"null", b'"NaN"'),
        ("date", b"infinity", b'"infinity"', b'"infinity"'),
    ):
        encode = watched_encoder(ColumnType(name))
        assert encode is not None
        with pytest.raises(SpecialValueError) as caught:
            encode(raw)
        assert caught.value.value == seen
        assert caught.value.value.exact == exact
        assert isinstance(caught.value, RejectedError)


def test_unknown_types_are_named() -> None:
    """Wherever they are within a type; known ones aren't, whether text or not."""
    strange = ColumnType("geometry")
    pair = ColumnType("p", "composite", attributes=(("a", array(domain(strange))),))
    assert unknown_types(pair) == {"geometry"}
    for name in ("text", "tsvector", "regclass", "citext", "vector", "hstore", "jsonb", "money"):
        assert unknown_types(array(ColumnType(name))) == set()
    assert unknown_types(ColumnType("mood", "enum")) == set()
