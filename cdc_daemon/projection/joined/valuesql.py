"""The SQL of single values: as jsonb in the form that their field has, and as document ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.config.names import id_parts
from cdc_daemon.values import Form
from cdc_daemon.values.identifiers import DIGEST_PREFIX, MAX_ID_BYTES
from cdc_daemon.values.scalars import DATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import ColumnType

_DOUBLE: Final = "1.7976931348623157e308"
"""The largest number that a field holds."""

_NUMBERS: Final = frozenset({"numeric", "float8"})
"""What may be more, or NaN; real only knows the latter, and takes the same test."""


LINE: Final = "\0"
"""Stands for a line end within what a query quotes, until its own lines are indented: no SQL has
this character."""


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return as_written("'" + text.replace("'", "''") + "'")


def identifier(name: str) -> str:
    """`name` as SQL quotes it."""
    return as_written('"' + name.replace('"', '""') + '"')


def as_written(sql: str) -> str:
    """`sql` as part of a query that is indented, and not cut short by a comment at its end."""
    return sql.replace("\n", LINE) + (LINE if "--" in sql else "")


def as_jsonb(value: str, type: ColumnType, form: Form) -> str:  # noqa: A002 - what it is
    """The SQL of what a field of this form shows.

    Forms that SQL has no equal of (ranges, shapes, addresses, years that aren't of four digits)
    are PostgreSQL's own text.
    """
    base = type.base
    name = base.name if base.kind == "base" else ""
    if name in {"vector", "halfvec"}:
        return f"{value}::text::jsonb"
    if form is Form.VALUE:
        return _representable(value, name)
    if form is Form.BASE64 and name == "bytea":
        return f"to_jsonb(translate(encode({value}, 'base64'), E'\\n', ''))"
    if form is Form.GEO_POINT and name == "point":
        return (
            f"case when abs(({value})[0]) <= 180 and abs(({value})[1]) <= 90"
            f" then jsonb_build_object('lon', ({value})[0], 'lat', ({value})[1]) end"
        )
    if form is Form.IP_RANGE and name in {"inet", "cidr"}:
        return f"to_jsonb({value}::text)"
    return f"to_jsonb({value})"


def _representable(value: str, name: str) -> str:
    """NaN and the infinities are null."""
    if name in _NUMBERS:
        return f"case when {value} between -{_DOUBLE} and {_DOUBLE} then to_jsonb({value}) end"
    if name == "float4":
        return f"case when {value} between '-3.5e38'::float8 and 3.5e38 then to_jsonb({value}) end"
    if name in DATES:
        return f"case when isfinite({value}) then to_jsonb({value}) end"
    return f"to_jsonb({value})"


def document_id(columns: Sequence[str], template: str | None) -> str:
    """The SQL of the document id that these columns make."""
    texts = id_parts(template)[::2] if template else ["", *["|"] * (len(columns) - 1), ""]
    parts = [literal(texts[0])] if texts[0] else []
    for column, following in zip(columns, texts[1:], strict=True):
        end = following[:1] if template else "|"
        parts.append(_marked(f"{column}::text", end) if len(columns) > 1 else f"{column}::text")
        parts += [literal(following)] if following else []
    joined = " || ".join(parts)
    prefix = DIGEST_PREFIX.decode()
    return (
        f"case when octet_length({joined}) between 1 and {MAX_ID_BYTES}"
        f" and not starts_with({joined}, '{prefix}') then {joined}"
        f" else '{prefix}' || encode(sha256(convert_to({joined}, 'UTF8')), 'hex') end"
    )


def _marked(part: str, end: str) -> str:
    """With what ends it escaped within."""
    for one in ("\\", end):
        if one:
            part = f"replace({part}, {literal(one)}, {literal(chr(92) + one)})"
    return part
