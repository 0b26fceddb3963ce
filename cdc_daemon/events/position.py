"""Where a source is."""

from __future__ import annotations

from typing import Final, NewType

Position = NewType("Position", int)
"""Where a source is: grows with every commit, for as long as the source's history (epoch) lasts.

For PostgreSQL it is the log sequence number (LSN). A source whose own idea of a position is wider
(Kafka: an offset per partition) numbers its positions itself and keeps the translation.
"""


NOWHERE: Final = Position(0)


BEYOND: Final = Position(2**64 - 1)
"""After every commit: what waits for nothing of the stream."""
