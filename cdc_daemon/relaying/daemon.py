"""The relay as a process: from a configuration to changes that are passed on, until a stop."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import structlog

from cdc_daemon.consistency.spans import Spans
from cdc_daemon.consistency.watching import Watching
from cdc_daemon.errors import (
    RetryError,
    SchemaChangedError,
    SinkError,
    SlotInUseError,
    StartAgainError,
    StopError,
    TakenOverError,
)
from cdc_daemon.lifetime import Lifetime
from cdc_daemon.metrics import Metrics
from cdc_daemon.ports import Observes
from cdc_daemon.relaying.opening import open_located_source, open_relay
from cdc_daemon.relaying.relaying import Relaying
from cdc_daemon.relaying.searches import Searches
from cdc_daemon.relaying.start import RelayStart
from cdc_daemon.relaying.status import RelayStatus, application
from cdc_daemon.schemawatch import MemberWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.config.loader import LoadedConfiguration
    from cdc_daemon.consistency.monitor import Monitor
    from cdc_daemon.relaying.start import RelayBegun

log = structlog.get_logger(__name__)


class RelayDaemon:
    """One relay in one process."""

    def __init__(self, loaded: LoadedConfiguration, environ: Mapping[str, str]) -> None:
        self._configuration = loaded.configuration
        config = self._configuration
        self._source = open_located_source(config)
        self._relay = open_relay(config)
        self.metrics = Metrics(config.name, config.memory.queue)
        self.metrics.configured(loaded.fingerprint)
        self._spans = None if config.tracing is None else Spans(config.tracing, config.name)
        self.status = RelayStatus(loaded, self.metrics, self._source)
        self._lifetime = Lifetime(
            loaded,
            environ,
            wake=self._source.wake,
            has_read=lambda: self.status.state not in {"starting", "standby"},
        )
        self._start = RelayStart(
            loaded,
            self._source,
            self._relay,
            self.metrics,
            self._lifetime.stopping,
            self._stand_by,
        )
        strong = config.consistency.strong
        self._watching = Watching(
            self._source, self.metrics, self.status.watch, strong, self._spans
        )

    def run(self) -> None:
        """Run until stopped. Raises what ended it; call it in the main thread."""
        with ExitStack() as stack:
            if self._spans is not None:
                stack.callback(self._spans.close)
            if self._lifetime.last(self._run_once, application(self.status), self._ended):
                # The reader owns the connections: while it lives, nobody closes them.
                self._relay.close()
                self._source.close()
        if self._lifetime.failure is not None:
            raise self._lifetime.failure

    def stop(self, *, at_once: bool = False) -> None:
        """Ask it to stop: in order, or at once."""
        self._lifetime.stop(at_once=at_once)

    def _ended(self, failed: bool) -> None:  # noqa: FBT001 - as `Lifetime.last` tells it
        self._watching.forget()
        if failed:
            self.metrics.failed()

    def _run_once(self) -> None:
        """Run until stopped, or until another start, in this process, would do right."""
        try:
            self._run_from_start()
        except SchemaChangedError as change:
            self._relay.close()
            self._start.again()
            self.metrics.schema_changed(change.table)
            log.warning("schema_changed", table=change.table, why=change.why)
        except (StartAgainError, SlotInUseError, TakenOverError) as change:
            self._relay.close()
            if isinstance(change, StopError) and not self._configuration.standby:
                raise
            self._start.again()
            self.status.trouble = str(change)
            log.warning("starting_again", why=str(change))
        except RetryError as error:
            self._relay.close()
            log.warning("start_retry", reason=error.reason, error=str(error))
            self._watching.go_on()
            self.metrics.failed()
            self._state("waiting", str(error))
            raise

    def _run_from_start(self) -> None:
        if self.status.state != "waiting":
            self._state("starting", self.status.trouble)
        with self._watching.limited():
            self._follow(self._start.begin())

    def _follow(self, begun: RelayBegun) -> None:
        monitor = self._watching.followed()
        relaying = Relaying(self._source, self._relay, begun, monitor, self.metrics, self._state)
        relaying.searches = self._searches(begun, monitor)
        self.status.follow(relaying)
        watch = MemberWatch(
            self._source.shape_reader(),
            begun.relations,
            begun.checkpoint,
            relaying.fail,
            closes=True,
        )
        watch.start()
        try:
            relaying.follow(self._lifetime.stopping)
        finally:
            relaying.close()
            watch.stop()

    def _searches(self, begun: RelayBegun, monitor: Monitor) -> Searches | None:
        """Those that commits wait for, if for any; watched from now on."""
        strong = self._configuration.consistency.strong
        if strong is None or not strong.projectors:
            return None
        if not isinstance(self._relay, Observes):
            raise SinkError(
                "consistency.strong.projectors: this sink doesn't see who reads what it takes"
            )
        searches = Searches(
            self._relay.observer(strong.projectors),
            strong.projectors,
            begun.checkpoint.source_id,
            strong.release_after if strong.when_away == "degrade" else None,
            lambda: monitor.strong.waited_for,
            self._source.wake,
        )
        searches.start()
        return searches

    def _stand_by(self) -> None:
        self._watching.forget()
        self._state("standby", "")

    def _state(self, state: str, trouble: str) -> None:
        self.status.trouble = trouble
        if state != self.status.state:
            self.metrics.state(state)
            self.status.state = state
