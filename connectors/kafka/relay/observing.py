"""How far searches are of those who read the log, as the leaders of their groups say."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import CdcError, SinkError
from connectors.kafka.topics import Place, Topics
from connectors.relay.words import groups_of, leading, marks_of, read

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cdc_daemon.ports import Word
    from connectors.kafka.session import KafkaSection
    from connectors.relay.log import LogHead

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often it is asked who is there: what was said stays for days after they are gone."""


class GroupsObserver:
    """An `Observer` of consumer groups. It is a member of none of them. One thread owns it."""

    def __init__(
        self,
        section: KafkaSection,
        client_id: str,
        pipelines: Sequence[str],
        head: LogHead | None = None,
    ) -> None:
        """`head`: of the log as it is. What is said of before a break of it doesn't count. None:
        nobody knows.
        """  # noqa: D205 - one sentence
        marks = None if head is None else marks_of(head)
        self._pipelines = {
            name: Projectors(name, Topics(section, client_id, SinkError), marks)
            for name in pipelines
        }

    def look(self) -> dict[str, Word | str]:
        """What is committed of the one partition of each leader."""
        return {name: one.look() for name, one in self._pipelines.items()}

    def close(self) -> None:
        """Close the connections. Safe to call twice."""
        for one in self._pipelines.values():
            one.close()


class Projectors:
    """Those of one name. They are in a group for each sink that any of them has written into."""

    def __init__(self, name: str, topics: Topics, marks: Collection[str] | None) -> None:
        self._name = name
        self._topics = topics
        self._marks = marks
        self._group = ""
        """The one that is meant."""
        self._others: set[str] = set()
        """Those that were there while it was: whether they are meant once it isn't, who knows."""
        self._why_not = ""
        """Why nobody is heard."""
        self._looked_at = -inf
        self._is_lost = False

    def look(self) -> Word | str:
        """What their leader says, or why nothing; trouble with these hides no others."""
        try:
            word = self._look()
        except CdcError as error:
            if not self._is_lost:
                log.warning("projectors_not_seen", projectors=self._name, error=str(error))
            self._is_lost = True
            return str(error)
        if isinstance(word, str):
            return word
        self._is_lost = False
        return word

    def close(self) -> None:
        """Close the connections."""
        self._topics.close()

    def _look(self) -> Word | str:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            try:
                self._why_not = self._look_around()
            except CdcError as error:
                self._why_not = str(error)
                raise
        return self._why_not or self._word()

    def _look_around(self) -> str:
        """See who is there, and which group is meant; why it can't be heard, or nothing."""
        found = groups_of(self._name, self._topics.names())
        there = [group for group in found if self._topics.members(leading(group))]
        if self._group in there:
            self._others.update(group for group in there if group != self._group)
            return ""
        if len(there) == 1 and there[0] not in self._others:
            if self._group:
                log.warning("projectors_elsewhere", before=self._group, now=there[0])
            (self._group,) = there
            return ""
        if there:
            named = ", ".join(group.removeprefix("cdc-daemon.") for group in found)
            return (
                f"projectors of {self._name} write into several sinks: name those that commits "
                f"wait for in consistency.strong.projectors, of {named}"
            )
        if found:
            return f"no projector of {self._name} that may lead is there: start them"
        return (
            f"no projector of {self._name} was ever there: start them; or we may not see their "
            "topics: let the relay's user Describe topics and groups "
            f"cdc-daemon.{self._name.partition('.')[0]}."
        )

    def _word(self) -> Word | str:
        group = leading(self._group)
        said = self._topics.committed(group, [Place(group, 0)])
        found = next((read(one.metadata) for one in said.values()), None)
        if found is None:
            return (
                f"the projectors of {self._name} say nothing to commits that wait: their "
                "configuration needs source.relay and consistency.strong, and one of them must lead"
            )
        if self._marks is not None and found.mark not in self._marks:
            return (
                f"the projectors of {self._name} have yet to come past a break in the log: what "
                "they say is of before it"
            )
        return found.word
