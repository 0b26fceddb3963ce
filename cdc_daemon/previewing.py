"""What `cdc-daemon preview` shows: a document as it would be made now, beside the one in the index.

Of a joined read model it is made from the state, beside the daemon that has it; of a flat one from
its row, which is read from the source by its key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from cdc_daemon.assembly import Look, wanted
from cdc_daemon.errors import ConfigurationError, RetryError, SinkError, SourceError
from cdc_daemon.events import Position
from cdc_daemon.nearest import nearest
from cdc_daemon.projection.joined.plan import Plan
from cdc_daemon.projection.rejection import MARK, read_rejection
from cdc_daemon.state import folder_of
from cdc_daemon.state.offline import viewed
from cdc_daemon.values import split_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.configured import Configured
    from cdc_daemon.projection.flat import FlatProjection


@dataclass(frozen=True, slots=True)
class Preview:
    """A document, twice."""

    made_of: Literal["state", "source"]
    position: str
    """Where the state is; empty where it was made of the source's row, which is newer."""
    document: bytes | None
    """As it would be made now; None: there would be none."""
    rejected: str
    """Why it can't be made; empty where it can."""
    indexed: bytes | None
    """As it is in the index."""
    version: str
    """The position of that."""
    pending: bool
    """Whether it is on its way to the index."""
    differing: tuple[str, ...]
    """The paths at which both differ."""

    @property
    def verdict(self) -> str:
        """In one word."""
        if self.rejected:
            return "rejected"
        if not self.differing:
            return "equal"
        return "pending" if self.pending else "differs"


def preview(configured: Configured, projection: str, document_id: str) -> Preview:
    """Make the document of that id, and read the one in the index."""
    found = {one.name: one for one in configured.compiled.mapped}
    if projection not in found:
        close = nearest(projection, found)
        hint = f"; did you mean {close}?" if close else ""
        raise ConfigurationError(f"there is no projection {projection}{hint}")
    one = found[projection]
    if isinstance(one, Plan):
        return _of_state(configured, one, document_id)
    body = _of_row(configured, one, document_id)
    return _beside(configured, one.name, document_id, "source", ("", body, None, False))


def _of_state(configured: Configured, plan: Plan, document_id: str) -> Preview:
    config, plans = configured.configuration, configured.compiled.plans
    with viewed(folder_of(config.state.path, config.name), wanted(plans)) as view:
        found = Look(plans, view).document(plan.name, document_id)
    made = (configured.source.show(found.position), *found[1:])
    return _beside(configured, plan.name, document_id, "state", made)


def _of_row(configured: Configured, one: FlatProjection, document_id: str) -> bytes | None:
    """The document of the row with that key, as the source has it now."""
    parts = split_id(document_id) if len(one.key) > 1 else [document_id]
    if len(parts) != len(one.key):
        columns = ", ".join(one.key) or "columns that are protected"
        raise ConfigurationError(
            f"the id of {one.name} is made of {columns}, and {document_id} can't be taken apart to "
            "these"
        )
    reader = configured.source.chunk_reader()
    try:
        rows = reader.read_keys(one.relation, one.key, [tuple(parts)]).rows
    except RetryError as error:
        raise SourceError(str(error)) from error
    finally:
        reader.close()
    made = [each for row in rows if (each := one.load_partly_unreadable(row))]
    if not all(c.equal_by_text for c in one.relation.columns if c.name in one.key):
        # The source takes 'A' and 'a' for one key, and they are two documents.
        made = [(id_, body) for id_, body in made if json.loads(id_) == document_id]
    return made[0][1] if made else None


def _beside(
    configured: Configured,
    name: str,
    document_id: str,
    made_of: Literal["state", "source"],
    made: tuple[str, bytes | None, str | None, bool],
) -> Preview:
    position, body, routing, pending = made
    rejected = ""
    if body is not None and body.startswith(MARK):
        rejected, body = read_rejection(body).explanation, None
    try:
        there = configured.sink.documents.get(name, document_id, routing)
    except RetryError as error:
        raise SinkError(str(error)) from error
    version, indexed = (None, None) if there is None else there
    return Preview(
        made_of,
        position,
        body,
        rejected,
        indexed,
        "" if version is None else configured.source.show(Position(version)),
        pending,
        tuple(_differing(_parsed(body), _parsed(indexed), "")),
    )


def _parsed(document: bytes | None) -> Any:
    """With every digit of its numbers."""
    return None if document is None else json.loads(document, parse_float=Decimal)


def _differing(one: Any, other: Any, path: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            yield from _differing(one.get(name), other.get(name), f"{path}.{name}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _differing(left, right, f"{path}[{at}]")
    elif one != other:
        yield path or "the whole document"
