"""The metrics are those of the reference page: names, kinds and labels, both ways."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from cdc_daemon.backfill.collector import BackfillCollector
from cdc_daemon.consistency.collector import DelayCollector, FreshnessCollector
from cdc_daemon.consistency.delays import STAGES
from cdc_daemon.consistency.freshness import Freshness
from cdc_daemon.consistency.messages import MessageCollector
from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.consistency.polls import PollCollector
from cdc_daemon.delivery.collector import SinkCollector
from cdc_daemon.delivery.eachsink import SinkReport
from cdc_daemon.events import Position
from cdc_daemon.metrics import STATES, Metrics
from cdc_daemon.ports import (
    MessageReport,
    PartReport,
    PollReport,
    RetentionBounds,
    SlotHealth,
)
from cdc_daemon.sharing.collector import ReplicaCollector
from cdc_daemon.state.collector import StateCollector
from cdc_daemon.state.store import Figures
from cdc_daemon.web.watching import NumbersCollector
from connectors.postgres.guardhealth import GuardHealth
from tests.deploy.metrics_page import documented_metrics, metric_sections
from tests.generators.by_hand import table
from tests.generators.scripted_source import MemoryClock

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

LOADING = SimpleNamespace(
    loads=[
        SimpleNamespace(relation=table("id"), share_done=0.5),
        SimpleNamespace(relation=table("id"), share_done=0.25),
    ],
    chunks_out=3,
    ids_remembered=7,
    is_paused=True,
)
STATE = SimpleNamespace(figures=Figures({"public.hotel": 5}, 1, 2, 3, 4, 5, 0.5))
READ = MessageReport(parts=[PartReport("shop.hotel/0", 1, 2.5)])
POLLED = PollReport(1, 1, 1, 1, 1.0, 1.0, 1.0)
SOURCE = SimpleNamespace(poll_report=lambda: POLLED, message_report=lambda: READ)
IN_ONE = SinkReport("tables", ["rooms"], {"indexed": Position(1)}, [], {"indexed": 0.5}, 1)
SINKS = SimpleNamespace(reports=lambda: [IN_ONE])
PAGE = Path(__file__).resolve().parents[2] / "docs/reference/metrics.md"


REPLICA = {"slots": [0, 1], "leads": True, "members": 2, "rebalances": 3}


def show_sinks(metrics: Metrics) -> None:
    """What is sent to them, and how far each is."""
    metrics.bulk_retried("tables", "overloaded")
    metrics.bulk_took("tables", 0.1)
    metrics.refreshed("search", 0.1)
    metrics.registry.register(SinkCollector(SINKS, "pipe"))  # type: ignore[arg-type]  # as much of it as is read


def show_requests(metrics: Metrics) -> None:
    """Those that wait, and those that post."""
    metrics.waited("own", "reached", 0.1)
    metrics.posted("taken", 0.1)
    metrics.posted_transactions(["written"])
    metrics.relay_settled(1, 0.1)
    metrics.relay_unreadable("public.hotel")
    metrics.relay_lost("store.public.hotel")
    replica = SimpleNamespace(show=lambda: REPLICA)
    metrics.registry.register(ReplicaCollector(replica, "pipe"))  # type: ignore[arg-type]  # as much of it as is read


def registry() -> CollectorRegistry:
    """A registry where every metric has a series."""
    metrics = Metrics("pipe", 1)
    clock = MemoryClock()
    clock.health = SlotHealth("slot", True, 1, 1, 1, RetentionBounds(limit_bytes=9))  # noqa: FBT003 - active
    monitor = Monitor(clock, metrics)
    monitor._sample()
    monitor.delays.committed(Position(1), 0.0)
    monitor.delays.advanced(**dict.fromkeys(STAGES, Position(1)))
    metrics.registry.register(DelayCollector(monitor, "pipe"))
    freshness = Freshness({"hotels-000001": "hotels"}, {"hotels-000001": 1.0})
    metrics.registry.register(FreshnessCollector(freshness, "pipe"))
    metrics.configured("print")
    metrics.state("streaming")
    metrics.received("public.hotel", "insert", 1)
    metrics.wrote("hotels", "index", "written", 1)
    metrics.dead_letter("hotels", "reason")
    metrics.unrepresentable("hotels", "price")
    metrics.assembled("hotels", 1)
    metrics.unchanged(1)
    show_sinks(metrics)
    metrics.reconnected("source")
    metrics.schema_changed("public.hotel")
    metrics.loaded("hotels", 1)
    metrics.strong(active=True)
    show_requests(metrics)
    for gauge in (
        metrics.queue_bytes,
        metrics.background_request_bytes,
        metrics.dead_letters_stored,
    ):
        gauge.labels("pipe").set(1)
    metrics.registry.register(BackfillCollector(LOADING, "pipe"))  # type: ignore[arg-type]  # as much of it as is read
    metrics.registry.register(StateCollector(STATE, "pipe"))  # type: ignore[arg-type]  # as above
    for collector in (PollCollector(SOURCE, "pipe"), MessageCollector(SOURCE, "pipe")):
        metrics.registry.register(collector)
    metrics.registry.register(NumbersCollector("pipe", GuardHealth()))
    return metrics.registry


def exposed() -> dict[str, tuple[str, frozenset[str]]]:
    """Kind and labels of each metric by name, as the page writes them."""
    found = {}
    for family in registry().collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels}
        found[name] = (family.type, frozenset(labels - {"le"}))
    return found


def test_every_metric_is_documented_and_every_documented_one_is_there() -> None:
    """The page is the contract: dashboard and alerts are checked against it."""
    assert set(exposed()) == documented_metrics(PAGE)


def test_kinds_and_labels_are_as_documented() -> None:
    """A label more, or less, breaks queries."""
    documented = {
        name: (section.kind, section.labels) for name, section in metric_sections(PAGE).items()
    }
    assert exposed() == documented


def test_a_table_that_is_read_twice_is_as_far_as_the_slower_load() -> None:
    """One series a table, whatever its rows are read for."""
    labels = {"pipeline": "pipe", "table": "public.hotel"}
    assert registry().get_sample_value("cdc_backfill_progress_ratio", labels) == 0.25


def test_one_state_is_shown_at_a_time() -> None:
    """1 for the state it is in, 0 for all others."""
    metrics = Metrics("pipe", 1)
    for state in STATES:
        metrics.state(state)
        shown = {
            each: metrics.registry.get_sample_value(
                "cdc_pipeline_state", {"pipeline": "pipe", "state": each}
            )
            for each in STATES
        }
        assert shown == {each: float(each == state) for each in STATES}
