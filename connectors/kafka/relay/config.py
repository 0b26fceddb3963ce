"""The `sink:` section of a relay to Kafka."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt

from cdc_daemon.quantities import ByteSize, Duration
from connectors.kafka.session import KafkaSection

TRANSACTION_SECONDS: Final = 600.0
"""The longest Kafka transaction: brokers allow 15 minutes unless told otherwise, and readers of
committed messages wait for one that was left open for as long."""
MESSAGE_BYTES: Final = 20_000_000
"""Rows may be large, and none of them may be left out."""

_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,200}")


def _topic_name(value: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise ValueError("expected letters, digits, `.`, `_` and `-`, at most 200 of them")
    return value


TopicName = Annotated[str, AfterValidator(_topic_name)]


class KafkaRelayConfig(KafkaSection):
    """Publish changes to Kafka, as Debezium does."""

    is_relay: ClassVar[bool] = True

    type: Literal["kafka"] = Field(description="The connector: `kafka`.")
    topic_prefix: TopicName | None = Field(
        default=None,
        description="What the names of topics begin with (`PREFIX.SCHEMA.TABLE`), as Debezium's "
        "`topic.prefix`. Default: the name of the pipeline.",
    )
    log: TopicName | None = Field(
        default=None,
        description="The topic of the ordered log, which projectors read: whole transactions, in "
        "the order of their commits. Default: none is written.",
    )
    schemas: StrictBool = Field(
        default=False,
        description="Put the Connect schema into each key and value, as JsonConverter does with "
        "`schemas.enable`.",
    )
    transactions: StrictBool = Field(
        default=True,
        description="Say of each message which transaction it is of, and of each transaction "
        "where it begins and ends in `PREFIX.transaction`, as Debezium's "
        "`provide.transaction.metadata`.",
    )
    tombstones: StrictBool = Field(
        default=True,
        description="After a delete write an empty message, so that compaction forgets the key.",
    )
    truncates: StrictBool = Field(
        default=True,
        description="Write an event of each TRUNCATE; `false` is Debezium's `skipped.operations: "
        "t`. It has no key: a topic that is compacted refuses it. The ordered log has it anyway.",
    )
    decimals: Literal["precise", "string", "double"] = Field(
        default="precise", description="How numeric is written: Debezium's `decimal.handling.mode`."
    )
    intervals: Literal["numeric", "string"] = Field(
        default="numeric",
        description="How interval is written: Debezium's `interval.handling.mode`.",
    )
    heartbeat: Duration | None = Field(
        default=None,
        gt=0,
        description="How often a sign of life is written to `__debezium-heartbeat.PREFIX`. "
        "Default: never.",
    )
    # One partition keeps the order of the whole table, and more can't be taken back.
    partitions: StrictInt = Field(
        default=1,
        ge=1,
        description="Of a table's topic where the daemon makes it; a key stays in one of them.",
    )
    replicas: StrictInt | None = Field(
        default=None,
        ge=1,
        description="Of topics that the daemon makes; from 3 on with `min.insync.replicas=2`. "
        "Default: as the cluster has it.",
    )
    topic_settings: dict[str, str | int] = Field(
        default_factory=dict,
        description="Settings of tables' topics that the daemon makes, such as `cleanup.policy`.",
    )
    max_message_bytes: ByteSize = Field(
        default=MESSAGE_BYTES,
        description="The largest message. A topic that was made by others must allow as much.",
    )
    transaction_timeout: Duration = Field(
        default=TRANSACTION_SECONDS,
        ge=10,
        description="The longest that a Kafka transaction may take; brokers bound it by "
        "`transaction.max.timeout.ms`.",
    )

    def prefix(self, pipeline: str) -> str:
        """What the names of topics begin with."""
        return self.topic_prefix or pipeline
