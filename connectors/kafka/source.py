"""Topics of Kafka as a `Source`: each message a commit of its own, in the order of arrival."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from cdc_daemon.errors import RetryError, SourceError, StartAgainError
from cdc_daemon.events import Coverage, Position
from cdc_daemon.ports import CHUNK_BYTES, MessageReport
from connectors.kafka.clock import KafkaClock
from connectors.kafka.config import KafkaConfig
from connectors.kafka.doctor import examine
from connectors.kafka.followed import follow, memberships
from connectors.kafka.following import Following
from connectors.kafka.place import kept_place, require_alone, set_place
from connectors.kafka.registry import Registry
from connectors.kafka.stream import Stream
from connectors.kafka.topics import Place, Topics
from connectors.messages.fromstart import FromStart
from connectors.messages.history import GivenTokens, history, shared_until, shown
from connectors.messages.nothing import ConfiguredShapes, SeenUntil
from connectors.messages.parsing import Parser
from connectors.messages.reading import TableReader, TopicReader
from connectors.messages.tables import configured_relations, described, qualified
from connectors.messages.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Event, Relation
    from cdc_daemon.ports import Finding, TableRequest
    from connectors.kafka.followed import Followed
    from connectors.messages.fromstart import Reread


class KafkaSource:
    """Of one pipeline. One thread owns it, but for `wake` and what loads ask of it."""

    config_model = KafkaConfig

    def __init__(self, config: KafkaConfig, *, pipeline: str) -> None:
        self._config = config
        self._group = config.group or f"cdc-daemon.{pipeline}"
        self._topics = Topics(config, self._group, SourceError)
        self._tables = {
            name: replace(relation, has_rows=False)
            for name, relation in configured_relations(config.tables).items()
        }
        registry = config.schema_registry
        self._registry = None if registry is None else Registry(registry)
        self._parser = Parser(None if self._registry is None else self._registry.schemas)
        self._stream = Stream()
        self._following: Following | None = None
        self._followed: Followed | None = None
        """What was prepared."""
        self._read: dict[str, str] = {}
        """The ids of the topics that were read last: of others nothing is known."""

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """As the configuration has them."""
        return described(self._tables, tables)

    def identity(self) -> str:
        """That of the group, in this cluster."""
        return history(f"kafka {self._topics.cluster_id()} {self._group}")

    def shared_until(self, source_id: str) -> Position:
        """All of its own: nobody else gives such positions."""
        return shared_until(self.identity(), source_id)

    def prepare(self, relations: Sequence[Relation]) -> dict[str, str]:
        """See that the topics and the registry are there; makes nothing."""
        self._followed = follow(self._config, self._topics, relations)
        if self._registry is not None:
            self._registry.require()
        self._stream.renew()
        return memberships(self._config, self._followed, relations)

    def memberships(self, relations: Sequence[Relation]) -> dict[str, str]:
        """By the ids of the topics, and how their messages are understood."""
        followed = follow(self._config, self._topics, relations)
        return memberships(self._config, followed, relations)

    def keeps_place(self, relations: Sequence[Relation]) -> bool:  # noqa: ARG002 - the port
        """Always: topics come and go one by one."""
        return True

    def examine(self, subjects: Sequence[Relation]) -> Iterator[Finding]:
        """Look at everything that could keep the relations from being followed."""
        return examine(self._topics, self._config, self._group, subjects)

    def held_by(self) -> str | None:
        """The members of the group. None is ours: the stream is ended."""
        self._end_stream()
        return ", ".join(self._topics.members(self._group)) or None

    def place(self) -> Position | None:
        """What the group has committed, if messages from there on are kept."""
        return kept_place(
            self._topics,
            self._group,
            self._known_topics(),
            self._stream.last,
            self._stream.truncated,
        )

    def create_place(self) -> Position:
        """With all that the topics hold, or with what comes, as `start` says."""
        self._end_stream()
        self._stream.forget()
        position = self._stream.next_position()
        followed = self._known_topics()
        set_place(self._topics, self._group, followed, position, self._config.start)
        return position

    def chunk_reader(self, chunk_bytes: int = CHUNK_BYTES) -> FromStart:  # noqa: ARG002 - the port
        """There are no rows but those that messages have brought, from the first one on."""
        return FromStart(self)

    def from_start(self) -> bool:
        """Have all messages read, from the first one on, unless that is done. Any thread."""
        if self._config.start == "latest":
            return False
        if not self._stream.wanted:
            self._stream.wanted = True
            if self._following is not None:
                self._following.from_start()
        return True

    def reread(self) -> Reread:
        """How far that is. Any thread."""
        return self._stream.reread()

    @property
    def last(self) -> Position:
        """The newest position that was given."""
        return self._stream.last

    def start(
        self,
        relations: Sequence[Relation],
        after: Position,
        *,
        whole: bool = False,
        silence_seconds: float | None = None,  # noqa: ARG002 - nobody waits for us
    ) -> None:
        """Read on from what is committed; in the same process from just after `after`."""
        self._end_stream()
        self._topics.close()  # the broker may be another process by now
        followed = self._followed_again(relations)
        if self._registry is not None:
            self._registry.reach()
        tables = self._config.in_transactions.intersection(
            relation.qualified_name for relation in relations
        )
        wanted = self._config.transactions is not None
        transactions = Transactions[Place](tables, self._parser) if wanted else None
        known = self._stream.begin(self._readers(relations, followed), after, transactions)
        before, self._read = self._read, followed.ids
        self._followed = followed
        self._following = Following(
            self._config,
            self._topics,
            self._stream,
            group=self._group,
            followed=followed,
            registry=self._registry,
            known={
                place: standing
                for place, standing in known.items()
                if before.get(place.topic) == followed.ids.get(place.topic)
            },
            whole=whole,
        )

    def read(self, timeout_seconds: float) -> list[Event]:
        """What has come."""
        return self._streaming().read(timeout_seconds)

    def confirm(self, *, received: Position, durable: Position, searchable: Position) -> None:  # noqa: ARG002 - the port
        """Commit the offsets of what is durable."""
        self._streaming().confirm(durable)

    def message_report(self) -> MessageReport:
        """What has been read, and what waits. Any thread."""
        following = self._following
        return MessageReport(
            messages=self._stream.messages,
            poison=self._stream.poison,
            incomplete=self._stream.incomplete(),
            fallen=self._stream.fallen,
            rebalances=0 if following is None else following.rebalances,
            parts=[] if following is None else self._stream.parts(following.ends),
        )

    def starting(self) -> AbstractContextManager[None]:
        """No commit waits for us."""
        return nullcontext()

    def let_commit_go(self, xid: int) -> None:
        """No commit waits for us."""

    def give_up_place(self) -> None:
        """Delete the group, and with it what it has committed."""
        self._end_stream()
        self._stream.forget()
        require_alone(self._topics, self._group)
        self._topics.forget(self._group)

    def show(self, position: Position) -> str:
        """As clients read it."""
        return shown(position)

    def wake(self) -> None:
        """Make a read return."""
        if self._following is not None:
            self._following.wake()

    def clock(self) -> KafkaClock:
        """Ours, and how far the topics are."""
        topics = Topics(self._config, self._group, SourceError)
        return KafkaClock(topics, self._stream, lambda: self._following)

    def token_reader(self) -> GivenTokens:
        """Reads positions of ours."""
        return GivenTokens(self.identity(), told_by="/api/v1/status of this daemon")

    def shape_reader(self) -> ConfiguredShapes:
        """As the configuration has them."""
        return ConfiguredShapes(self._tables)

    def coverage(self) -> Coverage:
        """All that came until now."""
        last = self._stream.last
        return Coverage(str(last), last, last)

    def visibility(self, seen: str) -> SeenUntil:
        """What `coverage` says."""
        return SeenUntil(int(seen))

    def close(self) -> None:
        """Leave the group, which keeps our place. Safe to call twice."""
        self._end_stream()
        self._topics.close()

    def _known_topics(self) -> Followed:
        """Those that were prepared; before that those of all tables."""
        if self._followed is None:
            return follow(self._config, self._topics, self._tables.values())
        return self._followed

    def _followed_again(self, relations: Sequence[Relation]) -> Followed:
        """The topics as they are now. Raises StartAgainError where they aren't what they were."""
        try:
            followed = follow(self._config, self._topics, relations)
        except SourceError as error:
            if self._followed is None:
                raise
            raise RetryError(
                f"{error}. It was there before: make it again, and all is read from its "
                "beginning; or take its table out of the configuration",
                reason="topic_gone",
            ) from error
        before = {} if self._followed is None else self._followed.topics
        for name, topic in followed.topics.items():
            if name in before and before[name].id != topic.id:
                raise StartAgainError(f"topic {name} was deleted and made again")
        return followed

    def _readers(self, relations: Sequence[Relation], followed: Followed) -> dict[str, TopicReader]:
        tables = {qualified(name): table for name, table in self._config.tables.items()}
        by_table = {
            relation.qualified_name: TableReader(
                relation,
                self._config,
                tables[relation.qualified_name],
                self._parser,
                is_ordered=followed.is_ordered(relation.qualified_name),
            )
            for relation in relations
        }
        return {
            topic: TopicReader([by_table[name] for name in names], names)
            for topic in followed.topics
            if (names := followed.tables_of(topic))
        }

    def _streaming(self) -> Following:
        if self._following is None:
            raise RetryError("the stream has not been started", reason="disconnected")
        return self._following

    def _end_stream(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.close()
