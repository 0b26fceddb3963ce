"""Daemons that a test starts on its database: written down, run, and ended with it."""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from cdc_daemon.embedded.ports import free_port
from tests.generators.running_daemon import RunningDaemon

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class StartDaemon(Protocol):
    """Makes a daemon that follows the test's database; it is ended with the test."""

    def __call__(
        self,
        projections: Mapping[str, Any],
        *,
        start: bool = True,
        folder: str = ".",
        source: Mapping[str, Any] | None = None,
        sink: Mapping[str, Any] | None = None,
        **sections: Any,
    ) -> RunningDaemon:
        """Further keyword arguments are sections of the configuration.

        Daemons of one pipeline need a `folder` each.
        """


@contextmanager
def daemons(dsn: str, sink: Mapping[str, Any], path: Path) -> Iterator[StartDaemon]:
    """Daemons that follow `dsn` and write as `sink` says; shows their logs when a test fails."""
    pipeline = f"t_{uuid.uuid4().hex[:8]}"
    default = sink
    with ExitStack() as stack:

        def make(
            projections: Mapping[str, Any],
            *,
            start: bool = True,
            folder: str = ".",
            source: Mapping[str, Any] | None = None,
            sink: Mapping[str, Any] | None = None,
            **sections: Any,
        ) -> RunningDaemon:
            port = free_port()
            where = {} if "sinks" in sections else {"sink": {**default, **(sink or {})}}
            configuration: dict[str, Any] = {
                "name": pipeline,
                "source": {"type": "postgres", "dsn": dsn, **(source or {})},
                **where,
                "projections": projections,
                "state": {"path": str(path / folder / "data")},
                **sections,
                "web": {"listen": f"127.0.0.1:{port}", **sections.get("web", {})},
            }
            file = path / folder / "cdc-daemon.yaml"
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(configuration))
            written = configuration["source"].get("primary_dsn", configuration["source"]["dsn"])
            daemon = RunningDaemon(file, port, written)
            stack.callback(_end, daemon)
            if start:
                daemon.start()
            return daemon

        yield make


def _end(daemon: RunningDaemon) -> None:
    daemon.close()
    print(daemon.tail())  # noqa: T201 - pytest shows it with a test that failed
