"""Projectors of one pipeline that die, freeze, are cut off, come and go, as their relay does."""

from __future__ import annotations

import json
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

from cdc_daemon.ports import SLOTS
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from random import Random

    from tests.generators.running_daemon import RunningDaemon
    from tests.generators.wire import Wire
    from tests.generators.world_relay import WorldRelay

AWAY_SECONDS = (0.0, 0.3, 1.0, 8.0)
"""After the last of them others have what was ours: whoever is silent for 6 s has lost it."""
BREAKS = ("kill", "kill", "freeze", "freeze", "stop", "lose_disk", "cut_off", "relay", "relay")


class Replicas:
    """Several processes as if they were one daemon. One of them reaches Kafka by a wire."""

    def __init__(self, members: Sequence[RunningDaemon], wire: Wire, relay: WorldRelay) -> None:
        self._members = members
        self._wire = wire
        self.relay = relay

    @property
    def file(self) -> Path:
        """The configuration: each of them has it, with a folder and an address of its own."""
        return self._members[0].file

    @property
    def prepare(self) -> Callable[[], None] | None:
        """Called in each of their processes before each start."""
        return self._members[0].prepare

    @prepare.setter
    def prepare(self, prepare: Callable[[], None] | None) -> None:
        for one in self._members:
            one.prepare = prepare

    def start(self) -> None:
        """All at once."""
        said = json.loads(self.file.read_text())
        for one in self._members:
            own = json.loads(one.file.read_text())
            servers = own["source"]["bootstrap_servers"]
            source = {**said["source"], "bootstrap_servers": servers}
            ours = {"source": source, "state": own["state"], "web": own["web"]}
            one.file.write_text(json.dumps(said | ours))
            one.start()

    def status(self) -> dict[str, Any]:
        """What the leader says; where one is at its start, or waits for the leader, what it does.

        Whoever starts for the first time doesn't bear that Kafka is away for long, by design.
        """
        shown = [one.status() for one in self._members if one.is_running]
        return max(shown, key=lambda one: (not _has_begun(one), _leads(one)), default={})

    def wait_until(self, state: str, seconds: float) -> None:
        """Wait until all of them are in `state`."""
        for one in self._members:
            one.wait_until(state, seconds)

    def catch_up(self, seconds: float) -> None:
        """Wait until all have slots again, and each of them says that all is searchable."""
        until(self._share, seconds, "all of them share the documents")
        for one in self._members:
            one.catch_up(seconds)

    def _share(self) -> bool:
        return shares([one.status() for one in self._members])

    def close(self) -> None:
        """End all of them."""
        self._wire.mend()
        for one in self._members:
            one.close()

    def break_one(self, rng: Random) -> str:
        """Something happens to one of them, or to the relay; all go on in the end."""
        what, seconds = rng.choice(BREAKS), rng.choice(AWAY_SECONDS)
        one = rng.choice(self._members)
        if what == "relay":
            assert self.relay.daemon is not None
            what, one = rng.choice(("kill", "freeze")), self.relay.daemon
            _happens(what, one, seconds)
            return f"relay: {what}"
        if what == "cut_off":
            self._wire.cut()
            time.sleep(seconds)
            self._wire.mend()
        else:
            _happens(what, one, seconds)
        return what


def _leads(shown: dict[str, Any]) -> bool:
    return bool(shown.get("replica", {}).get("leads"))


def _has_begun(shown: dict[str, Any]) -> bool:
    return shown.get("state") in {"loading", "streaming"}


def shares(shown: Sequence[dict[str, Any]]) -> bool:
    """Whether the replicas of these states write all documents, each some of them."""
    slots = [one.get("replica", {}).get("slots", []) for one in shown]
    return sorted(slot for some in slots for slot in some) == [*range(SLOTS)] and all(slots)


def _happens(what: str, one: RunningDaemon, seconds: float) -> None:
    if what == "freeze":
        one.signal(signal.SIGSTOP)
        time.sleep(seconds)
        one.signal(signal.SIGCONT)
        return
    if what == "stop":
        assert one.terminate() == 0, one.tail()
    else:
        one.kill()
    if what == "lose_disk":
        shutil.rmtree(one.file.parent / "data")
    time.sleep(seconds)
    one.start()
