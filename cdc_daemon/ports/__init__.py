"""What connectors implement. The daemon sees outside systems only through these protocols.

Source side: `Source`, `ChunkReader`, `Visibility`, `ShapeReader`, `SourceClock`, `TokenReader`.
Sink side: `Sink`, `Writer`, `CheckpointStore`, `DeadLetterStore`, `DocumentReader`; or a `Relay`,
that takes changes as they are, from a source that `Locates` them. Either may be a `Doctor`; a
source may be `Versioned`, one that `TakesChanges`, or `Shareable` by a `Group` of replicas. Each
port names its thread; everything raises only the errors of `cdc_daemon.errors`.
"""

from cdc_daemon.ports.chunks import CHUNK_BYTES, ChunkReader, ChunkRows, FoundRows, Visibility
from cdc_daemon.ports.commands import OpenConfiguration, Opened, Running, StrongTerms
from cdc_daemon.ports.doctor import Doctor, Finding
from cdc_daemon.ports.group import NOTHING, SLOTS, Group, Reached, Seat, Shareable, Word
from cdc_daemon.ports.messages import MessageReport, PartReport, ReadsMessages
from cdc_daemon.ports.posting import BringsRowsOnce, TakesChanges, Versioned
from cdc_daemon.ports.relay import Locates, Loss, Observer, Observes, Relay, RelayFactory
from cdc_daemon.ports.sink import (
    CheckpointStore,
    DeadLetterStore,
    DocumentReader,
    FieldSpec,
    ReadModel,
    Rejection,
    Sink,
    SinkFactory,
    Writer,
    WriteResult,
)
from cdc_daemon.ports.source import (
    ClockSample,
    KeepsFiles,
    Polling,
    PollReport,
    ReadsMemberships,
    RetentionBounds,
    RetentionStep,
    ShapeReader,
    SlotHealth,
    Source,
    SourceClock,
    SourceFactory,
    Standing,
    TableRequest,
    TokenReader,
)
from cdc_daemon.ports.watching import Health, Number, Watched

__all__ = [
    "CHUNK_BYTES",
    "NOTHING",
    "SLOTS",
    "BringsRowsOnce",
    "CheckpointStore",
    "ChunkReader",
    "ChunkRows",
    "ClockSample",
    "DeadLetterStore",
    "Doctor",
    "DocumentReader",
    "FieldSpec",
    "Finding",
    "FoundRows",
    "Group",
    "Health",
    "KeepsFiles",
    "Locates",
    "Loss",
    "MessageReport",
    "Number",
    "Observer",
    "Observes",
    "OpenConfiguration",
    "Opened",
    "PartReport",
    "PollReport",
    "Polling",
    "Reached",
    "ReadModel",
    "ReadsMemberships",
    "ReadsMessages",
    "Rejection",
    "Relay",
    "RelayFactory",
    "RetentionBounds",
    "RetentionStep",
    "Running",
    "Seat",
    "ShapeReader",
    "Shareable",
    "Sink",
    "SinkFactory",
    "SlotHealth",
    "Source",
    "SourceClock",
    "SourceFactory",
    "Standing",
    "StrongTerms",
    "TableRequest",
    "TakesChanges",
    "TokenReader",
    "Versioned",
    "Visibility",
    "Watched",
    "Word",
    "WriteResult",
    "Writer",
]
