"""The techniques that are compared. One more is one more entry here."""

from __future__ import annotations

from typing import Final

from cdc_daemon.compare import outboxwrite, readtable
from cdc_daemon.compare.dualwrite import (
    POSTED,
    WEB,
    LoneApplication,
    RepairedApplication,
    post_existing,
)
from cdc_daemon.compare.judging import DELETES, ROWS, STALE, STATES
from cdc_daemon.compare.readmodel import Selected
from cdc_daemon.compare.technique import (
    CDC,
    INSTALL_OUTBOX,
    OUTBOX,
    READ_TABLES,
    Technique,
    from_log,
    polled,
)
from cdc_daemon.errors import CdcError
from cdc_daemon.nearest import nearest

BASELINE: Final = Technique(name="none", title="nothing: the writers alone", read_model=None)

TECHNIQUES: Final = (
    BASELINE,
    Technique(name="cdc", title="CDC: logical replication", source=CDC),
    Technique(
        name="cdc-tables",
        title="CDC into read tables of the same database",
        source=CDC,
        sink=READ_TABLES,
        mapping=", indexes: [id]",
        read_model=lambda places: Selected(
            places.dsn, "select id, revision, batch from read_models.bookings_cdc_tables"
        ),
    ),
    Technique(
        name="outbox",
        title="triggers write an outbox, which is looked at ten times a second",
        source=OUTBOX,
        commands=(INSTALL_OUTBOX,),
    ),
    Technique(
        name="outbox-notify",
        title="triggers write an outbox, and commits wake its reader",
        source=f"{OUTBOX}, notify: true",
        commands=(INSTALL_OUTBOX,),
    ),
    Technique(
        name="outbox-application",
        title="the application writes the outbox itself, and no trigger does",
        source=f"{OUTBOX}, {outboxwrite.WRITTEN}",
        commands=(INSTALL_OUTBOX,),
        application=lambda places: outboxwrite.NotingApplication(places.dsn),
        change_one=outboxwrite.CHANGE_ONE,
        change_many=outboxwrite.CHANGE_MANY,
    ),
    Technique(
        name="kafka-log",
        title="a relay writes whole transactions to Kafka, and a daemon reads them there",
        source=from_log("kafka-log"),
        is_relayed=True,
    ),
    Technique(
        name="polling-watermark",
        title="rows with a later updated_at, every 2 s",
        source=polled("{column: updated_at, overlap: 5s}"),
        admits=frozenset({DELETES, STATES}),
    ),
    Technique(
        name="polling-xmin",
        title="rows of later transactions, every 2 s",
        source=polled("xmin"),
        admits=frozenset({DELETES, STATES}),
    ),
    Technique(
        name="polling-comparison",
        title="all rows, compared with those before, every 2 s",
        source=polled("comparison"),
        admits=frozenset({STATES}),
    ),
    Technique(
        name="application-cdc",
        title="the application posts after COMMIT, and CDC repairs",
        source=CDC,
        web=WEB,
        application=lambda places: RepairedApplication(places.dsn, places.daemon_url),
        change_one=None,
    ),
    Technique(
        name="application",
        title="the application posts after COMMIT, and nobody repairs",
        source=POSTED,
        web=WEB,
        load=lambda places: post_existing(places.dsn, places.daemon_url),
        application=lambda places: LoneApplication(places.dsn, places.daemon_url),
        change_one=None,
        reads_source=False,
        admits=frozenset({DELETES, ROWS, STALE, STATES}),
    ),
    Technique(
        name="trigger-table",
        title="a read table that triggers maintain in the same transaction",
        sql=readtable.CREATE,
        read_model=lambda places: Selected(places.dsn, readtable.DOCUMENTS),
    ),
)


def chosen(names: str) -> list[Technique]:
    """Those of a list with commas, in their usual order; all of them for an empty one.

    The baseline is always among them. Raises CdcError for a name that there isn't.
    """
    known = {technique.name: technique for technique in TECHNIQUES}
    wanted = {name for part in names.split(",") if (name := part.strip())} or set(known)
    for name in sorted(wanted - set(known)):
        guess = nearest(name, known)
        hint = f" Did you mean {guess}?" if guess else ""
        raise CdcError(f"there is no technique {name!r}.{hint} There are: {', '.join(known)}")
    wanted.add(BASELINE.name)
    return [technique for name, technique in known.items() if name in wanted]
