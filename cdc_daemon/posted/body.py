"""What a request says that posts changes: every mistake with its place in the JSON. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cdc_daemon.nearest import nearest
from cdc_daemon.posted.rows import Rows
from cdc_daemon.quantities import duration_text, seconds
from cdc_daemon.values import read_json

if TYPE_CHECKING:
    from cdc_daemon.events import Change
    from cdc_daemon.posted.rows import Expected

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
"""As a wait has it."""
MOST_MISTAKES: Final = 100
"""A client with a wrong idea of a table makes one in every row: nobody reads them all."""
LONGEST_KEY: Final = 200
PARTS: Final = ("transactions", "idempotency_key", "wait", "timeout")
WAITS: Final = ("durable", "searchable")


class Mistake(NamedTuple):
    """One thing that can't be as it is."""

    at: str
    """Its place: `transactions[0].changes[2].row.price`."""
    message: str


class MistakesError(Exception):
    """The request can't be taken as it is."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        first = mistakes[0]
        super().__init__(f"{first.at}: {first.message}" if first.at else first.message)
        self.mistakes = mistakes


class PostedTransaction(NamedTuple):
    """The changes of one transaction of the application."""

    changes: tuple[Change, ...]
    version: str | None
    """What the application has read inside it; None: it takes the order of arrival."""
    token: str | None = None
    """What it has taken behind its commit, to wait for the stream where that was faster."""


class Post(NamedTuple):
    """What one request asks for."""

    transactions: tuple[PostedTransaction, ...]
    idempotency_key: str | None
    searchable: bool
    """Whether to wait until searches show it, and not only until it is durable."""
    timeout_seconds: float


class Bodies:
    """Reads the requests of one pipeline."""

    def __init__(
        self, expected: Expected, *, versioned: bool, most_changes: int, longest_seconds: float
    ) -> None:
        """`versioned`: a transaction brings the version of what it writes."""
        self._rows = Rows(expected)
        self._versioned = versioned
        self._most_changes = most_changes
        self._longest_seconds = longest_seconds

    def read(self, body: bytes) -> Post:
        """What the request says. Raises MistakesError with every mistake."""
        reading = _Reading(self._rows, versioned=self._versioned, most_changes=self._most_changes)
        try:
            given = read_json(body)
        except ValueError as error:
            raise MistakesError([Mistake("", f"the body is no JSON: {error}")]) from error
        if not isinstance(given, dict):
            raise MistakesError([Mistake("", 'expected {"transactions": [...]}')])
        post = Post(
            reading.transactions(given),
            reading.idempotency_key(given.get("idempotency_key")),
            reading.searchable(given.get("wait", WAITS[0])),
            reading.timeout(given.get("timeout"), self._longest_seconds),
        )
        if reading.mistakes:
            raise MistakesError(reading.mistakes)
        return post


class _Reading:
    """Of one request."""

    def __init__(self, rows: Rows, *, versioned: bool, most_changes: int) -> None:
        self._rows = rows
        self._versioned = versioned
        self._most_changes = most_changes
        self.mistakes: list[Mistake] = []

    def _note(self, at: str, message: str) -> None:
        if len(self.mistakes) < MOST_MISTAKES:
            self.mistakes.append(Mistake(at, message))

    def transactions(self, given: dict[str, Any]) -> tuple[PostedTransaction, ...]:
        for name in given.keys() - {*PARTS}:
            meant = nearest(name, PARTS)
            guess = f"did you mean {meant}?" if meant else f"there are {', '.join(PARTS)}"
            self._note(name, f"there is no such part: {guess}")
        each = given.get("transactions")
        if not isinstance(each, list) or not each:
            self._note("transactions", "expected an array of at least one transaction")
            return ()
        count = sum(len(_changes(one)) for one in each)
        if count > self._most_changes:
            self._note(
                "transactions",
                f"{count} changes, and at most {self._most_changes} are taken in one request "
                "(web.changes.max_changes): send them in several",
            )
            return ()
        return tuple(self._transaction(one, f"transactions[{at}]") for at, one in enumerate(each))

    def _transaction(self, given: Any, at: str) -> PostedTransaction:
        changes = _changes(given)
        if not changes:
            self._note(at, 'expected {"changes": [...]} with at least one change')
            return PostedTransaction((), None)
        for name in given.keys() - {"changes", "version", "token"}:
            self._note(f"{at}.{name}", "a transaction has changes, a version and a token")
        read = (
            self._rows.change(change, f"{at}.changes[{n}]", self._note)
            for n, change in enumerate(changes)
        )
        return PostedTransaction(
            tuple(change for change in read if change is not None),
            self._version(given, f"{at}.version"),
            self._token(given, f"{at}.token"),
        )

    def _version(self, given: dict[str, Any], at: str) -> str | None:
        version = given.get("version")
        if self._versioned and not isinstance(version, str):
            self._note(at, "expected what was read inside the transaction, after its last write")
        elif not self._versioned and version is not None:
            self._note(at, "this source gives versions by itself, in the order of arrival")
        return version if isinstance(version, str) else None

    def _token(self, given: dict[str, Any], at: str) -> str | None:
        token = given.get("token")
        if token is not None and not (self._versioned and isinstance(token, str)):
            self._note(at, "expected the position behind the commit, beside a stream only")
        return token if isinstance(token, str) else None

    def idempotency_key(self, given: Any) -> str | None:
        if given is None or (isinstance(given, str) and 0 < len(given) <= LONGEST_KEY):
            return given
        self._note("idempotency_key", f"expected a text of 1 to {LONGEST_KEY} characters")
        return None

    def searchable(self, given: Any) -> bool:
        if given not in WAITS:
            self._note("wait", f"expected one of {', '.join(WAITS)}")
        return bool(given == WAITS[1])

    def timeout(self, given: Any, longest: float) -> float:
        if given is None:
            return min(DEFAULT_TIMEOUT_SECONDS, longest)
        try:
            timeout = seconds(given)
        except ValueError as error:
            self._note("timeout", str(error))
            return longest
        if timeout > longest:
            self._note("timeout", f"at most {duration_text(longest)} (consistency.max_timeout)")
        return timeout


def _changes(given: Any) -> list[Any]:
    changes = given.get("changes") if isinstance(given, dict) else None
    return changes if isinstance(changes, list) else []
