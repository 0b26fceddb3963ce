"""Starts a real RabbitMQ on 127.0.0.1: one node, of the server that the system has installed."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdc_daemon.embedded.account import give, server_account
from cdc_daemon.embedded.errors import EmbeddedError
from cdc_daemon.embedded.folder import server_folder
from cdc_daemon.embedded.memory import require_memory
from cdc_daemon.embedded.ports import HOST, free_port
from cdc_daemon.embedded.process import Launch, Server
from cdc_daemon.embedded.progress import MEGABYTE, Progress, to_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdc_daemon.embedded.account import Account

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Where Debian's package and RabbitMQ's own have it; what is on the PATH insists on its account."""
NODE = "rabbit@localhost"
"""A part of what it stores: the same for each, so that a data folder fits any of them."""
USER = PASSWORD = "guest"  # noqa: S105 - RabbitMQ's own, and only from this machine
MEMORY_BYTES = 250 * MEGABYTE
DATA_BYTES = 200 * MEGABYTE
"""An empty node writes far less; with less than 50 MB free it would take no messages."""
READY_TIMEOUT_SECONDS = 5.0
GREETING = b"AMQP\x00\x00\x09\x01"
ERL_CALL = "/usr/lib/erlang/bin/erl_call"
CALL_TIMEOUT_SECONDS = 30.0
METHOD_FRAME = b"\x01"

SETTINGS: dict[str, Any] = {
    "log.console": True,
    "log.console.level": "warning",
    "log.file": False,
}


class RabbitServer(Server):
    """A RabbitMQ node that was started here."""

    def __init__(self, launch: Launch, nodes_port: int, progress: Progress) -> None:
        super().__init__(launch, progress)
        self.nodes_port = nodes_port
        """Where other nodes would find it."""

    @property
    def url(self) -> str:
        """Where clients find it, as its administrator: an AMQP URL."""
        return f"amqp://{USER}:{PASSWORD}@{HOST}:{self.port}/%2F"

    def add_user(self, name: str, password: str, *, write: str = "", read: str = "") -> None:
        """Make a user; `write` and `read` are regular expressions of what they may. See `url`."""
        users = "rabbit_auth_backend_internal"
        self._evaluate(f"{users}:add_user({_text(name)}, {_text(password)}, {_text('embedded')})")
        rights = ", ".join(map(_text, (name, "/", "", write, read, "embedded")))
        self._evaluate(f"{users}:set_permissions({rights})")

    def save_queues(self) -> None:
        """Have it know its queues after a crash: it writes them down seconds after they are made.

        Without this, one that is killed at once has a queue that never finds its leader.
        """
        self._evaluate("[dets:sync(Table) || Table <- dets:all()], ok")

    def _evaluate(self, expression: str) -> None:
        """What `rabbitmqctl` does, in milliseconds; that one starts a process that stays."""
        cookie = (self.folder / ".erlang.cookie").read_text()
        answer = subprocess.run(  # noqa: S603 - a program of Erlang's, nothing of users
            [ERL_CALL, "-address", f"{HOST}:{self.nodes_port}", "-c", cookie, "-e"],
            input=f"{expression}.\n",
            capture_output=True,
            check=True,
            text=True,
            timeout=CALL_TIMEOUT_SECONDS,
        )
        if answer.stdout != "{ok, ok}":
            raise EmbeddedError(f"RabbitMQ answered {expression} with {answer.stdout}.")


@contextmanager
def rabbitmq(
    *,
    data: Path | None = None,
    port: int | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = to_stderr,
) -> Iterator[RabbitServer]:
    """Run RabbitMQ for as long as the context lasts; it is ready when the context begins.

    `data`: its folder, kept for the next time; None is a temporary one. `settings`: lines for
    rabbitmq.conf. Raises EmbeddedError, which says what to do, also if it isn't installed.
    """
    if not rabbitmq_is_installed():
        raise EmbeddedError(
            f"RabbitMQ is not installed ({PROGRAM} is missing), and can't be had as a package of "
            "Python or Java. Install it: apt-get install rabbitmq-server"
        )
    require_memory("RabbitMQ", MEMORY_BYTES)
    account = server_account()
    with server_folder("rabbitmq", data, account, DATA_BYTES) as folder:
        client_port = port or free_port()
        nodes_port = free_port(other_than=client_port)
        launch = _launch(folder, client_port, nodes_port, account)
        _configure(launch, settings or {})
        with RabbitServer(launch, nodes_port, progress) as server:
            server.start()
            yield server


def rabbitmq_is_installed() -> bool:
    """Whether the system has RabbitMQ."""
    return PROGRAM.exists()


def _launch(folder: Path, port: int, nodes_port: int, account: Account | None) -> Launch:
    return Launch(
        name="RabbitMQ",
        command=[PROGRAM],
        folder=folder,
        port=port,
        account=account,
        is_ready=lambda: _is_ready(port),
        stop_signals=(signal.SIGTERM,),
        environment={
            "HOME": str(folder),  # of the cookie
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),  # not the system's
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _node_options(nodes_port),
            # It looks once a minute whether that process knows it, and starts it by another Erlang.
            "ERL_AFLAGS": "-start_epmd false",
            # The script becomes the server, so that signals reach it.
            "detached": "true",
        },
    )


def _node_options(port: int) -> str:
    """Other nodes find it at `port`: the process that would tell them where outlives its nodes."""
    return (
        f"-start_epmd false -erl_epmd_port {port} -sname {NODE} -kernel "
        f"inet_dist_listen_min {port} inet_dist_listen_max {port} "
        "inet_dist_use_interface {127,0,0,1}"
    )


def _configure(launch: Launch, extra: Mapping[str, Any]) -> None:
    settings = {
        **SETTINGS,
        "listeners.tcp.1": f"{HOST}:{launch.port}",
        "stream.listeners.tcp.1": f"{HOST}:{free_port(other_than=launch.port)}",
        **extra,
    }
    lines = [f"{name} = {_written(value)}\n" for name, value in settings.items()]
    (launch.folder / "rabbitmq.conf").write_text("".join(lines))
    (launch.folder / "rabbitmq-env.conf").touch()
    (launch.folder / "enabled_plugins").write_text("[rabbitmq_stream].\n")
    give(launch.folder, launch.account)


def _text(value: str) -> str:
    return f"<<{json.dumps(value)}/utf8>>"


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_ready(port: int) -> bool:
    """It listens only when all else is done, and then answers a client's greeting."""
    try:
        with socket.create_connection((HOST, port), timeout=READY_TIMEOUT_SECONDS) as connection:
            connection.sendall(GREETING)
            return connection.recv(1) == METHOD_FRAME
    except OSError:
        return False
