"""Rows as ExtractNewRecordState leaves them of Debezium's envelope: just the columns. Pure.

Metadata, where the connector adds any, are fields or headers with a prefix: `__op`, `__deleted`,
`__lsn` or `__source_lsn`, `__source_ts_ms`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from connectors.messages.debezium import (
    MICROSECONDS,
    MILLISECONDS,
    field_of,
    schemas_in,
)
from connectors.messages.message import MessageError, Said
from connectors.messages.versions import number_at, number_of

if TYPE_CHECKING:
    from connectors.messages.message import Parsed
    from connectors.messages.rows import Rows

_LSN: Final = ("__source_lsn", "__lsn")
_TIMES: Final = (("__source_ts_us", MICROSECONDS), ("__source_ts_ms", MILLISECONDS))


class FlattenedReader:
    """Understands them, for one table."""

    def __init__(self, rows: Rows, version: str) -> None:
        self.rows = rows
        self._version = version

    def read(self, parsed: Parsed) -> Said:
        """The row, or its end: no value, or null, as Connect's converter makes of it.

        Raises MessageError.
        """
        message, row = parsed.message, parsed.value
        if row is not None and not isinstance(row, dict):
            raise MessageError("no_row", "it is no object with the columns of a row")
        existing = row is not None and self._metadata("__op", parsed) == "r"
        version = self._version_of(parsed, existing=existing)
        if row is None or self._metadata("__deleted", parsed) == "true" or _is_delete(row):
            change = self._deleted(parsed)
        else:
            schemas = schemas_in(parsed.value_schema)
            change = self.rows.upsert(field_of(row), schemas, message.where)
        return Said(
            (change,),
            version=version,
            time=self._time(parsed),
            floor=version if existing and self._version == "lsn" else 0,
        )

    def _deleted(self, parsed: Parsed) -> Any:
        where = parsed.message.where
        if isinstance(parsed.key, dict):
            return self.rows.delete(field_of(parsed.key), schemas_in(parsed.key_schema), where)
        return self.rows.delete(field_of(parsed.value), schemas_in(parsed.value_schema), where)

    def _version_of(self, parsed: Parsed, *, existing: bool) -> int:
        message = parsed.message
        if self._version == "arrival":
            return message.number
        if parsed.value is None:
            return message.newest or 1
        if self._version != "lsn":
            return number_at(self._version, parsed)
        for name in _LSN:
            if (lsn := number_of(self._metadata(name, parsed))) is not None:
                return lsn if existing else max(lsn, message.floor)
        raise MessageError(
            "no_lsn",
            "it has neither `__source_lsn` nor `__lsn`: have the connector add it (`add.fields: "
            "source.lsn`), or set `version: arrival` for this table",
        )

    def _metadata(self, name: str, parsed: Parsed) -> Any:
        """A field, or a header."""
        if isinstance(parsed.value, dict) and name in parsed.value:
            return parsed.value[name]
        header = parsed.message.headers.get(name)
        return None if header is None else header.decode(errors="replace")

    def _time(self, parsed: Parsed) -> float:
        for name, unit in _TIMES:
            if (found := number_of(self._metadata(name, parsed))) is not None:
                return found / unit
        return parsed.message.time


def _is_delete(row: dict[str, Any]) -> bool:
    return row.get("__op") == "d"
