"""What a configuration says, as types. Sources and sinks bring their own models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    SecretStr,
    SerializeAsAny,
    StrictBool,
    StrictInt,
    model_validator,
)

from cdc_daemon.config.changes import ChangesConfig
from cdc_daemon.config.consistency import ConsistencyConfig
from cdc_daemon.config.names import (
    PIPELINE_PATTERN,
    PROJECTION_PATTERN,
    SINK_PATTERN,
    http_address,
    listen_address,
    pipeline_name,
    projection_name,
    sink_name,
)
from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.config.relay import RelayConfig, require_read_models, require_relay
from cdc_daemon.config.section import Section
from cdc_daemon.nearest import nearest
from cdc_daemon.ports import CHUNK_BYTES
from cdc_daemon.quantities import ByteSize, Duration

SinkName: TypeAlias = Annotated[
    str, AfterValidator(sink_name), Field(json_schema_extra={"pattern": SINK_PATTERN})
]


class MemoryConfig(Section):
    """Bounds of what is held in memory."""

    transaction: ByteSize = Field(
        default=64_000_000,
        description="Transactions that haven't ended, all together: what takes more is folded on "
        "disk, under `state.path`.",
    )
    batch: ByteSize = Field(default=5_000_000, description="The largest request to the sink.")
    queue: ByteSize = Field(
        default=32_000_000,
        description="Changed documents that wait for the sink, all queues together. While rows are "
        "loaded, a quarter of it and a chunk of theirs may wait besides.",
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
        default=None,
        ge=1,
        description="No more than this is read, to spare the source: rows that come from it, so "
        "with `--where` those that meet the condition. Rows that are read by key, because a value "
        "is lacking, aren't counted.",
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
    max_size: ByteSize | None = Field(
        default=None,
        description="The most that the state of joined read models may take on disk. Default: what "
        "the disk has.",
    )
    max_spill: ByteSize | None = Field(
        default=None,
        description="The most that transactions which haven't ended may take on disk, beyond "
        "`memory.transaction`. Default: what the disk has.",
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
    changes: ChangesConfig | None = Field(
        default=None,
        description="Take changes that applications post, and under which terms. Default: none "
        "are taken.",
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


class TracingConfig(Section):
    """Spans of transactions that bring a trace context, for OpenTelemetry (the extra `otel`)."""

    endpoint: Annotated[str, AfterValidator(http_address)] = Field(
        description="Where they are sent, OTLP over HTTP: `http://collector:4318/v1/traces`."
    )


class Configuration(Section):
    """One pipeline: from a source, through projections, to a sink or several."""

    name: Annotated[str, AfterValidator(pipeline_name)] = Field(
        description="The pipeline. Slot and publication are named after it.",
        json_schema_extra={"pattern": PIPELINE_PATTERN},
    )
    source: SerializeAsAny[BaseModel] = Field(description="Where changes come from.")
    sink: SerializeAsAny[BaseModel] | None = Field(default=None, description="Where documents go.")
    sinks: dict[SinkName, SerializeAsAny[BaseModel]] = Field(
        default_factory=dict,
        min_length=1,
        description="Several of them, by name, in place of `sink`. The first one keeps the "
        "checkpoint and the dead letters.",
    )
    projections: dict[
        Annotated[
            str,
            AfterValidator(projection_name),
            Field(json_schema_extra={"pattern": PROJECTION_PATTERN}),
        ],
        ProjectionConfig,
    ] = Field(default_factory=dict, description="The read models, by name: the alias to search.")
    relay: RelayConfig | None = Field(
        default=None,
        description="In place of `projections`: changes that are passed on as they are, to a sink "
        "such as `type: kafka`.",
    )
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
        default=2,
        ge=1,
        le=8,
        description="Connections that write changes to the sink at the same time. As many more "
        "write rows that are loaded, while there are some.",
    )
    consistency: ConsistencyConfig = Field(
        default=ConsistencyConfig(), description="How consistent reads must be, chosen by name."
    )
    state: StateConfig = Field(
        default=StateConfig(), description="Where local files go: a cache that can be rebuilt."
    )
    web: WebConfig = Field(
        default=WebConfig(), description="The web side: health, metrics, status."
    )
    tracing: TracingConfig | None = Field(
        default=None,
        description="Where spans of transactions go that bring a trace context. Default: nowhere.",
    )
    log: LogConfig = Field(default=LogConfig(), description="What is logged, and how.")
    shutdown: ShutdownConfig = Field(default=ShutdownConfig(), description="How the daemon stops.")

    @property
    def tables(self) -> tuple[str, ...]:
        """Every table that the projections read, or the relay, as they name them."""
        if self.relay is not None:
            return tuple(self.relay.tables)
        projections = self.projections.values()
        return tuple(dict.fromkeys(name for one in projections for name in one.tables))

    @model_validator(mode="after")
    def _has_read_models_or_a_relay(self) -> Configuration:
        if self.relay is None:
            require_read_models(self)
        else:
            require_relay(self)
        return self

    @model_validator(mode="after")
    def _has_commits_that_can_wait(self) -> Configuration:
        """Only a source that is a standby of its system can keep commits waiting."""
        if self.consistency.strong and not getattr(self.source, "can_hold_commits", True):
            kind = getattr(self.source, "type", "")
            mended = getattr(
                self.source,
                "holds_commits_with",
                "follow the database with a source of type postgres",
            )
            raise ValueError(
                f"`consistency.strong` can't be had with a source of type {kind}: commits don't "
                f"wait for it. Take it out, and wait for tokens (`strategy: causal`), or {mended}"
            )
        return self

    @model_validator(mode="after")
    def _keeps_rows_where_commits_wait(self) -> Configuration:
        """What a commit that waits has left out of its rows isn't visible to anyone yet."""
        strong = self.consistency.strong
        if strong is None:
            return self
        for name in strong.exclude:
            if name not in self.projections:
                guess = nearest(name, self.projections) or next(iter(self.projections))
                raise ValueError(
                    f'`consistency.strong.exclude` names "{name}", which is no projection; did you '
                    f'mean "{guess}"?'
                )
        for name, projection in self.projections.items():
            if projection.missing_columns is None:
                raise ValueError(
                    f"`missing_columns: null` of projection {name} can't be had with "
                    "`consistency.strong`, which keeps its rows: take it out, and name columns "
                    "that are there"
                )
            projection.keep()
        return self
