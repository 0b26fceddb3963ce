"""What a transaction has written, collected to be posted: rows as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from math import isfinite
from typing import Any, Final
from uuid import UUID

from cdc_daemon.client.errors import ClientError

_AS_TEXT: Final = (
    *(Decimal, UUID, IPv4Address, IPv4Interface, IPv4Network),
    *(IPv6Address, IPv6Interface, IPv6Network),
)
"""Python's text of them is PostgreSQL's; a Decimal's keeps its digits, where a number would not."""
_PLAIN: Final = (str, int, bool, type(None))


class Changes:
    """Of one transaction, in their order: what its statements return, not what they were given.

    Only rows that the transaction has written: of others it holds no lock, so that its version says
    nothing of them.
    """

    def __init__(self) -> None:
        self._changes: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._changes)

    def upsert(
        self,
        table: str,
        row: Mapping[str, Any],
        *,
        formerly: Mapping[str, Any] | None = None,
    ) -> None:
        """The row is there, as it is in `row` (`returning *`); `formerly`: its key until now."""
        change = {"table": table, "op": "upsert", "row": as_json(row)}
        if formerly is not None:
            change["key"] = as_json(formerly)
        self._changes.append(change)

    def delete(self, table: str, key: Mapping[str, Any]) -> None:
        """The row of this key is gone: it was there, and the transaction has deleted it."""
        self._changes.append({"table": table, "op": "delete", "key": as_json(key)})

    def body(
        self, version: str | None, token: str | None = None, *, wait: str, timeout: float
    ) -> bytes:
        """The request that posts them; `token`: up to where the stream is waited for."""
        transaction: dict[str, Any] = {"changes": self._changes}
        if version is not None:
            transaction["version"] = version
        if token is not None:
            transaction["token"] = token
        request = {"transactions": [transaction], "wait": wait, "timeout": f"{timeout:.3f}"}
        return json.dumps(request, allow_nan=False).encode()


def as_json(value: Any) -> Any:
    """A value as the daemon reads it. Raises ClientError where nobody knows how."""
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, Sequence):
        return [as_json(each) for each in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else _not_finite(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, _AS_TEXT):
        return str(value)
    raise ClientError(
        f"a {type(value).__name__} has no form in JSON that the daemon reads: have the statement "
        "return it as text (returning to_jsonb(...) or column::text)"
    )


def _not_finite(value: float) -> str:
    """As PostgreSQL writes it."""
    if value != value:  # noqa: PLR0124 - that is what NaN is
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _duration(value: timedelta) -> str:
    """ISO 8601: days and seconds, each with its own sign."""
    microseconds = value.seconds * 1_000_000 + value.microseconds
    return f"P{value.days}DT{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}S"
