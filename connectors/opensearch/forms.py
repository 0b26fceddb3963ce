"""Which form of a PostgreSQL value a field of OpenSearch takes, by the types of both. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import ConfigurationError
from cdc_daemon.values import Form
from cdc_daemon.values.geometry import POINT, SHAPES
from cdc_daemon.values.ranges import SPANNED, spanned
from cdc_daemon.values.scalars import DATES
from connectors.opensearch.mapping import field_mapping

if TYPE_CHECKING:
    from cdc_daemon.events import ColumnType
    from cdc_daemon.ports import FieldSpec

HOLD_TEXT: Final = frozenset(
    {
        *("keyword", "text", "wildcard", "constant_keyword", "match_only_text"),
        *("search_as_you_type", "completion", "token_count"),
    }
)
NUMBERS: Final = frozenset(
    {
        *("byte", "short", "integer", "long", "unsigned_long"),
        *("half_float", "float", "double", "scaled_float"),
    }
)
NUMBER_RANGES: Final = frozenset({"integer_range", "long_range", "float_range", "double_range"})
_GEOMETRIC: Final = SHAPES | {"line", "circle"}


def form_of(field: FieldSpec) -> Form:
    """The form that `field` takes. Raises ConfigurationError where the two types don't go together.

    What nothing is known of is left to OpenSearch: it says what it doesn't take.
    """
    if field.type is None:
        return Form.VALUE
    mapping = field_mapping(field)
    kind = str(mapping.get("type", "object"))
    held = _held(field.type)
    if kind in HOLD_TEXT or (kind == "object" and mapping.get("enabled") is False):
        return Form.TEXT
    if held.kind in {"range", "multirange"}:
        return _range(kind, held)
    if held.kind != "base":
        return Form.VALUE
    return _base(kind, held.name)


def _held(type: ColumnType) -> ColumnType:  # noqa: A002 - what it is
    """Under all domains and arrays: every field may hold several values."""
    base = type.base
    return _held(base.element) if base.kind == "array" and base.element is not None else base


def _base(kind: str, name: str) -> Form:
    if kind.startswith("geo_") and name in _GEOMETRIC:
        return _geometry(kind, name)
    if name in {"inet", "cidr"}:
        return _address(kind, name)
    if name == "bytea" and kind == "binary":
        return Form.BASE64
    if name in DATES and kind == "date_nanos":
        return Form.DATE_NANOS
    if name == "money" and kind in NUMBERS:
        raise ConfigurationError(
            f"money is text as the server's lc_monetary writes it, no number for type {kind}: take "
            "type: keyword, or make it a number in the source: alter table ... alter column ... "
            "type numeric"
        )
    return Form.VALUE


def _geometry(kind: str, name: str) -> Form:
    if kind == "geo_point" and name == POINT:
        return Form.GEO_POINT
    if kind == "geo_shape" and name in SHAPES:
        return Form.GEO_SHAPE
    takes = "a point" if kind == "geo_point" else "a point, lseg, path, polygon or box"
    raise ConfigurationError(f"a {name} is no {kind}: that takes {takes}. Take type: keyword")


def _address(kind: str, name: str) -> Form:
    if kind == "ip_range":
        return Form.IP_RANGE
    if kind == "ip" and name == "cidr":
        raise ConfigurationError("a cidr is a network, no address: take type: ip_range or keyword")
    return Form.IP if kind == "ip" else Form.VALUE


def _range(kind: str, held: ColumnType) -> Form:
    if not kind.endswith("_range"):
        return Form.VALUE
    over = spanned(held)
    fits = over is not None and over.kind == "base" and over.name in SPANNED
    wanted = {"date_range"} if over is not None and over.name in DATES else NUMBER_RANGES
    if fits and kind in wanted:
        return Form.RANGE
    takes = f"take type: {' or '.join(sorted(wanted))}" if fits else "take type: keyword"
    raise ConfigurationError(f"a {held.declared or held.name} is no {kind}: {takes}")
