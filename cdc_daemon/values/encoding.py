"""Which encoder turns a column's PostgreSQL text into JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.values.containers import array, composite, hstore, number_array
from cdc_daemon.values.scalars import (
    ALREADY_JSON,
    NUMBERS,
    SCALARS,
    Encoder,
    exact_number,
    is_known,
    text,
)

if TYPE_CHECKING:
    from cdc_daemon.events import ColumnType

_INTEGERS: Final = frozenset({"int2", "int4", "int8"})


def json_encoder(
    type: ColumnType,  # noqa: A002 - the name of the API
    *,
    exact: bool = False,
) -> Encoder | None:
    """The encoder of `type`; None where PostgreSQL's text is JSON already: integers and jsonb.

    It takes the text that pgoutput and COPY give under `SESSION_SETTINGS` (UTF-8, never NULL) and
    returns JSON on one line that means what `to_jsonb` of the value means, but that NaN and the
    infinities of numbers are null (`exact`: strings), and json keeps its digits, duplicate keys and
    their order, and a vector is an array.
    An encoder raises RejectedError where the text can't be of that type.
    """
    base = type.base
    match base.kind:
        case "array" if base.element is not None:
            return _array(base.element, exact=exact)
        case "composite":
            types = [attribute for _, attribute in base.attributes]
            encoders = [json_encoder(each, exact=exact) or bytes for each in types]
            return composite([name for name, _ in base.attributes], encoders)
        case "enum":
            return _enum(base.labels)
        case "base":
            return exact_number if exact and base.name in NUMBERS else _base(base.name)
        case _:
            return text


def _base(name: str) -> Encoder | None:
    if name in ALREADY_JSON:
        return None
    return hstore if name == "hstore" else SCALARS.get(name, text)


def unknown_types(type: ColumnType) -> set[str]:  # noqa: A002 - the name of the API
    """The names of base types within `type` whose text is only passed on as a string."""
    parts = [one for one in (type.element, *(one for _, one in type.attributes)) if one is not None]
    below = {name for part in parts for name in unknown_types(part)}
    return below | ({type.name} if type.kind == "base" and not is_known(type.name) else set())


def _array(element: ColumnType, *, exact: bool) -> Encoder:
    base = element.base
    if base.kind == "base" and base.name in _INTEGERS:
        return number_array
    return array(json_encoder(element, exact=exact) or bytes, base.delimiter.encode())


def _enum(labels: tuple[str, ...]) -> Encoder:
    """A look-up (48 ns); a label that was added since is encoded as any text."""
    known = {label.encode(): text(label.encode()) for label in labels}

    def encode(raw: bytes) -> bytes:
        return known.get(raw) or text(raw)

    return encode
