"""The reader's end of holes: more of them than are remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.backfill import holes
from cdc_daemon.backfill.filler import HoleFiller
from cdc_daemon.errors import ManyLeftOutError, StopError
from cdc_daemon.events import Commit, Position
from tests.generators.pipeline_reader import HOTELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.backfill.conftest import Loading


def leave_out(loading: Loading, filler: HoleFiller, count: int) -> None:
    """One transaction updates so many rows, and leaves a value out of each."""
    index = loading.checkpoint.generations["hotels"].index
    filler.begin(Commit(Position(300), 0.0, 7))
    contents = [(b'"%d"' % number, b'?["%d"]' % number) for number in range(count)]
    sent = loading.delivery.dispatcher.send(index, Position(300), contents, after=Position(200))
    assert sent == 0


def test_rows_of_a_table_are_read_again_where_too_many_wait(
    make: Callable[..., Loading], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is named that left out more, and is not durable."""
    monkeypatch.setattr(holes, "MOST_HOLES", 3)
    loading = make(load=None)
    index = loading.checkpoint.generations["hotels"].index
    filler = HoleFiller(loading.source, loading.delivery, {index: HOTELS})
    before = loading.delivery.progress.received
    leave_out(loading, filler, 3)
    filler.require_all()
    leave_out(loading, filler, 5)
    with pytest.raises(ManyLeftOutError, match="more than 3 documents wait") as found:
        filler.require_all()
    assert (found.value.table, found.value.shown_by) == ("public.hotels", (300, 7))
    assert loading.delivery.progress.unfilled == before
    filler.step()
    assert shown(loading) == 3


def shown(loading: Loading) -> float | None:
    """How many documents wait, as the metrics say."""
    metrics = loading.delivery.metrics
    labels = {"pipeline": metrics.pipeline}
    return metrics.registry.get_sample_value("cdc_documents_unfilled", labels)


def test_who_does_not_lead_remembers_more_and_stops(
    make: Callable[..., Loading], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its leader has rows read again, and has about as many: it comes first."""
    monkeypatch.setattr(holes, "MOST_HOLES", 3)
    loading = make(load=None)
    index = loading.checkpoint.generations["hotels"].index
    filler = HoleFiller(loading.source, loading.delivery, {index: HOTELS}, leads=False)
    leave_out(loading, filler, 6)
    filler.require_all()
    leave_out(loading, filler, 7)
    with pytest.raises(StopError, match=r"alter table public\.hotels replica identity full"):
        filler.require_all()
