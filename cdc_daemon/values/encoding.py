"""Which encoder turns a column's PostgreSQL text into JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.values.containers import array, composite, hstore, number_array
from cdc_daemon.values.scalars import ALREADY_JSON, SCALARS, Encoder, text

if TYPE_CHECKING:
    from cdc_daemon.events import ColumnType

_INTEGERS: Final = frozenset({"int2", "int4", "int8"})


def json_encoder(type: ColumnType) -> Encoder | None:  # noqa: A002 - the name of the API
    """The encoder of `type`; None where PostgreSQL's text is JSON already: integers and jsonb.

    It takes the text that pgoutput and COPY give under `SESSION_SETTINGS` (UTF-8, never NULL) and
    returns JSON on one line that means what `to_jsonb` of the value means, but that NaN and the
    infinities of numbers are null, and json keeps its digits, duplicate keys and their order.
    An encoder raises RejectedError where the text can't be of that type.
    """
    base = type.base
    match base.kind:
        case "array" if base.element is not None:
            return _array(base.element)
        case "composite":
            encoders = [json_encoder(attribute) or bytes for _, attribute in base.attributes]
            return composite([name for name, _ in base.attributes], encoders)
        case "enum":
            return _enum(base.labels)
        case "base":
            return _base(base.name)
        case _:
            return text


def _base(name: str) -> Encoder | None:
    if name in ALREADY_JSON:
        return None
    return hstore if name == "hstore" else SCALARS.get(name, text)


def _array(element: ColumnType) -> Encoder:
    base = element.base
    if base.kind == "base" and base.name in _INTEGERS:
        return number_array
    delimiter = b";" if base.kind == "base" and base.name == "box" else b","
    return array(json_encoder(element) or bytes, delimiter)


def _enum(labels: tuple[str, ...]) -> Encoder:
    """A look-up (48 ns); a label that was added since is encoded as any text."""
    known = {label.encode(): text(label.encode()) for label in labels}

    def encode(raw: bytes) -> bytes:
        return known.get(raw) or text(raw)

    return encode
