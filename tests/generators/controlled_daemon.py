"""A daemon with an API key: repairs are asked for over HTTP, as people do."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.generators.running_daemon import RunningDaemon

KEY = "the-key"


class ControlledDaemon:
    """A daemon, and its web side with the key."""

    def __init__(self, running: RunningDaemon) -> None:
        self.running = running
        configuration = json.loads(running.file.read_text())
        self._url = f"http://{configuration['web']['listen']}/api/v1/backfill"

    def configure(self, **changed: Any) -> None:
        """Write sections of the configuration, and the key, for the next start."""
        configuration = json.loads(self.running.file.read_text()) | changed
        configuration["web"]["api_key"] = KEY
        self.running.file.write_text(json.dumps(configuration))

    def load(self) -> None:
        """Start it with the key, and wait until all is loaded."""
        self.configure()
        self.running.start()
        self.running.wait_until("streaming", 120)
        self.running.catch_up()

    def ask(self, change: str, **wish: str) -> tuple[int, dict[str, Any]]:
        """Status and answer."""
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self._url}/{change}", json.dumps(wish).encode(), {"Authorization": f"Bearer {KEY}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def start(self, **wish: str) -> None:
        """Begin a repair."""
        status, answer = self.ask("start", **wish)
        assert status == 200, answer

    def loads(self) -> list[dict[str, Any]]:
        """What is under way."""
        found: list[dict[str, Any]] = self.running.status().get("backfill", {}).get("loads", [])
        return found

    def rows(self) -> int:
        """How many rows are durable of what is under way."""
        return sum(int(load["rows"]) for load in self.loads())

    def ended(self) -> list[str]:
        """How loads have ended."""
        backfill = self.running.status().get("backfill", {"ended": []})
        return [one["outcome"] for one in backfill["ended"]]

    def done(self) -> bool:
        """Whether nothing is under way."""
        return bool(self.running.status().get("backfill", {}).get("loads") == [])
