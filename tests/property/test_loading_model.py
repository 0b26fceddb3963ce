"""Random worlds whose rows are there before the daemon is: loaded, counted and written in slices.

In memory, as `test_assembly_model.py`. PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a
run.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.assembly import joined, recounting
from cdc_daemon.state import store as state_store
from cdc_daemon.values import SESSION_SETTINGS
from tests.generators import worlds
from tests.generators.budget import repeatable, rounds, seeded
from tests.generators.catalog import Catalog
from tests.generators.evaluator import documents
from tests.generators.loading_world import LoadingWorld
from tests.generators.model_history import ModelHistory
from tests.generators.random_plans import random_plans
from tests.generators.states import found_store, new_store

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.conftest import Database

MOST_STEPS = 2000


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that much happens between them."""
    monkeypatch.setattr(joined, "SLICE", 2)
    monkeypatch.setattr(recounting, "SLICE", 2)
    monkeypatch.setattr(state_store, "SLICE", 2)


def test_what_was_there_before_is_loaded_beside_the_stream(
    database: Database, tmp_path: Path
) -> None:
    """Each generation is whole in the end; one more projection loads and counts what it lacks."""
    seed, rng = seeded()
    counts: Counter[str] = Counter()
    options = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
    with psycopg.connect(database.dsn, autocommit=True, options=options) as connection:
        catalog = Catalog(connection)
        with repeatable(seed):
            for number in rounds():
                _load_world(rng, catalog, tmp_path / str(number), counts)
                counts["worlds"] += 1
    print(f"loading: {dict(counts)}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts
    assert counts["documents"]


def _load_world(rng: Random, catalog: Catalog, folder: Path, counts: Counter[str]) -> None:
    world = worlds.random_world(rng, "w")
    _, compiled = random_plans(rng, world, catalog.relations(world))
    if not compiled.plans:
        return
    history = ModelHistory(rng, world, compiled.relations, catalog.written)
    for _ in range(20):
        history.transaction()
    some = compiled.plans[: rng.randint(1, len(compiled.plans))]
    with new_store(folder) as store:
        loading = LoadingWorld(history, store, some, folder, counts)
        _finish(loading, rng, counts)
        for _ in range(rng.choice((0, 4))):
            loading.step()  # a restart may find wide changes that are open
    with found_store(folder) as store:
        tables = sorted(one.qualified_name for one in compiled.relations)
        anew = rng.sample(tables, rng.choice((0, 0, 1)))
        _finish(loading.restarted(store, compiled.plans, anew), rng, counts)


def _finish(loading: LoadingWorld, rng: Random, counts: Counter[str]) -> None:
    steps = 0
    while not loading.step():
        steps += 1
        assert steps < MOST_STEPS
    for _ in range(rng.randint(0, 3) * 4):
        loading.step()
    loading.settle()
    tables = {one.qualified_name: loading.history.rows(one) for one in loading.relations}
    for plan in loading.plans:
        meant = documents(plan, tables)
        counts["documents"] += len(meant)
        assert loading.documents(plan) == meant, plan.name
