"""Rows from the texts of their values, as the server wrote them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.errors import RejectedError
from connectors.postgres.rowplan import column_plans
from connectors.postgres.tupleplan import PASS, TYPE_CHANGED, misfit, tolerant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Column, Relation, Row
    from connectors.postgres.tupleplan import ColumnPlan

__all__ = ["TYPE_CHANGED", "TextRows", "stand_in"]


class TextRows:
    """Those of one relation."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._plans = column_plans(columns)
        self._tolerant = tolerant(self._plans)

    def row(self, texts: Sequence[str | None]) -> tuple[Row, bool]:
        """The row, and whether it holds `Unreadable` or `Special`.

        Raises RejectedError, for the reason TYPE_CHANGED, where a value isn't of its type.
        """
        try:
            return _row(texts, self._plans), False
        except RejectedError:
            return _row(texts, self._tolerant), True


def stand_in(relation: Relation, why: str) -> Relation:
    """Of a table that isn't what `relation` says: changes of it hold no values."""
    return misfit(relation, 0, why).relation


def _row(texts: Sequence[str | None], plans: Sequence[ColumnPlan]) -> Row:
    row: Row = []
    for text, plan in zip(texts, plans, strict=True):
        if text is None:
            row.append(b"null")
        elif plan is PASS:
            row.append(text.encode())
        else:
            row.append(plan(text.encode()))  # type: ignore[misc,operator]  # never None here
    return row
