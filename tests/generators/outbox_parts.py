"""Parts of an outbox that are filled by hand, and emptied by its reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.outbox.objects import PART_CHANGES

if TYPE_CHECKING:
    from tests.generators.outbox_rows import Added
    from tests.integration.outbox.conftest import Connection


def write_parts(connection: Connection, added: Added) -> None:
    """Into three parts of the outbox."""
    for part in range(3):
        connection.execute("select setval('cdc_daemon.change_id', %s)", [part * PART_CHANGES + 1])
        connection.execute("insert into item values (%s)", [part])
    added.read_all()


def clean(added: Added, connection: Connection) -> int:
    """All is durable, and the outbox is cleaned now and then; how many parts hold something."""
    position = added.commits[-1].position
    added.source.confirm(received=position, durable=position, searchable=position)
    added.take(added.source.read(0.1))
    return kept_parts(connection)


def kept_parts(connection: Connection) -> int:
    """How many parts hold something."""
    [(count,)] = connection.execute(
        "select count(*) from pg_class where relname ~ '^change_[0-9]$' "
        "and pg_relation_size(oid) > 0"
    )
    return int(count)
