"""Empties the parts of the outbox that have been read, without bloat and without being waited for.

A part is truncated when nobody uses it at that moment, it isn't the one that is written, and all of
it was confirmed. Which of that is so is looked at under its lock, which is taken at once or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from psycopg import sql

from cdc_daemon.errors import RetryError
from connectors.outbox.objects import PART_CHANGES, PARTS, part_name

if TYPE_CHECKING:
    from connectors.outbox.journal import Entry
    from connectors.postgres.puredriver import PureConnection

log = structlog.get_logger(__name__)

_FULL: Final = """
select number from generate_series(0, {parts} - 1) as number
where pg_relation_size(format('%I.%I', {schema}, 'change_' || number)::regclass) > 0
  and number <> coalesce(pg_sequence_last_value({sequence}), 0) / {part_changes} % {parts}
"""


def empty_parts(session: PureConnection, schema: str, confirmed: Entry) -> int:
    """Empty those whose changes `confirmed` saw; how many were."""
    query = sql.SQL(_FULL).format(
        parts=sql.Literal(PARTS),
        part_changes=sql.Literal(PART_CHANGES),
        schema=sql.Literal(schema),
        sequence=sql.SQL("{}::regclass").format(sql.Literal(f'"{schema}".change_id')),
    )
    emptied = 0
    for (number,) in session.rows(query.as_string(), "look at the parts of the outbox"):
        part = part_name(schema, int(number or 0))
        emptied += _emptied(session, part, confirmed)
    return emptied


def _emptied(session: PureConnection, part: str, confirmed: Entry) -> bool:
    try:
        [(is_left,)] = session.rows(
            f"begin; lock table {part} in access exclusive mode nowait; "  # noqa: S608 - quoted
            f"select exists (select from {part} where {confirmed.unseen})",
            "empty a part of the outbox",
        )
        if is_left == "f":
            session.rows(f"truncate {part}; commit", "empty a part of the outbox")
            log.debug("outbox_part_emptied", part=part)
            return True
    except RetryError as error:
        if error.reason != "locked":
            raise
    session.rows("rollback")
    return False
