"""What makes a technique: its pipeline, what is installed for it, how the application writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

from cdc_daemon.compare.application import Application
from cdc_daemon.compare.readmodel import Searched
from cdc_daemon.compare.store import CHANGE_MANY, CHANGE_ONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.compare.readmodel import ReadModel

CDC: Final = 'type: postgres, dsn: "${DATABASE_URL}"'
OUTBOX: Final = 'type: outbox, dsn: "${DATABASE_URL}"'
INSTALL_OUTBOX: Final = ("outbox", "install")
OPENSEARCH: Final = 'type: opensearch, hosts: ["${OPENSEARCH_URL}"]'
READ_TABLES: Final = 'type: postgres, dsn: "${DATABASE_URL}", schema: read_models'
KAFKA: Final = 'bootstrap_servers: "${KAFKA_SERVERS}"'
POLL: Final = "2s"
"""A batch usually runs less often: its delay is the interval, whatever that is."""
FIELDS: Final = "[id, revision, guest, nights, price, note, batch, updated_at]"

_CONFIGURATION: Final = """\
name: {pipeline}
source: {{{source}}}
sink: {{{sink}}}
projections:
  {read_model}: {{from: public.booking, fields: {fields}, freshness: 0{mapping}}}
state: {{path: "${{CDC_DAEMON_DATA}}"}}
web: {{listen: "${{CDC_DAEMON_LISTEN}}"{web}}}
"""

_RELAY: Final = """\
name: {pipeline}-relay
source: {{{source}}}
sink: {{type: kafka, {kafka}, topic_prefix: {pipeline}, log: {pipeline}.log}}
relay: {{tables: [public.booking], snapshot: never}}
web: {{listen: "${{CDC_DAEMON_LISTEN}}"}}
"""


def from_log(name: str) -> str:
    """A source that reads the ordered log which the relay of that technique writes."""
    return f'type: relay, dsn: "${{DATABASE_URL}}", {KAFKA}, log: {_pipeline(name)}.log'


def polled(by: str) -> str:
    """A source that reads the table again and again, and chooses rows by that."""
    tables = f"{{public.booking: {{by: {by}}}}}"
    return f'type: polling, dsn: "${{DATABASE_URL}}", interval: {POLL}, tables: {tables}'


@dataclass(frozen=True, slots=True)
class Places:
    """Where the application of a technique writes and reads."""

    dsn: str
    search_url: str
    daemon_url: str
    """Where its daemon answers, if it has one."""
    read_model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Technique:
    """One way to synchronise, as a user would set it up."""

    name: str
    """For the command line."""
    title: str
    """For people."""
    source: str | None = None
    """Of its pipeline; None: there is no daemon."""
    sink: str = OPENSEARCH
    mapping: str = ""
    """What its projection says beyond that of the others."""
    web: str = ""
    """The same for its `web`."""
    sql: LiteralString = ""
    """What is run in the database before all else."""
    is_relayed: bool = False
    """Whether a relay writes the changes to Kafka, which its source reads."""
    commands: tuple[tuple[str, ...], ...] = ()
    """Of cdc-daemon, each is run with the configuration before the daemon starts."""
    load: Callable[[Places], None] | None = None
    """Brings the rows that are there already, where its source can't."""
    application: Callable[[Places], Application] = lambda places: Application(places.dsn)
    change_one: LiteralString | None = CHANGE_ONE
    """What its application says to change one row, as pgbench says it; None: SQL isn't all."""
    change_many: LiteralString = CHANGE_MANY
    """The same for the rows of a backlog."""
    read_model: Callable[[Places], ReadModel] | None = lambda places: Searched(
        places.search_url, places.read_model
    )
    """None: there is none."""
    reads_source: bool = True
    """Whether its daemon asks the source for what it has missed while it was away."""
    admits: frozenset[str] = frozenset()
    """The kinds of changes that it is known to miss."""

    @property
    def read_model_name(self) -> str:
        """Its alias in OpenSearch, or its table."""
        return f"bookings_{self.name.replace('-', '_')}"

    def configuration(self) -> str:
        """The text of its configuration file."""
        return _CONFIGURATION.format(
            pipeline=_pipeline(self.name),
            source=self.source,
            sink=self.sink,
            read_model=self.read_model_name,
            fields=FIELDS,
            mapping=self.mapping,
            web=self.web,
        )

    def relay(self) -> str:
        """The text of its relay's configuration file."""
        return _RELAY.format(pipeline=_pipeline(self.name), source=CDC, kafka=KAFKA)


def _pipeline(name: str) -> str:
    return f"compare-{name}"
