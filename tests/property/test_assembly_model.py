"""Random histories in memory: after every batch the documents are what a naive evaluation makes.

The catalog is PostgreSQL's; rows and changes are made here, so that there are many worlds a second.
PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.events import Position
from cdc_daemon.state import Staged
from cdc_daemon.values import SESSION_SETTINGS
from tests.generators import worlds
from tests.generators.budget import rounds, seeded
from tests.generators.catalog import Catalog
from tests.generators.evaluator import documents
from tests.generators.kept_documents import KeptDocuments
from tests.generators.model_history import ModelHistory
from tests.generators.random_plans import random_plans
from tests.generators.states import new_store

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.conftest import Database

BATCHES = 20


def test_documents_are_what_a_naive_evaluation_makes(database: Database, tmp_path: Path) -> None:
    """Any change of any row at any depth, in any kind of embed."""
    seed, rng = seeded()
    counts: Counter[str] = Counter()
    options = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
    with psycopg.connect(database.dsn, autocommit=True, options=options) as connection:
        catalog = Catalog(connection)
        try:
            for number in rounds():
                _follow_world(rng, catalog, tmp_path / str(number), counts)
                counts["worlds"] += 1
        finally:
            print(f"model: {dict(counts)}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts
    assert counts["documents"]


def _follow_world(rng: Random, catalog: Catalog, folder: Path, counts: Counter[str]) -> None:
    world = worlds.random_world(rng, "w")
    mappings, compiled = random_plans(rng, world, catalog.relations(world))
    if not compiled.plans:
        return
    history = ModelHistory(rng, world, compiled.relations, catalog.written)
    told: list[object] = []
    with new_store(folder) as store:
        kept = KeptDocuments(compiled.plans, store, counts, rng)
        for position in range(1, 3 * BATCHES, 3):
            batch = []
            for at in range(rng.choice((1, 1, 2, 3))):
                staged = Staged(store.tables, folder, rng.choice((300, 10**6)))
                for change in history.transaction():
                    told.append((change.relation.name, change.kind.name, change.old, change.new))
                    counts["changes"] += 1
                    staged.put(change)
                batch.append((staged, Position(position + at)))
                told.append("commit")
            kept.apply(batch)
            tables = {one.qualified_name: history.rows(one) for one in compiled.relations}
            for plan in compiled.plans:
                meant = documents(plan, tables)
                counts["documents"] += len(meant)
                for differing in kept.differing(plan, meant, batch[-1][1]):
                    lines = [worlds.shown(mappings[plan.name]), *world.ddl, *map(str, told)]
                    pytest.fail("\n".join([differing, *lines]))
