"""A pipeline that follows its source in a thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cdc_daemon.events import Position

if TYPE_CHECKING:
    from cdc_daemon.pipeline import Pipeline


def following(pipeline: Pipeline, failures: list[BaseException]) -> threading.Thread:
    """Begun after position 100; what ends it is put into `failures`, for the test to see."""

    def follow() -> None:
        try:
            pipeline.follow_for_ever(Position(100))
        except BaseException as error:  # noqa: BLE001 - shown to the test
            failures.append(error)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    return thread
