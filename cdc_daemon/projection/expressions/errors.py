"""The error of an expression that can't be compiled, with its place."""

from __future__ import annotations

from cdc_daemon.errors import ConfigurationError


class ExpressionError(ConfigurationError):
    """The expression is not SQL, not of the supported subset, or doesn't fit the relation."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        """Characters from the beginning of the expression to the mistake."""
