"""Makes the publication right where the source is: on the server itself, or on its primary.

And says how tables are its members then: what is altered later is another text.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from cdc_daemon.errors import NotYetError
from connectors.postgres.chunkreader import wal_pages
from connectors.postgres.membership import memberships
from connectors.postgres.primary import end_of_log
from connectors.postgres.publication import (
    ensure_publication,
    find_missing,
    require_may_publish,
)
from connectors.postgres.publishedcolumns import lacks_generated, publish_later_ones
from connectors.postgres.replayed import wait_replayed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.primary import Primary
    from connectors.postgres.session import Connection


def publish(
    connection: Connection, name: str, relations: Sequence[Relation], *, manage: bool
) -> None:
    """Have the publication hold `relations`, and what is generated later."""
    ensure_publication(connection, name, relations, manage=manage)
    publish_later_ones(connection, name, relations, manage=manage)


def publish_on_primary(
    primary: Primary,
    standby: Connection,
    name: str,
    relations: Sequence[Relation],
    *,
    manage: bool,
) -> None:
    """The same on the primary of `standby`; returns once the standby has replayed it.

    Where nothing is missing the primary isn't asked: it may be away.
    """
    missing = find_missing(standby, name, relations)
    if missing and not manage:
        publish(standby, name, relations, manage=False)
    if not missing and lacks_generated(standby, name, relations) is None:
        return
    with closing(primary.connect()) as connection:
        publish(connection, name, relations, manage=manage)
        end = end_of_log(connection, wal_pages(connection))
    wait_replayed(standby, end)


def published(connection: Connection, name: str, relations: Sequence[Relation]) -> dict[str, str]:
    """How each of `relations` is a member of the publication, which was right just now.

    Raises NotYetError where somebody has altered it meanwhile: whoever compares it later with what
    was altered already would find it as it was, whatever it leaves out.
    """
    found = memberships(connection, name, relations)
    # Only now: what is altered from here on is another text than what was read.
    if find_missing(connection, name, relations):
        text = f"publication {name} was altered while it was looked at"
        raise NotYetError(text, reason="altered")
    return found


def require_may_publish_on_primary(
    primary: Primary, name: str, relations: Sequence[Relation]
) -> None:
    """Whether `publish_on_primary` could do it. Raises SourceError."""
    with closing(primary.connect()) as connection:
        require_may_publish(connection, name, relations)
