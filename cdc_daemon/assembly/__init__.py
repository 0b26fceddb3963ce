"""Joined read models kept true: from changes of rows to the documents that show them."""

from cdc_daemon.assembly.climbing import BOUNDS, Bounds
from cdc_daemon.assembly.joined import Assembled, JoinedProjections, Pending
from cdc_daemon.assembly.wanting import wanted

__all__ = ["BOUNDS", "Assembled", "Bounds", "JoinedProjections", "Pending", "wanted"]
