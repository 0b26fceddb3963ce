"""How far a group is: asked by a consumer of that group which never joins it.

The client that asks all else (`topics`) must not ask that. Where the coordinator of the group is
another one since a moment ago, which is what a broker that was killed or is new answers, it doesn't
fail but ends the process: it goes to tell the group that it is of, and only consumers are of one
(librdkafka 2.16, its issue 5040).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaError, KafkaException

from connectors.kafka.session import client_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import TopicPartition

    from connectors.kafka.session import Heard, KafkaSection

PAUSE_SECONDS: Final = 0.2
FIRST_SLICE_SECONDS: Final = 1.0
"""Without rights nothing is answered until the end: why is asked in between."""
_TIMED_OUT: Final = KafkaError._TIMED_OUT  # noqa: SLF001 - librdkafka names its own errors so
NO_COORDINATOR: Final = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)
"""A group has none for a moment: its broker was killed, or nobody has asked of any group before."""


class Bystander:
    """Looks at one group. Any thread may ask."""

    def __init__(self, section: KafkaSection, client_id: str, group: str, heard: Heard) -> None:
        self.group = group
        self._client = Consumer(
            {
                **client_settings(section, client_id, heard),
                "group.id": group,
                "enable.auto.commit": False,
            }
        )

    def committed(
        self, partitions: Sequence[TopicPartition], seconds: float
    ) -> list[TopicPartition]:
        """The same partitions, with offset and metadata. Raises KafkaException."""
        until, part = time.monotonic() + seconds, FIRST_SLICE_SECONDS
        while True:
            left = until - time.monotonic()
            try:
                found = self._client.committed(list(partitions), timeout=max(0.0, min(part, left)))
            except KafkaException as error:
                self._raise_heard()
                code = error.args[0].code()
                if left <= part or code not in NO_COORDINATOR | {_TIMED_OUT}:
                    raise
                part *= 2
                if code != _TIMED_OUT:
                    time.sleep(PAUSE_SECONDS)
                continue
            for one in found:
                if one.error is not None:
                    raise KafkaException(one.error)
            return found

    def _raise_heard(self) -> None:
        """Why no coordinator is found; a client that joins nothing gets no messages."""
        message = self._client.poll(0)
        heard = None if message is None else message.error()
        if heard is not None and heard.code() not in NO_COORDINATOR:
            raise KafkaException(heard)
