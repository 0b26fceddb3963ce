"""The relay of random worlds: it writes the log that their read models are made of."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from cdc_daemon.config.loader import load

if TYPE_CHECKING:
    from pathlib import Path

    from tests.generators.daemons import StartDaemon
    from tests.generators.running_daemon import RunningDaemon


class WorldRelay:
    """One after the other, each with a log of its own."""

    def __init__(self, make: StartDaemon) -> None:
        self._make = make
        self.daemon: RunningDaemon | None = None
        """The one that runs."""

    def install(self, file: Path) -> None:
        """Relay the tables of the configuration that is in `file`, and name the log there."""
        if self.daemon is not None:
            self.daemon.close()
        log = f"worlds-{uuid.uuid4().hex[:8]}"
        said = json.loads(file.read_text())
        said["source"]["log"] = log
        file.write_text(json.dumps(said))
        self.daemon = self._make(
            {},
            folder="relay",
            name=log,
            sink={"log": log, "topic_prefix": log},
            relay={"tables": load(file, {}).configuration.tables, "snapshot": "never"},
        )
        self.daemon.wait_until()
