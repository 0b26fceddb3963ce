"""The `source:` section of a pipeline that consumes queues or a stream of RabbitMQ."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)

from cdc_daemon.quantities import Duration
from connectors.messages.formats import Format, MessagesSection, MessageTable
from connectors.messages.tables import qualified
from connectors.messages.tls import BrokerTls

PREFETCH: Final = 10_000
"""The checkpoint is stored once a second, and messages are acknowledged after that: so many come
between two of them at most. Of a kilobyte each they take as much as a third of `memory.queue`."""
MOST_PREFETCH: Final = 65_535
"""AMQP has 16 bits for it."""
HEARTBEAT_SECONDS: Final = 20.0
"""A server that is gone without a word is missed after two of them."""
CONSUMER_WAIT_SECONDS: Final = 60.0
"""A server that doesn't know yet that its consumer is gone misses it in that time."""
DEFAULT_PORTS: Final = {"amqp": 5672, "amqps": 5671}


def _address(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        usable = parts.scheme in DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.path.count("/") > 1:
        raise ValueError(
            "expected an address such as amqp://user:password@localhost:5672/virtual-host; "
            "the virtual host / is the default, a slash within a name is written %2F"
        )
    return value


class RabbitTable(MessageTable):
    """One table, and which messages are of it."""

    routing_keys: list[str] = Field(
        default_factory=list,
        description="The routing keys of its messages, as a topic exchange has them: `*` stands "
        "for a word, `#` for any number. Default: every message, of which Debezium's say the "
        "table themselves.",
    )


class RabbitConfig(MessagesSection):
    """Consume queues, or one stream, of RabbitMQ."""

    can_hold_commits: ClassVar[bool] = False
    """Who publishes waits for the server, and not for us."""

    type: Literal["rabbitmq"] = Field(description="The connector: `rabbitmq`.")
    url: Annotated[SecretStr, AfterValidator(_address)] = Field(
        description="Address, user and virtual host: `amqp://user:password@host:5672/vhost`; "
        "`amqps://` for TLS."
    )
    tls: BrokerTls | None = Field(
        default=None,
        description="Which certificates `amqps://` goes by; without it those that the system "
        "trusts.",
    )
    tables: dict[str, RabbitTable] = Field(
        min_length=1, description="The tables that messages are of, `schema.name` or `name`."
    )
    queues: list[str] = Field(
        default_factory=list,
        description="The queues to consume, which must be there (quorum queues with a single "
        "active consumer). What is durable is acknowledged, and gone.",
    )
    stream: str | None = Field(
        default=None,
        min_length=1,
        description="The stream to read, instead of queues. It stays, and can be read again.",
    )
    start: Literal["earliest", "latest"] = Field(
        default="earliest",
        description="Where a first start begins in a stream: at the first message that it has, or "
        "at what is published from then on.",
    )
    prefetch: int = Field(
        default=PREFETCH,
        ge=1,
        le=MOST_PREFETCH,
        description="How many messages of each queue may be under way: what isn't durable yet is "
        "in memory, and goes back to its queue when the connection ends.",
    )
    heartbeat: Duration = Field(
        default=HEARTBEAT_SECONDS,
        ge=1,
        description="How often either side shows that it is there: a connection on which two are "
        "missing is lost.",
    )
    consumer_wait: Duration = Field(
        default=CONSUMER_WAIT_SECONDS,
        description="How long to wait for another consumer of a queue to go: longer than two "
        "heartbeats, after which a server misses one that is gone without a word.",
    )

    @field_validator("queues")
    @classmethod
    def _are_queues(cls, value: list[str]) -> list[str]:
        if len({*value}) < len(value) or not all(value):
            raise ValueError("expected names, each of them once")
        return value

    @model_validator(mode="after")
    def _has_something_to_consume(self) -> RabbitConfig:
        if bool(self.queues) == (self.stream is not None):
            raise ValueError("expected either `queues` or `stream`")
        if self.stream is None and self.start != "earliest":
            raise ValueError("`start` is of a stream: a queue has what nobody has consumed")
        if self.tls is not None and self._parts.scheme != "amqps":
            raise ValueError("`tls` needs a `url` that begins with amqps://")
        return self

    @model_validator(mode="after")
    def _tells_tables_apart(self) -> RabbitConfig:
        for name, table in self.tables.items():
            told = table.routing_keys or self.format_of(table) == "debezium"
            if len(self.tables) > 1 and not told:
                raise ValueError(
                    f"of several tables, table {name} needs `routing_keys`: its messages don't say "
                    "that they are of it"
                )
        return self

    @property
    def message_tables(self) -> dict[str, RabbitTable]:
        """By their qualified names. In a stream the order of arrival is that of its offsets."""
        default = None if self.stream is None else "arrival"
        return {
            qualified(name): table.model_copy(update={"version": table.version or default})
            for name, table in self.tables.items()
        }

    def format_of(self, table: RabbitTable) -> Format:
        """That of a table's messages."""
        return table.format or self.format

    @property
    def by_arrival(self) -> bool:
        """Whether there is a table of which the order of arrival says what is newer."""
        return any(
            table.version == "arrival"
            or (table.version is None and self.format_of(table) != "debezium")
            for table in self.tables.values()
        )

    @property
    def virtual_host(self) -> str:
        """The virtual host."""
        return unquote(self._parts.path.removeprefix("/")) or "/"

    @property
    def address(self) -> str:
        """Where it is, for people: no password."""
        port = self._parts.port or DEFAULT_PORTS[self._parts.scheme]
        return f"{self._parts.hostname}:{port}, virtual host {self.virtual_host}"

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url.get_secret_value())

    @field_serializer("url", when_used="json")
    def _shown(self, _: SecretStr) -> str:
        return f"{self._parts.scheme}://{self.address}"
