"""How messages are to be understood: the part of a `source:` section that says it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from connectors.messages.debeziumvalues import UNAVAILABLE, Handling
from connectors.messages.paths import read_path
from connectors.messages.tables import TableConfig

Format = Literal["debezium", "flattened", "events"]
VERSIONS: Final = ("lsn", "arrival")


def _path(value: str) -> str:
    read_path(value)
    return value


def _version(value: str) -> str:
    if value not in VERSIONS:
        read_path(value)
    return value


class OperationConfig(BaseModel):
    """Which events delete a row, and which say nothing of it: all others write it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: Annotated[str, AfterValidator(_path)] = Field(
        description="Where the event says what it is: `$.type`, `headers.type`."
    )
    delete: list[str] = Field(default_factory=list, description="What it is called to delete.")
    ignore: list[str] = Field(
        default_factory=list, description="What it is called to say nothing of the row."
    )


class MessageTable(TableConfig):
    """One table, and how its messages are to be understood."""

    format: Format | None = Field(
        default=None, description="As the `format` of the source, for this table alone."
    )
    version: Annotated[str, AfterValidator(_version)] | None = Field(
        default=None,
        description="Of two messages of one row the one with the higher version counts, whenever "
        "it comes: `lsn` (of Debezium's source block; the default of `debezium`), `arrival` (the "
        "order in the topic; the default of the others), or where a whole number is that grows "
        "with each change of the row, such as `$.revision`.",
    )
    fields: dict[str, Annotated[str, AfterValidator(_path)]] = Field(
        default_factory=dict,
        description="Of `events`: where the value of each column is, such as `$.booking.price`, "
        "`key.id`, `headers.tenant`. Default: the field of the column's name.",
    )
    operation: OperationConfig | None = Field(
        default=None,
        description="Of `events`: which of them delete. Default: only those without a value.",
    )

    @model_validator(mode="after")
    def _names_columns(self) -> MessageTable:
        if unknown := sorted(self.fields.keys() - self.columns.keys()):
            raise ValueError(f"`fields` names {', '.join(unknown)}: no column")
        return self


class DebeziumConfig(BaseModel):
    """How the connector is set: for messages without their schemas, which say it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decimals: Literal["precise", "string"] = Field(
        default="precise",
        description="`decimal.handling.mode`. Numbers of `double` are seen as such.",
    )
    times: Literal["adaptive", "milliseconds", "microseconds", "nanoseconds"] = Field(
        default="adaptive",
        description="`time.precision.mode`: `milliseconds` is `connect`. Texts of `isostring` are "
        "seen as such.",
    )
    binary: Literal["base64", "hex"] = Field(
        default="base64", description="`binary.handling.mode`: `base64` is also `bytes`."
    )
    placeholder: str = Field(
        default=UNAVAILABLE,
        min_length=1,
        description="`unavailable.value.placeholder`: stands for a large value that an update has "
        "left as it was.",
    )

    def handling(self) -> Handling:
        """As values are read with it."""
        return Handling(self.decimals, self.times, self.binary, self.placeholder)


class MessagesSection(BaseModel):
    """What each section of a source of messages has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format = Field(
        default="debezium",
        description="`debezium`: the envelope of Debezium's connectors; `flattened`: rows, as "
        "ExtractNewRecordState leaves them; `events`: those of an application.",
    )
    debezium: DebeziumConfig = Field(
        default=DebeziumConfig(),
        description="How the connector is set, for messages that come without schemas.",
    )
