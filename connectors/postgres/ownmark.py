"""How tables and views of read models are told from all others: by the comment that they have."""

from __future__ import annotations

from typing import Final

READ_TABLE: Final = "cdc-daemon read table "
"""Begins the comment of each generation's table; JSON follows."""
READ_MODEL: Final = "cdc-daemon read model "
"""The same of the view that is searched."""
