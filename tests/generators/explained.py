"""What the documents of a configuration must be, by `cdc-daemon explain --sql`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cdc_daemon.config import load
from cdc_daemon.explaining import document_sql

if TYPE_CHECKING:
    from pathlib import Path


def explained(file: Path) -> dict[str, str]:
    """The statement of each read model."""
    loaded = load(file, os.environ)
    return {name: document_sql(loaded, name, None) for name in loaded.configuration.projections}
