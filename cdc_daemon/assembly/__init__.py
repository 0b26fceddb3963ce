"""Joined read models kept true: from changes of rows to the documents that show them."""

from cdc_daemon.assembly.climbing import BOUNDS, Bounds
from cdc_daemon.assembly.joined import (
    Assembled,
    Assembly,
    JoinedProjections,
    Pending,
    Slice,
    Written,
)
from cdc_daemon.assembly.looking import Document, Look, Shown
from cdc_daemon.assembly.wanting import documents_of, wanted

__all__ = [
    "BOUNDS",
    "Assembled",
    "Assembly",
    "Bounds",
    "Document",
    "JoinedProjections",
    "Look",
    "Pending",
    "Shown",
    "Slice",
    "Written",
    "documents_of",
    "wanted",
]
