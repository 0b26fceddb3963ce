"""Which of two messages of a row is newer: the number that they bring. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.values.given import Digits
from connectors.messages.message import MessageError
from connectors.messages.paths import read_path

if TYPE_CHECKING:
    from connectors.messages.message import Parsed

HIGHEST: Final = 1 << 62
"""OpenSearch takes versions up to 2^63."""


def number_of(value: Any) -> int | None:
    """A whole number above 0; None where it is none."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    if not isinstance(text, Digits | str) or not text.isascii() or not text.isdigit():
        return None
    return number if 0 < (number := int(text[:20])) < HIGHEST else None


def number_at(path: str, parsed: Parsed) -> int:
    """The version at a path. Raises MessageError."""
    found = number_of(read_path(path).of(roots_of(parsed)))
    if found is None:
        raise MessageError("no_version", f"there is no whole number above 0 at {path}")
    return found


def roots_of(parsed: Parsed) -> dict[str, Any]:
    """What paths begin from."""
    return {
        "$": parsed.value,
        "key": parsed.key,
        "headers": {
            name: value.decode(errors="replace") for name, value in parsed.message.headers.items()
        },
    }
