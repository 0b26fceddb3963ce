"""What the documents of a configuration must be: the SQL that `cdc-daemon explain --sql` prints."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from cdc_daemon import registry
from cdc_daemon.config import load
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.compiler import compile_plan
from cdc_daemon.projection.joined.sql import documents_sql
from cdc_daemon.projection.showing import Showing
from cdc_daemon.sinks import open_sink

if TYPE_CHECKING:
    from pathlib import Path


def explained(file: Path) -> dict[str, str]:
    """The statement of each read model; the source is asked about all tables at once."""
    loaded = load(file, os.environ)
    said = loaded.configuration
    factory = registry.source_factory(said.source.type)  # type: ignore[attr-defined]  # each has one
    with ExitStack() as stack:
        source, sink = factory(said.source, pipeline=said.name), open_sink(said)
        stack.callback(source.close)
        stack.callback(sink.close)
        relations = source.describe([TableRequest(name) for name in said.tables])
        tables = dict(zip(said.tables, relations, strict=True))
        statements = {}
        for name, config in said.projections.items():
            own = {table: tables[table] for table in config.tables}
            plan = compile_plan(name, config, own, loaded.locate, Showing(sink.form))
            statements[name] = documents_sql(plan, None)
    return statements
