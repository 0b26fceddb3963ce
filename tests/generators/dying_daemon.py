"""A daemon that kills itself at a named moment, as by `kill -9`: nothing is tidied up."""

from __future__ import annotations

import importlib
import os
import signal
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Moment(NamedTuple):
    """Before or after a method runs."""

    module: str
    method: str
    before: bool = False


MOMENTS: Final = {
    "transaction read": Moment("cdc_daemon.assembly", "JoinedProjections.apply", before=True),
    "applied": Moment("cdc_daemon.assembly", "JoinedProjections.apply"),
    "assembled": Moment("cdc_daemon.assembly", "JoinedProjections.assemble"),
    "sent": Moment("connectors.opensearch.writer", "OpenSearchWriter.write"),
    "synced": Moment("cdc_daemon.state", "Store.sync"),
    "checkpoint stored": Moment("connectors.opensearch.checkpoints", "OpenSearchCheckpoints.store"),
    "rows loaded": Moment("cdc_daemon.state", "Batch.load"),
    "table loaded": Moment("cdc_daemon.state", "Store.loaded", before=True),
    "rows counted": Moment("cdc_daemon.assembly", "JoinedProjections.count_some"),
    "published": Moment("connectors.opensearch.sink", "OpenSearchSink.publish"),
}


def dying(moment: str, times: int) -> Callable[[], None]:
    """What `RunningDaemon.start` takes: it dies when that moment comes for the `times`th time."""
    return partial(_arrange, MOMENTS[moment], times)


def _arrange(moment: Moment, times: int) -> None:
    class_name, name = moment.method.split(".")
    owner = getattr(importlib.import_module(moment.module), class_name)
    method = getattr(owner, name)
    calls = count(1)

    def called(*arguments: Any, **options: Any) -> Any:
        is_last = next(calls) == times
        if is_last and moment.before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(*arguments, **options)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, called)
