"""How far searches are of those who read the log, as the leaders of their groups say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.errors import SinkError
from connectors.kafka.topics import Place, Topics
from connectors.relay.words import groups_of, leading, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.ports import Word
    from connectors.kafka.session import KafkaSection


class GroupsObserver:
    """An `Observer` of consumer groups. It is a member of none of them. One thread owns it."""

    def __init__(self, section: KafkaSection, client_id: str, pipelines: Sequence[str]) -> None:
        self._topics = {name: Topics(section, client_id, SinkError) for name in pipelines}
        self._groups: dict[str, str] = {}

    def look(self) -> dict[str, Word | str]:
        """What is committed of the one partition of each leader."""
        return {name: self._word(name, topics) for name, topics in self._topics.items()}

    def _word(self, name: str, topics: Topics) -> Word | str:
        if name not in self._groups:
            found = groups_of(name, topics.names())
            if not found:
                return f"no projector of {name} was ever there: start them"
            if len(found) > 1:
                named = ", ".join(group.removeprefix("cdc-daemon.") for group in found)
                return (
                    f"projectors of {name} write into several sinks: name those that commits wait "
                    f"for in consistency.strong.projectors, of {named}"
                )
            (self._groups[name],) = found
        group = leading(self._groups[name])
        said = topics.committed(group, [Place(group, 0)])
        word = next((read(one.metadata) for one in said.values()), None)
        if word is None:
            del self._groups[name]  # another one may be meant by now
            return (
                f"the projectors of {name} say nothing to commits that wait: their configuration "
                "needs source.relay and consistency.strong, and one of them must lead"
            )
        return word

    def close(self) -> None:
        """Close the connections. Safe to call twice."""
        for topics in self._topics.values():
            topics.close()
