"""How generated columns come by their values: what the catalog says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.errors import RetryError
from cdc_daemon.events import Generated
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectors.postgres.session import Connection

STREAMED_VERSION: Final = 180000
"""From here on stored generated columns can be published; virtual ones, which it has, can't."""

# What isn't PostgreSQL's own shows with its schema: nobody takes somebody's `lower` for that one.
_SEARCH_PATH: Final = "set local search_path = pg_catalog"
# Before PostgreSQL 15 the column itself depends on what it is made of, later its expression does.
_GENERATED: Final = """
select a.attrelid, a.attname::text, a.attgenerated::text = 's',
       pg_catalog.pg_get_expr(d.adbin, d.adrelid), array(
         select i.attname::text
         from pg_catalog.pg_depend p
         join pg_catalog.pg_attribute i on i.attrelid = p.refobjid and i.attnum = p.refobjsubid
         where p.refclassid = 'pg_class'::regclass and p.refobjid = a.attrelid
           and i.attnum > 0 and i.attnum <> a.attnum
           and ((p.classid = 'pg_attrdef'::regclass and p.objid = d.oid)
                or (p.classid = 'pg_class'::regclass and p.objid = a.attrelid
                    and p.objsubid = a.attnum))
         order by i.attnum)
from pg_catalog.pg_attribute a
join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = any(%s) and a.attgenerated <> '' and not a.attisdropped
"""


class Making(NamedTuple):
    """Of one generated column."""

    how: Generated
    is_streamed: bool


def read_generated(
    connection: Connection, leaves: Mapping[int, Sequence[int]]
) -> dict[tuple[int, str], Making]:
    """The generated columns of tables, by table and name.

    `leaves`: the partitions of each table, which may generate the column in other ways than it.
    Raises RetryError where one of them is dropped meanwhile.
    """
    streams = connection.info.server_version >= STREAMED_VERSION
    oids = [*leaves, *(leaf for some in leaves.values() for leaf in some)]
    with mapped_errors("read the generated columns"), connection.transaction():
        connection.execute(_SEARCH_PATH)
        lines = connection.execute(_GENERATED, [oids]).fetchall()
    if any(expression is None for *_, expression, _ in lines):
        raise RetryError(
            "a table with generated columns was dropped while the catalog was read", reason="away"
        )
    made = {
        (oid, name): Making(Generated(expression.strip(), tuple(inputs)), stored and streams)
        for oid, name, stored, expression, inputs in lines
    }
    return {
        (oid, name): making._replace(
            how=_together(
                making.how, [made[leaf, name].how for leaf in leaves[oid] if (leaf, name) in made]
            )
        )
        for (oid, name), making in made.items()
        if oid in leaves
    }


def _together(whole: Generated, parts: Sequence[Generated]) -> Generated:
    every = (whole, *parts)
    same = {each.expression for each in every} == {whole.expression}
    inputs = dict.fromkeys(name for each in every for name in each.inputs)
    return Generated(whole.expression if same else "", tuple(inputs))
