"""Which columns hold text that the server takes for equal although it isn't the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.postgres.session import Connection

# A column has the collation of its text, also in an array and under a domain. What is within a
# range has that of the range's type; what is within an array of domains that of the domain.
# `rngmultitypid` is read through JSON because PostgreSQL 13 has none.
_NONDETERMINISTIC: Final = """
with recursive named as (
  select attrelid, attname, atttypid, attcollation from pg_catalog.pg_attribute
  where attrelid = any(%s) and attnum > 0 and not attisdropped
), held (oid, within) as (
  select atttypid, atttypid from named
  union
  select held.oid, inner_type.oid
  from held join pg_catalog.pg_type t on t.oid = held.within
  left join pg_catalog.pg_range r on r.rngtypid = t.oid
  left join pg_catalog.pg_range m
    on t.typtype = 'm' and (pg_catalog.to_jsonb(m) ->> 'rngmultitypid')::oid = t.oid
  cross join lateral (
    values (t.typelem), (t.typbasetype), (r.rngsubtype), (m.rngtypid)) inner_type (oid)
  where inner_type.oid <> 0
), collated (oid, by) as (
  select held.oid, t.typcollation from held join pg_catalog.pg_type t on t.oid = held.within
  union all
  select held.oid, r.rngcollation from held join pg_catalog.pg_range r on r.rngtypid = held.within
)
select distinct named.attrelid, named.attname::text
from named
join pg_catalog.pg_collation c on not c.collisdeterministic
where c.oid = named.attcollation
   or exists (select from collated where collated.oid = named.atttypid
              and collated.by = c.oid)
"""


def nondeterministic(connection: Connection, oids: Sequence[int]) -> set[tuple[int, str]]:
    """Those of the tables with these numbers, each with the number of its table."""
    found = connection.execute(_NONDETERMINISTIC, [list(oids)]).fetchall()
    return {(oid, name) for oid, name in found}
