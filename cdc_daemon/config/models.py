"""What a configuration says, as types. Sources and sinks bring their own models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    SecretStr,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    StrictBool,
    StrictInt,
    Tag,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from cdc_daemon.config.names import (
    FIELD_NAME_PATTERN,
    PIPELINE_PATTERN,
    PROJECTION_PATTERN,
    MistypedKeysError,
    clashing_fields,
    field_name,
    listen_address,
    mistyped_key,
    pipeline_name,
    projection_name,
    table_name,
)
from cdc_daemon.ports import CHUNK_BYTES
from cdc_daemon.quantities import ByteSize, Duration

# Marks of the two ways to write `fields`. No field can have such a name, so that they can be told
# from field names in the paths of pydantic's errors.
ALL_COLUMNS_TAG: Final = ".all"
NAMED_FIELDS_TAG: Final = ".named"


class Section(BaseModel):
    """A part of the configuration: immutable, and with no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_alias=True)


def _scalar(value: object) -> object:
    if isinstance(value, dict | list):
        raise ValueError("expected text, a number, true, false or null")  # noqa: TRY004 - pydantic
    return value


Scalar = Annotated[
    Any,
    AfterValidator(_scalar),
    WithJsonSchema({"type": ["string", "number", "boolean", "null"]}),
]


def _null_in_words(value: object) -> object:
    return None if value == "null" else value


Unrepresentable = Annotated[
    Literal["dead_letter"] | None,
    BeforeValidator(_null_in_words, json_schema_input_type=Literal["null", "dead_letter"] | None),
]
"""What becomes of a value that a field can't hold; None: it becomes null."""


class FieldConfig(BaseModel):
    """One field of the document. What is not a key of ours goes into the index mapping."""

    model_config = ConfigDict(extra="allow", frozen=True)

    column: str | None = Field(
        default=None,
        min_length=1,
        description="The column it is taken from. Default: the column of the field's own name.",
    )
    expression: str | None = Field(
        default=None,
        min_length=1,
        description="A PostgreSQL scalar expression over the columns of the row.",
    )
    constant: JsonValue = Field(
        default=None, description="The same value in every document: text, number, list, mapping."
    )
    default: Scalar = Field(
        default=None, description="The value where the column or expression is NULL."
    )
    bytes: Literal["hex", "base64"] | None = Field(
        default=None,
        description="How a bytea is written. Default: `base64` for a field of type `binary`, `hex` "
        "for others.",
    )
    unrepresentable: Unrepresentable = Field(
        default=None,
        description="What becomes of a value that the field can't hold: `null` (and is counted) or "
        "`dead_letter`. Default: what the projection says.",
    )

    @property
    def has_constant(self) -> bool:
        """Whether a constant is given; a given `null` is a constant too."""
        return "constant" in self.model_fields_set

    @property
    def has_default(self) -> bool:
        """Whether a default is given."""
        return "default" in self.model_fields_set

    @property
    def mapping(self) -> dict[str, Any]:
        """The parameters of the index mapping, passed through: `type`, `analyzer`, `format`."""
        return dict(self.model_extra or {})

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        whole: dict[str, Any] = dump(self)
        return {key: value for key, value in whole.items() if key in self.model_fields_set}

    @model_validator(mode="after")
    def _is_consistent(self) -> FieldConfig:
        typos = {key: mistyped_key(key, FieldConfig.model_fields) for key in self.mapping}
        if suggestions := {key: meant for key, meant in typos.items() if meant}:
            raise MistypedKeysError(suggestions)
        origins = [
            name
            for name in ("column", "expression", "constant")
            if getattr(self, name) is not None or (name == "constant" and self.has_constant)
        ]
        if len(origins) > 1:
            raise ValueError(f"{' and '.join(origins)} exclude each other: keep one")
        return self


MissingColumns = Annotated[
    Literal["stop"] | None,
    BeforeValidator(_null_in_words, json_schema_input_type=Literal["stop", "null"] | None),
]
"""What becomes of a field whose column isn't there; None: it is null."""


def _field(value: object) -> object:
    return {} if value is None else value


FieldName = Annotated[
    str, AfterValidator(field_name), Field(json_schema_extra={"pattern": FIELD_NAME_PATTERN})
]
NamedFields = Annotated[
    dict[
        FieldName,
        Annotated[FieldConfig, BeforeValidator(_field, json_schema_input_type=FieldConfig | None)],
    ],
    Field(min_length=1),
    AfterValidator(clashing_fields),
]


def _all_columns(value: object) -> object:
    if value != "*":
        raise ValueError('expected the fields by name, or "*" for all columns')
    return value


def _way_of_fields(value: object) -> str:
    return ALL_COLUMNS_TAG if isinstance(value, str) else NAMED_FIELDS_TAG


class IndexConfig(Section):
    """What is passed through to the index as it is."""

    settings: dict[str, JsonValue] = Field(
        default_factory=dict, description="Index settings, such as `number_of_shards`."
    )
    mappings: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Parameters of the index mapping, such as `dynamic`. Default: `dynamic: "
        "strict`.",
    )


class ProjectionConfig(Section):
    """One read model: the table it comes from, and what its documents hold."""

    table: Annotated[str, AfterValidator(table_name)] = Field(
        alias="from",
        description="The table, `schema.name`, as the catalog spells it (no SQL quotes).",
    )
    where: str | None = Field(
        default=None,
        min_length=1,
        description="A PostgreSQL condition over the columns of a row. Only rows for which it is "
        "true have a document.",
    )
    fields: Annotated[
        Annotated[Literal["*"], BeforeValidator(_all_columns), Tag(ALL_COLUMNS_TAG)]
        | Annotated[NamedFields, Tag(NAMED_FIELDS_TAG)],
        Discriminator(_way_of_fields),
    ] = Field(description='What a document holds, by name of the field; or "*": all columns.')
    id: list[Annotated[str, Field(min_length=1)]] | None = Field(
        default=None,
        min_length=1,
        description="The columns that make the document id. Default: the primary key.",
    )
    freshness: Duration = Field(
        default=1.0,
        description="How soon after a commit its documents are to be found by a search: how often "
        "the index is refreshed while it changes. `0`: after every batch.",
    )
    index: IndexConfig = Field(
        default=IndexConfig(), description="What is passed through to the index as it is."
    )
    max_document_bytes: ByteSize = Field(
        default=50_000_000, description="A larger document becomes a dead letter."
    )
    # Null: one such value is no reason to take the whole row out of the read model; it is counted.
    unrepresentable: Unrepresentable = Field(
        default=None,
        description="What becomes of values that their field can't hold (NaN, infinity, a point "
        "that is not on Earth): `null` (and is counted), or the row a `dead_letter`.",
    )

    # Stop: a column that was renamed would otherwise empty its field in silence.
    missing_columns: MissingColumns = Field(
        default="stop",
        description="What happens where a field names a column that the table doesn't have (any "
        "more): `stop`, or the field is `null`.",
    )

    @property
    def named_fields(self) -> dict[str, FieldConfig] | None:
        """The fields by name; None for `"*"`, all columns."""
        return None if self.fields == "*" else self.fields

    @model_validator(mode="after")
    def _has_distinct_id_columns(self) -> ProjectionConfig:
        if self.id is not None and len(set(self.id)) < len(self.id):
            raise ValueError("`id` names a column twice")
        return self


class MemoryConfig(Section):
    """Bounds of what is held in memory."""

    transaction: ByteSize = Field(
        default=64_000_000,
        description="Transactions that haven't ended, all together: what takes more is folded on "
        "disk, under `state.path`.",
    )
    batch: ByteSize = Field(default=5_000_000, description="The largest request to the sink.")
    queue: ByteSize = Field(
        default=32_000_000, description="Documents that wait for the sink, all queues together."
    )

    @model_validator(mode="after")
    def _holds_a_batch(self) -> MemoryConfig:
        if self.batch > self.queue:
            raise ValueError("`batch` must not be larger than `queue`")
        return self


class BackfillConfig(Section):
    """How the rows that are there already come in, while the stream goes on."""

    mode: Literal["initial", "never", "only"] = Field(
        default="initial",
        description="`initial`: a read model without them is loaded. `never`: it starts empty, and "
        "gets what changes from now on. `only`: load, then end.",
    )
    workers: StrictInt = Field(
        default=2, ge=1, le=16, description="Connections that read rows at the same time."
    )
    chunk: ByteSize = Field(
        default=CHUNK_BYTES, gt=0, description="About how much of a table is read at once."
    )
    rows_per_second: StrictInt | None = Field(
        default=None, ge=1, description="No more than this is read, to spare the source."
    )
    # Load: nobody has to be there, and what is searched stays until all is loaded.
    when_lost: Literal["load", "stop"] = Field(
        default="load",
        description="What happens when the place in the source is lost, or a failover or a restore "
        "has lost changes that are searched already. `load`: everything is loaded anew, beside "
        "what is searched. `stop`: the daemon stops and says why.",
    )


class StateConfig(Section):
    """Where local files go: a cache that can be rebuilt."""

    path: Path = Field(
        default=Path("./data"),
        description="A folder for spill files and state, made if it isn't there. A relative path "
        "starts from the working directory.",
    )


class WebConfig(Section):
    """The web side: health, metrics, status."""

    listen: Annotated[str, AfterValidator(listen_address)] = Field(
        default="127.0.0.1:9645",
        description="`host:port`; `[::1]:9645` for IPv6; `0.0.0.0:9645` to be reached from "
        "outside; port 0 takes a free one.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="The key that requests must bring which change something. Without one there "
        "are no such requests.",
    )

    @property
    def host(self) -> str:
        """The host to bind to, without the brackets of IPv6."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to bind to; 0 for any."""
        return int(self.listen.rpartition(":")[2])


class LogConfig(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe messages to log."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto`: `console` on a terminal, `json` elsewhere."
    )


class ShutdownConfig(Section):
    """How the daemon stops."""

    deadline: Duration = Field(
        default=25.0,
        description="How long a stop may take to write and confirm what has been read. Keep it "
        "below the grace period of your orchestrator.",
    )


class Configuration(Section):
    """One pipeline: from a source, through projections, to a sink."""

    name: Annotated[str, AfterValidator(pipeline_name)] = Field(
        description="The pipeline. Slot and publication are named after it.",
        json_schema_extra={"pattern": PIPELINE_PATTERN},
    )
    source: SerializeAsAny[BaseModel] = Field(description="Where changes come from.")
    sink: SerializeAsAny[BaseModel] = Field(description="Where documents go.")
    projections: dict[
        Annotated[
            str,
            AfterValidator(projection_name),
            Field(json_schema_extra={"pattern": PROJECTION_PATTERN}),
        ],
        ProjectionConfig,
    ] = Field(min_length=1, description="The read models, by name: the alias to search.")
    memory: MemoryConfig = Field(
        default=MemoryConfig(), description="Bounds of what is held in memory."
    )
    backfill: BackfillConfig = Field(
        default=BackfillConfig(),
        description="How the rows that are there already come in, while the stream goes on.",
    )
    standby: StrictBool = Field(
        default=False,
        description="Wait while another daemon of this pipeline runs, for as long as it takes, and "
        "take over when it ends.",
    )
    senders: StrictInt = Field(
        default=2, ge=1, le=8, description="Connections that write to the sink at the same time."
    )
    state: StateConfig = Field(
        default=StateConfig(), description="Where local files go: a cache that can be rebuilt."
    )
    web: WebConfig = Field(
        default=WebConfig(), description="The web side: health, metrics, status."
    )
    log: LogConfig = Field(default=LogConfig(), description="What is logged, and how.")
    shutdown: ShutdownConfig = Field(default=ShutdownConfig(), description="How the daemon stops.")
