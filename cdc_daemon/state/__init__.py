"""The state of joined read models: rows of tables, indexes, counters and what is pending, in LMDB.

A cache: what it holds can be loaded from the source again. Nothing in it is ever half a
transaction of the source.
"""

from cdc_daemon.state.applying import Batch, Deaf, Listener
from cdc_daemon.state.counters import Counter, counted, counted_only
from cdc_daemon.state.deciding import GoOn, Here, Rebuild
from cdc_daemon.state.fanouts import WAY_BYTES, FanOut
from cdc_daemon.state.knowing import Known, known_of
from cdc_daemon.state.mark import boot_id
from cdc_daemon.state.opening import Home, folder_of
from cdc_daemon.state.ordering import key_encoder
from cdc_daemon.state.rows import differ as values_differ
from cdc_daemon.state.rows import is_odd, unpacker, value_at, values_at
from cdc_daemon.state.schema import (
    AggregateWanted,
    IndexWanted,
    Part,
    Schema,
    Wanted,
    identity_of,
)
from cdc_daemon.state.staging import Staged
from cdc_daemon.state.store import Store
from cdc_daemon.state.table import Index, Table, ordered
from cdc_daemon.state.viewing import View

__all__ = [
    "WAY_BYTES",
    "AggregateWanted",
    "Batch",
    "Counter",
    "Deaf",
    "FanOut",
    "GoOn",
    "Here",
    "Home",
    "Index",
    "IndexWanted",
    "Known",
    "Listener",
    "Part",
    "Rebuild",
    "Schema",
    "Staged",
    "Store",
    "Table",
    "View",
    "Wanted",
    "boot_id",
    "counted",
    "counted_only",
    "folder_of",
    "identity_of",
    "is_odd",
    "key_encoder",
    "known_of",
    "ordered",
    "unpacker",
    "value_at",
    "values_at",
    "values_differ",
]
