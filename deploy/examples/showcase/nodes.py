"""Web nodes as processes of their own, which share nothing but servers and a secret."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cdc_daemon.embedded.folder import server_folder
from cdc_daemon.embedded.ports import HOST
from cdc_daemon.embedded.process import Launch, Server
from cdc_daemon.outside.page import read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from deploy.examples.showcase.settings import Settings

ROOT: Final = Path(__file__).parents[3]
NAMES: Final = ("A", "B")
FOLDER_BYTES: Final = 10_000_000
"""Its log."""


@contextmanager
def running_nodes(
    application: str, settings: Settings, ports: Sequence[int], progress: Callable[[str], None]
) -> Iterator[list[str]]:
    """Run a node on each port for as long as the context lasts; give their addresses.

    `application`: the folder of the example. Each node is told of the one that comes next.
    """
    addresses = [f"http://{HOST}:{port}" for port in ports]
    with ExitStack() as nodes:
        for place, port in enumerate(ports):
            other = addresses[(place + 1) % len(ports)]
            own = replace(settings, node=NAMES[place], other_node=other)
            folder = nodes.enter_context(server_folder("node", None, None, FOLDER_BYTES))
            node = Server(_launch(application, own, port, folder), progress)
            nodes.enter_context(node).start()
        yield addresses


def _launch(application: str, settings: Settings, port: int, folder: Path) -> Launch:
    module = f"deploy.examples.{application}.app.web:application"
    return Launch(
        name=f"Web node {settings.node}",
        command=[
            *(sys.executable, "-m", "uvicorn", "--factory", module),
            *("--host", HOST, "--port", str(port), "--log-level", "warning"),
        ],
        folder=folder,
        port=port,
        account=None,
        is_ready=partial(_answers, port),
        stop_signals=(signal.SIGTERM,),
        environment={
            **settings.environment,
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        },
    )


def _answers(port: int) -> bool:
    return read_page(f"http://{HOST}:{port}/style.css") is not None
