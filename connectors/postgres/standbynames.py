"""`synchronous_standby_names`: read, changed and written as PostgreSQL does. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cdc_daemon.errors import SourceError

ANYONE: Final = "*"
"""The name that every standby has."""

_NAME: Final = r'"(?:[^"]|"")+"|[A-Za-z_\x80-\U0010ffff][\w$]*|\*|[0-9]+'
_NAMES: Final = rf"(?:{_NAME})(?:\s*,\s*(?:{_NAME}))*"
_SETTING: Final = re.compile(
    rf"(?:(?:(?P<method>FIRST|ANY)\s+)?(?P<count>[0-9]+)\s*\(\s*(?P<counted>{_NAMES})\s*\))"
    rf"|(?P<plain>{_NAMES})",
    re.IGNORECASE,
)
NAME_BYTES: Final = 63
"""The server cuts application_name off there (NAMEDATALEN - 1)."""


def daemon_name(pipeline: str) -> str:
    """What the daemon of a pipeline calls itself."""
    return f"cdc-daemon:{pipeline}"[:NAME_BYTES]


def guard_name(pipeline: str) -> str:
    """What its guard calls itself."""
    return f"cdc-daemon-guard:{pipeline}"[:NAME_BYTES]


@dataclass(frozen=True, slots=True)
class StandbyNames:
    """Whom commits wait for: the first `count` of the names that are connected, in this order."""

    names: tuple[str, ...] = ()
    count: int = 1
    by_quorum: bool = False
    """Not for the first ones, but for any `count` of them."""

    def place(self, name: str) -> int:
        """Which of the names is that standby's, from 1 on; 0 if none. Case doesn't count."""
        wanted = {name.casefold(), ANYONE}
        places = (at for at, each in enumerate(self.names, 1) if each.casefold() in wanted)
        return next(places, 0)

    def surely_includes(self, name: str) -> bool:
        """Whether commits wait for that standby whenever it is connected."""
        is_certain = not self.by_quorum or self.count >= len(self.names)
        return is_certain and 0 < self.place(name) <= self.count

    def with_daemon(self, daemon: str, guard: str, *, guarded: bool) -> StandbyNames:
        """Have commits wait for the daemon too, and for as many of the others as before.

        The guard comes last: it stands in for whoever is away.
        """
        others = self.without_daemon(daemon, guard)
        last = (guard,) if guarded else ()
        count = others.count if others.names else 0
        return StandbyNames((daemon, *others.names, *last), count + 1, others.by_quorum)

    def without_daemon(self, daemon: str, guard: str) -> StandbyNames:
        """Have commits wait for the others only: what `with_daemon` began with."""
        ours = {daemon.casefold(), guard.casefold()}
        others = tuple(name for name in self.names if name.casefold() not in ours)
        if not others:
            return StandbyNames()
        fewer = 1 if daemon.casefold() in {name.casefold() for name in self.names} else 0
        return StandbyNames(others, max(1, self.count - fewer), self.by_quorum)

    def __str__(self) -> str:
        """As the setting is written; empty where nobody is waited for."""
        if not self.names:
            return ""
        quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in self.names)
        return f"{'ANY' if self.by_quorum else 'FIRST'} {self.count} ({quoted})"


def read_names(setting: str) -> StandbyNames:
    """What the setting says. Raises SourceError where that can't be told."""
    text = setting.strip()
    if not text:
        return StandbyNames()
    found = _SETTING.fullmatch(text)
    if found is None:
        raise SourceError(
            f"synchronous_standby_names is {setting!r}, which can't be read. Expected is such as "
            'FIRST 1 ("standby_1", "standby_2"): alter system set synchronous_standby_names = '
            "'FIRST 1 (\"standby_1\")'; select pg_reload_conf()"
        )
    names = re.findall(_NAME, found["counted"] or found["plain"])
    return StandbyNames(
        tuple(name[1:-1].replace('""', '"') if name[0] == '"' else name for name in names),
        int(found["count"] or 1),
        (found["method"] or "").upper() == "ANY",
    )
