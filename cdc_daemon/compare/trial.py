"""One technique, from its installation to its removal: everything that is measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import psycopg

from cdc_daemon.compare import driving, pgbench, store
from cdc_daemon.compare.application import Application
from cdc_daemon.compare.figures import Away, Figures
from cdc_daemon.compare.footprint import footprint
from cdc_daemon.compare.journal import contradiction
from cdc_daemon.compare.judging import Missed, judge
from cdc_daemon.compare.outage import be_away, drain
from cdc_daemon.compare.rounds import Rounds
from cdc_daemon.compare.setting import installed
from cdc_daemon.compare.steady import run_steadily
from cdc_daemon.compare.workload import KEYS_OF_A_WORKLOAD, Workload
from cdc_daemon.errors import CdcError, StopError
from cdc_daemon.outside.percentiles import percentiles

if TYPE_CHECKING:
    from cdc_daemon.compare.journal import Change
    from cdc_daemon.compare.rounds import Write
    from cdc_daemon.compare.setting import Setting, Stage
    from cdc_daemon.compare.technique import Technique
    from cdc_daemon.outside.daemon_process import DaemonProcess


@dataclass(frozen=True, slots=True)
class Options:
    """How long and how hard each technique is tried."""

    seconds: float
    """Of the steady run."""
    rate: float
    """Transactions a second, of all clients."""
    away_seconds: float
    """For how long the consumer is away; 0: it isn't."""


def tried(technique: Technique, stage: Stage, options: Options) -> Figures:
    """The figures of a technique, as far as it came; why it ended is among them."""
    figures = Figures(technique.name, technique.title)
    try:
        with installed(technique, stage) as setting:
            Trial(setting, stage, options, figures).run()
    except (CdcError, psycopg.Error) as error:
        figures.failed = str(error)
    return figures


class Trial:
    """Fills in the figures of a technique that is installed and runs."""

    def __init__(self, setting: Setting, stage: Stage, options: Options, figures: Figures) -> None:
        self._setting = setting
        self._stage = stage
        self._options = options
        self._figures = figures
        self._journal: list[Change] = []
        keys = count(store.FIRST_NEW_KEY, KEYS_OF_A_WORKLOAD)
        self._workload = Workload(setting.application, options.rate, next(keys))
        self._first_probe = next(keys)

    def run(self) -> None:
        """First what makes the servers warm, then what is measured in milliseconds."""
        setting, daemon = self._setting, self._setting.daemon
        self._measure_cost()
        if daemon is not None and setting.technique.reads_source:
            self._figures.drained_per_second = drain(setting, self._stage.rows)
        self._run_steadily()
        if daemon is not None and self._options.away_seconds:
            self._be_away(daemon)
        self._figures.table_bytes = footprint(setting.dsn).table_bytes

    def _measure_cost(self) -> None:
        rounds = Rounds(*self._writers())
        self._figures.cost = rounds.run(self._setting, self._options.seconds, self._options.rate)

    def _writers(self) -> tuple[Write, Write]:
        """Without the technique and with it, by the same means."""
        setting, rows, baseline = self._setting, self._stage.rows, self._setting.baseline_dsn
        statement = setting.technique.change_one
        if statement is None:
            plain = partial(driving.write, lambda: Application(baseline), rows)
            return plain, partial(driving.write, setting.application, rows)
        plain = partial(pgbench.write, baseline, store.CHANGE_ONE, rows)
        return plain, partial(pgbench.write, setting.dsn, statement, rows)

    def _run_steadily(self) -> None:
        figures = self._figures
        steady = run_steadily(
            self._setting, self._workload, self._options.seconds, self._first_probe
        )
        self._journal += steady.journal
        figures.changes, figures.per_change = len(steady.journal), steady.per_change
        if self._setting.technique.read_model is None:
            return
        figures.delay, figures.probes = percentiles(steady.delays), len(steady.delays)
        figures.missed = self._judged().with_states(len(steady.journal), steady.received)
        admitted = self._setting.technique.admits
        figures.faults += [f"{each}, while it ran" for each in figures.missed.beyond(admitted)]

    def _be_away(self, daemon: DaemonProcess) -> None:
        options, technique = self._options, self._setting.technique
        absence = be_away(self._setting, daemon, self._workload, options.away_seconds)
        self._journal += absence.journal
        lost = self._judged().since(self._figures.missed)
        self._figures.faults += [
            f"{each}, while its daemon was away" for each in lost.beyond(technique.admits)
        ]
        self._figures.away = Away(
            options.away_seconds,
            len(absence.journal),
            absence.kept_bytes,
            absence.catch_up_seconds,
            lost.counts,
        )

    def _judged(self) -> Missed:
        """What the read model lacks now. Raises StopError if the oracle contradicts itself."""
        rows = store.revisions(self._setting.dsn)
        if wrong := contradiction(self._journal, rows):
            raise StopError(f"nothing can be counted by a journal that is wrong: {wrong}")
        with self._setting.read_model() as read_model:
            return judge(self._journal, rows, read_model.revisions())
