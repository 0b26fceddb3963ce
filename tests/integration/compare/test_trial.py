"""A technique is tried on a real PostgreSQL: what it misses is found, and what fails is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.compare import pgbench, readtable
from cdc_daemon.compare.judging import DELETES, INVENTED, ROWS, STALE
from cdc_daemon.compare.readmodel import Selected
from cdc_daemon.compare.setting import Stage
from cdc_daemon.compare.technique import READ_TABLES, Technique
from cdc_daemon.compare.techniques import chosen
from cdc_daemon.compare.trial import Options, tried

if TYPE_CHECKING:
    from typing import LiteralString

    from cdc_daemon import embedded

SHORT = Options(seconds=1.0, rate=100.0, away_seconds=0.0)
ROWS_OF_THE_STORE = 200
FORGETFUL: LiteralString = f"""{readtable.CREATE};
create or replace function read_models.write_booking() returns trigger language plpgsql as $$
begin
  insert into read_models.bookings values (new.id, to_jsonb(new))
    on conflict (id) do update set document = excluded.document;
  return null;
end $$;
drop trigger write_booking on public.booking;
create trigger write_booking after insert or update on public.booking
  for each row execute function read_models.write_booking()
"""
"""As many write it: nobody has thought of deletes."""


def table_of(sql: LiteralString) -> Technique:
    """A read table that is kept by that SQL."""
    return Technique(
        name="table",
        title="a read table",
        sql=sql,
        read_model=lambda places: Selected(places.dsn, readtable.DOCUMENTS),
    )


def in_tables(name: str) -> Technique:
    """That technique, with its documents in a table of the database instead of OpenSearch."""
    [_, technique] = chosen(name)
    return replace(
        technique,
        sink=READ_TABLES,
        read_model=lambda places: Selected(
            places.dsn, f"select id, revision, batch from read_models.{technique.read_model_name}"
        ),
    )


@pytest.fixture
def stage(postgres_server: embedded.PostgresServer) -> Stage:
    """PostgreSQL alone: nothing of these is searched."""
    return Stage(postgres_server, "http://nobody.invalid", "", ROWS_OF_THE_STORE)


def test_a_technique_that_misses_nothing_has_all_its_figures(stage: Stage) -> None:
    """A read table that is kept in the writer's transaction is as the tables are, at once."""
    figures = tried(table_of(readtable.CREATE), stage, SHORT)
    assert figures.is_right, figures
    assert figures.missed
    assert figures.missed.counts == {DELETES: 0, ROWS: 0, STALE: 0, INVENTED: 0}
    assert figures.missed.compared >= ROWS_OF_THE_STORE
    assert figures.cost
    assert figures.cost.share > 0
    assert figures.delay
    assert figures.delay.p50 is not None
    assert figures.per_change
    assert figures.per_change.wal_bytes > 0
    assert figures.table_bytes > 0


@pytest.mark.parametrize(
    "name", ["cdc-tables", "outbox", "outbox-notify", "polling-xmin", "polling-comparison"]
)
def test_a_daemon_misses_no_more_than_its_way_is_known_to(stage: Stage, name: str) -> None:
    """Nor while it is away: what was committed meanwhile comes after its start."""
    seconds = 6.0 if name == "polling-xmin" else 1.0  # several polls: rows are found, and deleted
    options = Options(seconds=seconds, rate=100.0, away_seconds=seconds)
    figures = tried(in_tables(name), stage, options)
    assert figures.is_right, figures
    assert figures.missed
    assert figures.missed.compared >= ROWS_OF_THE_STORE
    assert {STALE: 0, INVENTED: 0, ROWS: 0}.items() <= figures.missed.counts.items()
    assert (figures.missed.counts[DELETES] == 0) == (name != "polling-xmin")
    assert figures.away
    assert figures.away.changes > 0
    assert (figures.away.lost[DELETES] == 0) == (name != "polling-xmin")
    assert figures.drained_per_second


def test_an_outbox_that_only_the_application_writes_misses_nothing(stage: Stage) -> None:
    """Neither at full speed, nor steadily, nor while its daemon is away; no trigger is there."""
    technique = in_tables("outbox-application")
    figures = tried(technique, stage, Options(seconds=1.0, rate=50.0, away_seconds=1.0))
    assert figures.is_right, figures
    assert figures.missed
    assert not any(figures.missed.counts.values())
    assert figures.away
    assert figures.away.changes > 0 < figures.away.kept_bytes
    assert figures.drained_per_second


def test_an_application_that_posts_beside_cdc_misses_nothing(stage: Stage) -> None:
    """Nor while the daemon is away, and takes no posts: the stream brings what they had."""
    technique = in_tables("application-cdc")
    figures = tried(technique, stage, Options(seconds=1.0, rate=20.0, away_seconds=1.0))
    assert figures.is_right, figures
    assert figures.missed
    assert not any(figures.missed.counts.values())
    assert figures.away
    assert figures.away.changes > 0


def test_an_application_that_nobody_repairs_loses_what_it_posts_to_nobody(stage: Stage) -> None:
    """Existing rows are posted first; while the daemon is away posts are lost, and counted so."""
    technique = in_tables("application")
    figures = tried(technique, stage, Options(seconds=1.0, rate=20.0, away_seconds=1.0))
    assert figures.is_right, figures
    assert figures.missed
    assert figures.missed.compared >= ROWS_OF_THE_STORE
    assert figures.away
    assert figures.away.changes > 0
    assert sum(figures.away.lost.values()) > 0


def test_a_delete_that_is_forgotten_is_counted(stage: Stage) -> None:
    """Nothing else is missed; it is a fault, with its sentence."""
    figures = tried(table_of(FORGETFUL), stage, SHORT)
    assert figures.missed
    wrong = {kind: count for kind, count in figures.missed.counts.items() if count}
    assert [*wrong] == [DELETES]
    assert figures.faults == [f"{wrong[DELETES]} deleted rows are still found, while it ran"]


def test_a_technique_that_hangs_says_so(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of the others aren't lost by it."""
    monkeypatch.setattr(pgbench, "PATIENCE_SECONDS", -0.9)
    figures = tried(table_of(readtable.CREATE), stage, SHORT)
    assert "pgbench has not ended within" in (figures.failed or "")


def test_a_technique_that_fails_says_why(stage: Stage) -> None:
    """Its figures are those that it came to, and nothing is raised: the others go on."""
    figures = tried(table_of("select 1/0"), stage, SHORT)
    assert figures.failed == "division by zero"
    assert not figures.is_right
    assert figures.cost is None
