"""An application that writes the outbox itself, in the transaction that changes the row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString

from cdc_daemon.client import outbox
from cdc_daemon.compare import store
from cdc_daemon.compare.application import Application

if TYPE_CHECKING:
    from collections.abc import Mapping

WRITTEN: Final = f"written_by_applications: [{store.TABLE}]"
"""What its source says beyond that of triggers."""

_NOTED: Final[LiteralString] = """
with changed as ({change} returning *)
insert into cdc_daemon.change ("table", op, "row")
  select 'public.booking', 'U', row_to_json(changed) from changed
"""
CHANGE_ONE: Final[LiteralString] = _NOTED.format(change=store.CHANGE_ONE)
"""In one statement, as an application would that minds its round trips."""
CHANGE_MANY: Final[LiteralString] = _NOTED.format(change=store.CHANGE_MANY)


class NotingApplication(Application):
    """Says of each row what has become of it; nobody does where its code doesn't."""

    def written(self, row: Mapping[str, Any], *, is_deleted: bool) -> None:
        """One more statement of the same transaction."""
        if is_deleted:
            outbox.add(self.connection, store.TABLE, key={"id": row["id"]})
        else:
            outbox.add(self.connection, store.TABLE, row=row)
