"""The `source:` section of a pipeline that reads topics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import Field, field_validator, model_validator

from connectors.kafka.registry import RegistryConfig
from connectors.kafka.session import KafkaSection
from connectors.messages.formats import MessagesSection, MessageTable
from connectors.messages.tables import qualified

if TYPE_CHECKING:
    from collections.abc import Iterable

_PATTERN: Final = "^"
"""Begins a pattern, as in Kafka's own clients."""


class KafkaTable(MessageTable):
    """One table, its topic, and how its messages are to be understood."""

    topic: str = Field(
        min_length=1,
        description="The topic of the table, such as `shop.public.hotel`; or a pattern of several, "
        "which begins with `^`: `^shop[.].*[.]hotel$`. Which ones there are is seen at a start.",
    )

    @field_validator("topic")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        try:
            re.compile(value if value.startswith(_PATTERN) else "")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        return value

    def topics_among(self, names: Iterable[str]) -> list[str]:
        """Those of the table."""
        if not self.topic.startswith(_PATTERN):
            return [self.topic]
        return [name for name in names if re.search(self.topic, name)]

    @property
    def is_pattern(self) -> bool:
        """Whether the topics have to be looked for."""
        return self.topic.startswith(_PATTERN)


class KafkaConfig(KafkaSection, MessagesSection):
    """Follow topics of Kafka: Debezium's, or those that applications write."""

    can_hold_commits: ClassVar[bool] = False
    """What is in a topic was committed elsewhere, before."""

    type: Literal["kafka"] = Field(description="The connector: `kafka`.")
    group: str | None = Field(
        default=None,
        min_length=1,
        description="The consumer group: of one pipeline only. Default: `cdc-daemon.` and the name "
        "of the pipeline.",
    )
    start: Literal["earliest", "latest"] = Field(
        default="earliest",
        description="Where a read model begins that is new: with all that the topics hold, or with "
        "what comes.",
    )
    transactions: str | None = Field(
        default=None,
        min_length=1,
        description="Debezium's topic of transactions (`provide.transaction.metadata`), such as "
        "`shop.transaction`: what one transaction wrote is then shown at once, of tables with the "
        "format `debezium`.",
    )
    schema_registry: RegistryConfig | None = Field(
        default=None,
        description="The registry that has the schemas of messages in Avro; keys and values that "
        "are JSON are read beside them.",
    )
    tables: dict[str, KafkaTable] = Field(
        min_length=1,
        description="The tables that messages are of, `schema.name` or `name`.",
    )

    @property
    def in_transactions(self) -> frozenset[str]:
        """The tables of which messages say which transaction they are of, by qualified names.

        A flattened row doesn't, even where it has such a field: a tombstone has no fields.
        """
        return frozenset(
            qualified(name)
            for name, table in self.tables.items()
            if (table.format or self.format) == "debezium"
        )

    @model_validator(mode="after")
    def _has_transactions(self) -> KafkaConfig:
        if self.transactions is not None and not self.in_transactions:
            raise ValueError(
                "`transactions` needs a table with the format `debezium`: only the envelope says "
                "which transaction a message is of. Have the connector write envelopes (without "
                "ExtractNewRecordState), or leave `transactions` out"
            )
        return self

    @model_validator(mode="after")
    def _shares_only_envelopes(self) -> KafkaConfig:
        for topic in {table.topic for table in self.tables.values()}:
            formats = [
                table.format or self.format
                for table in self.tables.values()
                if table.topic == topic
            ]
            if len(formats) > 1 and {*formats} != {"debezium"}:
                raise ValueError(
                    f"several tables have the topic {topic}: only of Debezium's envelope each "
                    "message says which one is meant"
                )
        return self
