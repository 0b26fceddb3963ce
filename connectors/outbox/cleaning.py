"""Empties the parts of the outbox that have been read, without bloat and without being waited for.

A part is truncated when nobody uses it at that moment, it isn't the one that is written, and all of
it was confirmed. The last is looked at under its lock, which is taken at once or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from connectors.outbox.objects import PART_CHANGES, PARTS, part_name

if TYPE_CHECKING:
    from connectors.outbox.journal import Entry
    from connectors.postgres.puredriver import PureConnection

_FULL: Final = """
select number from generate_series(0, {parts} - 1) as number
where pg_relation_size(format('%I.%I', {schema}, 'change_' || number)::regclass) > 0
  and number <> coalesce(pg_sequence_last_value({sequence}), 0) / {part_changes} % {parts}
"""


_EMPTY: Final = """
do $$ begin
  lock table {part} in access exclusive mode nowait;
  if not exists (select from {part} where {unseen}) then
    truncate {part};
  end if;
exception when lock_not_available then perform set_config('cdc_daemon.in_use', 'yes', true);
end $$;
select current_setting('cdc_daemon.in_use', true) = 'yes'
"""


def empty_parts(session: PureConnection, schema: str, confirmed: Entry) -> bool:
    """Empty those whose changes `confirmed` saw, each by itself: nothing stays locked.

    False where one was in use, so that it is to be tried again although nothing more is confirmed.
    """
    none_in_use = True
    query = sql.SQL(_FULL).format(
        parts=sql.Literal(PARTS),
        part_changes=sql.Literal(PART_CHANGES),
        schema=sql.Literal(schema),
        sequence=sql.SQL("{}::regclass").format(sql.Literal(f'"{schema}".change_id')),
    )
    for (number,) in session.rows(query.as_string(), "look at the parts of the outbox"):
        part = part_name(schema, int(number or 0))
        [(in_use,)] = session.rows(
            _EMPTY.format(part=part, unseen=confirmed.unseen), "empty a part of the outbox"
        )
        none_in_use = none_in_use and in_use != "t"
    return none_in_use
