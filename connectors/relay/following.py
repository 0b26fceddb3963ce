"""The log as it is followed: message by message, each of which must go on where the last ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cdc_daemon.errors import SourceError, StartAgainError
from connectors.relay.decoding import LogDecoder
from connectors.relay.layouts import row_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.events import Event, Relation
    from connectors.relay.decoding import RowPlan
    from connectors.relay.fetching import Fetched
    from connectors.relay.log import Layout, LogHead


class Followed(NamedTuple):
    """What of a log is followed, as it was found."""

    relations: Sequence[Relation]
    head: LogHead
    offset: int
    """Where the log said so of itself."""


class Following:
    """A `Reader` of one log from some message on."""

    def __init__(self, followed: Followed, order: Callable[[Relation], Sequence[str]]) -> None:
        """`order`: as `Relation.order`, as of now."""
        self._followed = followed
        self._order = order
        self._relations = {(each.schema, each.name): each for each in followed.relations}
        self._decoder = LogDecoder(self)
        self._offset = 0

    def events(self, fetched: Sequence[Fetched]) -> list[Event]:
        """Those of these messages."""
        events: list[Event] = []
        for message in fetched:
            self._offset = message.offset
            try:
                events.extend(self._decoder.decode(message.value))
            except (ValueError, LookupError, TypeError) as error:
                raise SourceError(
                    f"the message of the log at offset {message.offset} can't be understood: "
                    f"{error}. Where nobody else has written to the topic, it is a bug of "
                    "cdc-daemon: please report it"
                ) from error
        return events

    def heard(self, head: LogHead) -> None:
        """What the log says of itself must be what was found, from there on."""
        if self._offset < self._followed.offset:
            return
        before = self._followed.head
        if head.source_id != before.source_id:
            raise StartAgainError(f"the relay follows {head.source_id} now")
        for relation in self._followed.relations:
            name = relation.qualified_name
            if head.tables.get(name) != before.tables.get(name):
                raise StartAgainError(
                    f"the relay had not all changes of table {name}, or leaves it out"
                )

    def plan_for(self, layout: Layout) -> RowPlan | None:
        """By the table's name."""
        relation = self._relations.get((layout.schema, layout.name))
        return None if relation is None else row_plan(layout, relation, self._order(relation))
