"""An application that writes twice: it commits, and then posts what it has committed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.client import Changes, Writer, commit_versioned
from cdc_daemon.compare.application import Application
from cdc_daemon.compare.store import TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY: Final = "may-post"
"""Of servers that nobody else reaches, and that live for minutes."""
WEB: Final = f", changes: {{keys: {{compare: {KEY}}}}}"
"""What `web` says beyond that of the others."""
POST_SECONDS: Final = 0.5
"""The application waits no longer for its second write: a person waits for the first."""


class PostingApplication(Application):
    """What isn't posted in time it forgets: somebody else brings it, or nobody does."""

    def __init__(self, dsn: str, daemon_url: str) -> None:
        super().__init__(dsn)
        self._writer = Writer(daemon_url, KEY, timeout=POST_SECONDS)
        self._changes = Changes()

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        super().__exit__()

    def give_up(self, key: int) -> None:
        """A new row that is rolled back, and never posted."""
        super().give_up(key)
        self._changes = Changes()

    def written(self, row: Mapping[str, Any], *, is_deleted: bool) -> None:
        """It is to be posted."""
        if is_deleted:
            self._changes.delete(TABLE, {"id": row["id"]})
        else:
            self._changes.upsert(TABLE, row)

    def commit(self) -> float:
        """The version is read before COMMIT, and sent with the post behind it."""
        committed = commit_versioned(self.connection)
        moment = time.monotonic()
        changes, self._changes = self._changes, Changes()
        self._writer.post(changes, committed)
        return moment
