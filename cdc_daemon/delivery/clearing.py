"""Deletes all that an index held before a position, for as long as that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.delivery.retrying import retrying

if TYPE_CHECKING:
    from cdc_daemon.events import Position
    from cdc_daemon.ports import Sink


def delete_before(sink: Sink, index: str, version: Position) -> int:
    """Delete what `index` holds below `version`; how many documents. Each attempt goes on."""
    deleted = 0
    for attempt in retrying():
        with attempt:
            writer = sink.writer(sink.place(index))
            try:
                deleted = writer.delete_before(index, version)
            finally:
                writer.close()
    return deleted
