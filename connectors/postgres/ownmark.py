"""How what the daemon makes in a database is told from all else that is there."""

from __future__ import annotations

from typing import Final

READ_TABLE: Final = "cdc-daemon read table "
"""Begins the comment of each generation's table; JSON follows."""
READ_MODEL: Final = "cdc-daemon read model "
"""The same of the view that is searched."""
OUTBOX: Final = "cdc-daemon: the outbox of pipeline "
"""Begins the comment of an outbox's schema; the pipeline follows."""
CHECKPOINT_TABLE: Final = "cdc_daemon_checkpoint"
"""Beside read tables: by its name, which no read model may have."""
DEAD_LETTER_TABLE: Final = "cdc_daemon_dead_letter"
OWN_TABLES: Final = (CHECKPOINT_TABLE, DEAD_LETTER_TABLE)
