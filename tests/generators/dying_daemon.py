"""A daemon that kills itself at a named moment: `dying_daemon.py MOMENT TIMES run FILE`.

It dies when that moment comes for the `TIMES`th time, as by `kill -9`: nothing is tidied up.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from itertools import count
from typing import Any, Final, NamedTuple

from cdc_daemon.cli import main


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
    "published": Moment("connectors.opensearch.sink", "OpenSearchSink.publish"),
}


def program(moment: str, times: int) -> list[str]:
    """What `RunningDaemon.start` takes."""
    return [__file__, moment, str(times)]


def arrange(moment: Moment, times: int) -> None:
    """Have this process die then."""
    class_name, name = moment.method.split(".")
    owner = getattr(importlib.import_module(moment.module), class_name)
    method = getattr(owner, name)
    calls = count(1)

    def dying(*arguments: Any, **options: Any) -> Any:
        is_last = next(calls) == times
        if is_last and moment.before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(*arguments, **options)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


if __name__ == "__main__":
    arrange(MOMENTS[sys.argv[1]], int(sys.argv[2]))
    sys.argv[1:3] = []
    main()
