"""Versions that messages bring: of a transaction, or of each of its changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.errors import RetryError
from cdc_daemon.events import OwnVersion
from tests.generators.conditions import wait_until
from tests.generators.pipeline_reader import commit, insert, truncate

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Event
    from tests.generators.pipeline_reader import Reader


def test_documents_have_the_version_that_a_commit_brings(
    make_reader: Callable[..., Reader],
) -> None:
    """And the position of the commit is what is durable then."""
    reader = make_reader()
    reader.source.script = [[insert(1), replace(commit(110), version=7), insert(2), commit(120)]]
    reader.start()
    assert wait_until(lambda: reader.last_confirmed() == (120, 120, 120))
    assert [version for version, _ in reader.searchable().values()] == [7, 120]


def test_changes_of_one_transaction_have_versions_of_their_own(
    make_reader: Callable[..., Reader],
) -> None:
    """Each document that of what changed it last, whichever comes last in the transaction."""
    reader = make_reader()
    reader.source.script = [
        [insert(1), commit(105)],
        [
            insert(1, "a"),
            OwnVersion(900),
            insert(2),
            OwnVersion(7),
            insert(1, "b"),
            OwnVersion(901),
        ],
        [insert(3), commit(110)],
        [insert(2, "next"), replace(commit(120), version=8)],
    ]
    reader.start()
    assert wait_until(lambda: reader.last_confirmed() == (120, 120, 120))
    assert reader.searchable() == {
        b'"1"': (901, b'{"name":"b"}'),
        b'"2"': (8, b'{"name":"next"}'),
        b'"3"': (110, b'{"name":"x"}'),
    }


def test_changes_with_versions_of_their_own_are_forgotten_with_their_transaction(
    make_reader: Callable[..., Reader],
) -> None:
    """It comes again whole after the connection was lost."""
    reader = make_reader()
    reader.source.script = [
        [insert(7), OwnVersion(7), insert(8), OwnVersion(3)],
        RetryError("connection lost"),
        [insert(8, "again"), OwnVersion(4), commit(120)],
    ]
    reader.start()
    assert wait_until(lambda: reader.delivery.progress.searchable() == 120)
    assert reader.searchable() == {b'"8"': (4, b'{"name":"again"}')}


@pytest.mark.parametrize("together", [False, True])
def test_a_truncate_with_a_version_takes_what_is_as_old(
    make_reader: Callable[..., Reader], *, together: bool
) -> None:
    """Versions that messages bring may leave no room between them; what comes later stays."""

    def ends(position: int, version: int) -> list[Event]:
        if together:
            return [OwnVersion(version)]
        return [replace(commit(position), version=version)]

    reader = make_reader()
    reader.source.script = [
        [insert(1), replace(commit(110), version=6), insert(2), replace(commit(115), version=7)],
        [truncate(), *ends(120, 8), insert(3), *ends(125, 9), insert(4), *ends(130, 9)],
        [commit(140)],
    ]
    reader.start()
    assert wait_until(lambda: reader.delivery.progress.searchable() == 140)
    there = {key: known[0] for key, known in reader.searchable().items() if known[1]}
    assert there == {b'"3"': 9, b'"4"': 9}
