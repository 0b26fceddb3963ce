"""The error of an expression that can't be compiled, with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.errors import ConfigurationError

if TYPE_CHECKING:
    from cdc_daemon.events import Relation


class ExpressionError(ConfigurationError):
    """The expression is not SQL, not of the supported subset, or doesn't fit the relation."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        """Characters from the beginning of the expression to the mistake."""


def excluded_column(relation: Relation, name: str) -> str:
    """What to say of a column that the source keeps to itself."""
    return (
        f"column {name} of table {relation.qualified_name} is excluded by the `source` section, by "
        "a rule for it or for a column that it is generated from: take it out of the mapping, or "
        "change the rule there"
    )
