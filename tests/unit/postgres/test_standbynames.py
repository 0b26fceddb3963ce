"""Whom commits wait for: the setting as PostgreSQL writes it, with the daemon and without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_daemon.errors import SourceError
from connectors.postgres.standbynames import StandbyNames, read_names

DAEMON, GUARD = "cdc-daemon:hotel", "cdc-daemon-guard:hotel"
OTHERS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(
        lambda name: name.casefold() not in {DAEMON, GUARD, "*"}
    ),
    max_size=4,
    unique_by=str.casefold,
)


@pytest.mark.parametrize(
    ("setting", "names", "count", "by_quorum"),
    [
        ("", (), 1, False),
        (" s1 , s2", ("s1", "s2"), 1, False),
        ("*", ("*",), 1, False),
        ("2 (s1, s2)", ("s1", "s2"), 2, False),
        ("first 1(s1)", ("s1",), 1, False),
        ('ANY 2 ("a ""b""", 3, _c$)', ('a "b"', "3", "_c$"), 2, True),
    ],
)
def test_the_setting_is_read_as_the_server_reads_it(
    setting: str, names: tuple[str, ...], *, count: int, by_quorum: bool
) -> None:
    """With and without a method, quoted and not."""
    assert read_names(setting) == StandbyNames(names, count, by_quorum)


@pytest.mark.parametrize("setting", ["s1 s2", "FIRST (s1)", "2 (s1", "s1,", 'FIRST 1 ("")'])
def test_what_the_server_would_not_take_is_refused(setting: str) -> None:
    """With an example."""
    with pytest.raises(SourceError, match="FIRST 1"):
        read_names(setting)


@given(OTHERS, st.integers(1, 4), st.booleans())
def test_what_is_written_is_read_again(names: list[str], count: int, by_quorum: bool) -> None:  # noqa: FBT001 - generated
    """Whatever the names."""
    setting = StandbyNames(tuple(names), count if names else 1, by_quorum if names else False)
    assert read_names(str(setting)) == setting


@given(OTHERS, st.integers(1, 4), st.booleans())
def test_without_the_daemon_all_is_as_before(names: list[str], count: int, guarded: bool) -> None:  # noqa: FBT001 - generated
    """Also where it was put in twice."""
    before = StandbyNames(tuple(names), min(count, len(names)) if names else 1)
    with_daemon = before.with_daemon(DAEMON, GUARD, guarded=guarded)
    assert with_daemon.surely_includes(DAEMON.upper())
    assert with_daemon.with_daemon(DAEMON, GUARD, guarded=guarded) == with_daemon
    assert with_daemon.without_daemon(DAEMON, GUARD) == before


def test_the_daemon_comes_first_and_the_guard_last() -> None:
    """Commits wait for the daemon, and for as many others as before; the guard stands in."""
    before = read_names("FIRST 1 (s1, s2)")
    strict = before.with_daemon(DAEMON, GUARD, guarded=False)
    assert str(strict) == f'FIRST 2 ("{DAEMON}", "s1", "s2")'
    degrading = before.with_daemon(DAEMON, GUARD, guarded=True)
    assert str(degrading) == f'FIRST 2 ("{DAEMON}", "s1", "s2", "{GUARD}")'
    assert degrading.place(GUARD) == 4
    assert not degrading.surely_includes("s2")


def test_a_quorum_includes_nobody_surely() -> None:
    """Unless all of them are needed."""
    assert not read_names("ANY 1 (a, b)").surely_includes("a")
    assert read_names("ANY 2 (a, b)").surely_includes("b")
