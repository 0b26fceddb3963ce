"""Which form a field takes, and which pairs of types are refused."""

from __future__ import annotations

import pytest

from cdc_daemon.errors import ConfigurationError
from cdc_daemon.events import ColumnType
from cdc_daemon.ports import FieldSpec
from cdc_daemon.values import Form
from connectors.opensearch.forms import form_of

DATE_RANGE = ColumnType("daterange", "range", element=ColumnType("date"))
TEXT_RANGE = ColumnType("textrange", "range", element=ColumnType("text"))
MULTIRANGE = ColumnType(
    "int4multirange",
    "multirange",
    element=ColumnType("int4range", "range", element=ColumnType("int4")),
)
PAIR = ColumnType("pair", "composite", attributes=(("a", ColumnType("date")),))


def array(name: str) -> ColumnType:
    """The array type of a base type."""
    return ColumnType(f"_{name}", "array", element=ColumnType(name))


@pytest.mark.parametrize(
    ("column_type", "mapping", "form"),
    [
        (ColumnType("numeric"), {}, Form.VALUE),
        (ColumnType("numeric"), {"type": "keyword"}, Form.TEXT),
        (ColumnType("date"), {}, Form.VALUE),
        (ColumnType("date"), {"type": "date_nanos"}, Form.DATE_NANOS),
        (PAIR, {}, Form.VALUE),
        (PAIR, {"type": "object", "enabled": False}, Form.TEXT),
        (ColumnType("point"), {}, Form.TEXT),
        (array("point"), {"type": "geo_point"}, Form.GEO_POINT),
        (ColumnType("text"), {"type": "geo_point"}, Form.VALUE),
        (ColumnType("box"), {"type": "geo_shape"}, Form.GEO_SHAPE),
        (ColumnType("bytea"), {"type": "binary"}, Form.BASE64),
        (ColumnType("bytea"), {}, Form.TEXT),
        (DATE_RANGE, {"type": "date_range"}, Form.RANGE),
        (MULTIRANGE, {"type": "long_range"}, Form.RANGE),
        (MULTIRANGE, {}, Form.TEXT),
        (ColumnType("inet"), {"type": "ip"}, Form.IP),
        (ColumnType("cidr"), {"type": "ip_range"}, Form.IP_RANGE),
        (ColumnType("inet"), {}, Form.TEXT),
        (None, {}, Form.VALUE),
    ],
)
def test_the_two_types_decide(
    column_type: ColumnType | None, mapping: dict[str, object], form: Form
) -> None:
    """The column's under arrays and domains, and the field's, by default or as written."""
    assert form_of(FieldSpec("f", column_type, mapping)) is form
    if column_type is not None:
        over = ColumnType("d", "domain", element=column_type)
        assert form_of(FieldSpec("f", over, mapping)) is form


@pytest.mark.parametrize(
    ("column_type", "field_type", "said"),
    [
        (ColumnType("circle"), "geo_shape", "a circle is no geo_shape"),
        (ColumnType("line"), "geo_shape", "a line is no geo_shape"),
        (array("box"), "geo_point", "a box is no geo_point: that takes a point"),
        (ColumnType("cidr"), "ip", "take type: ip_range or keyword"),
        (ColumnType("money"), "double", "lc_monetary"),
        (DATE_RANGE, "integer_range", "take type: date_range"),
        (MULTIRANGE, "date_range", "double_range or float_range or integer_range or long_range"),
        (TEXT_RANGE, "date_range", "take type: keyword"),
    ],
)
def test_what_can_not_go_together_is_refused(
    column_type: ColumnType, field_type: str, said: str
) -> None:
    """Beforehand, with what to write instead."""
    with pytest.raises(ConfigurationError, match=said):
        form_of(FieldSpec("f", column_type, {"type": field_type}))
