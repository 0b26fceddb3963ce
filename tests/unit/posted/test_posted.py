"""Posted changes without servers: keys that come again, rates, mistakes, who may be a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.config.changes import ChangesConfig
from cdc_daemon.config.models import WebConfig
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.events import ChangeKind, Column, ColumnType
from cdc_daemon.posted import answers as answers_module
from cdc_daemon.posted.answers import LIFETIME_SECONDS, Answers, OtherRequestError
from cdc_daemon.posted.arrivals import Arrival, Arrivals
from cdc_daemon.posted.body import MOST_MISTAKES, Bodies, MistakesError
from cdc_daemon.posted.documents import key_of
from cdc_daemon.posted.outcome import Tally
from cdc_daemon.posted.posts import Posts
from cdc_daemon.posted.rates import Rates
from cdc_daemon.posted.rows import Expected
from connectors.http import HttpSource
from connectors.http.config import HttpConfig
from connectors.messages.columntypes import column_type
from tests.generators.by_hand import configuration, table
from tests.generators.memory_sink import MemorySink
from tests.generators.scripted_source import ScriptedSource

if TYPE_CHECKING:
    from pathlib import Path

KEY = ("shop", "booking 1")
HOTEL = table("id", Column("name", ColumnType("text", declared="text"), nullable=False))
TABLES = {HOTEL.qualified_name: HOTEL}
ALWAYS = 1e9


def bodies(**terms: Any) -> Bodies:
    """Of requests about hotels."""
    expected = Expected(TABLES, {name: key_of(one) for name, one in TABLES.items()}, truncates=True)
    known = {"versioned": False, "most_changes": 1000, "longest_seconds": 60.0}
    return Bodies(expected, **{**known, **terms})


def places(body: bytes, **terms: Any) -> list[str]:
    """Of the mistakes in a request."""
    with pytest.raises(MistakesError) as caught:
        bodies(**terms).read(body)
    return [mistake.at for mistake in caught.value.mistakes]


def test_an_answer_is_found_until_it_is_too_old() -> None:
    """By its key and its very request; another request of that key is refused."""
    answers: Answers[str] = Answers()
    assert answers.find(KEY, b"digest", 0) is None
    answers.keep(KEY, b"digest", "done", 0)
    assert answers.find(KEY, b"digest", LIFETIME_SECONDS - 1) == "done"
    assert answers.find(("other", KEY[1]), b"other digest", 1) is None
    with pytest.raises(OtherRequestError):
        answers.find(KEY, b"other digest", 1)
    assert answers.find(KEY, b"digest", LIFETIME_SECONDS) is None


def test_only_so_many_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest ones are forgotten first; what came to nothing at once."""
    monkeypatch.setattr(answers_module, "MOST", 2)
    answers: Answers[int] = Answers()
    for n in range(3):
        answers.keep(("shop", str(n)), b"", n, 0)
    assert [answers.find(("shop", str(n)), b"", 1) for n in range(3)] == [None, 1, 2]
    answers.forget(("shop", "1"))
    assert answers.find(("shop", "1"), b"", 1) is None


def test_a_key_may_bring_so_many_requests_a_second() -> None:
    """A second's worth at once, then one after the other; each key by itself."""
    rates = Rates(2)
    assert [rates.wait_seconds("a", 0.0) for _ in range(3)] == [0, 0, 0.5]
    assert rates.wait_seconds("b", 0.0) == 0
    assert rates.wait_seconds("a", 0.5) == 0
    assert rates.wait_seconds("a", 0.5) == 0.5
    assert Rates(None).wait_seconds("a", 0.0) == 0


def test_who_waits_is_told_once() -> None:
    """That it is there, that it is late, or that nothing moves any more."""
    arrivals, told = Arrivals(), []
    there: list[int] = []
    arrivals.add(Arrival(lambda: bool(there), ALWAYS, lambda came: told.append(("a", came))), 0)
    arrivals.add(Arrival(lambda: False, 5, lambda came: told.append(("b", came))), 0)
    arrivals.add(Arrival(lambda: False, ALWAYS, lambda came: told.append(("c", came))), 0)
    arrivals.look(1)
    assert told == []
    there.append(1)
    arrivals.look(6)
    arrivals.stop()
    arrivals.look(ALWAYS)
    assert told == [("a", True), ("b", False), ("c", False)]
    arrivals.add(Arrival(lambda: True, ALWAYS, lambda came: told.append(("d", came))), 7)
    assert told[3:] == [("d", False)], "nobody looks after it any more"


def test_a_transaction_has_the_outcome_that_counts_most() -> None:
    """Whatever wasn't written in time is said first; where there was nothing, it is left."""
    tally = Tally()
    said: list[str] = [tally.outcome]
    for counted in ("refused", "written", "written"):
        tally.counts[counted] += 1
        said.append(tally.outcome)
    assert said == ["left_to_stream", "refused", "written", "written"]
    tally.counts["given_up"] += 1
    assert tally.shown() == {
        "outcome": "given_up",
        "documents": {"refused": 1, "written": 2, "given_up": 1},
    }


def test_a_request_becomes_changes() -> None:
    """Upserts with their former keys, deletes, truncates; values as the stream has them."""
    post = bodies().read(
        b'{"transactions": [{"changes": ['
        b'{"table": "public.hotel", "op": "upsert", "row": {"id": 1, "name": "a"}},'
        b'{"table": "public.hotel", "op": "upsert", "row": {"id": 2, "name": "\\u00e9"},'
        b' "key": {"id": 1}},'
        b'{"table": "public.hotel", "op": "delete", "key": {"id": 2}},'
        b'{"table": "public.hotel", "op": "truncate"}]}], "wait": "searchable", "timeout": "1s"}'
    )
    (transaction,) = post.transactions
    assert [(one.kind, one.new, one.old) for one in transaction.changes] == [
        (ChangeKind.UPDATE, [b"1", b'"a"'], None),
        (ChangeKind.UPDATE, [b"2", '"é"'.encode()], [b"1", b"null"]),
        (ChangeKind.DELETE, None, [b"2", b"null"]),
        (ChangeKind.TRUNCATE, None, None),
    ]
    assert (post.searchable, post.timeout_seconds, post.idempotency_key) == (True, 1.0, None)


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (b"", [""]),
        (b"[]", [""]),
        (b"{}", ["transactions"]),
        (b'{"transactions": [{}]}', ["transactions[0]"]),
        (b'{"transactions": [1], "waits": 1}', ["waits", "transactions[0]"]),
        (b'{"transactions": [{"changes": [1]}]}', ["transactions[0].changes[0]"]),
        (b'{"transactions": [{"changes": [NaN]}]}', [""]),
        (
            (
                b'{"transactions": [{"xid": 1, "changes": [{"table": "public.hotel", '
                b'"op": "delete", "row": {}, "key": {"id": 1, "nam": 1}}]}], "idempotency_key": ""}'
            ),
            [
                "transactions[0].xid",
                "transactions[0].changes[0].row",
                "transactions[0].changes[0].key.nam",
                "idempotency_key",
            ],
        ),
        (
            (
                b'{"transactions": [{"changes": [{"table": "public.hotel", "op": "upsert", '
                b'"row": {"id": 1, "name": null}}]}], "timeout": "61s"}'
            ),
            ["transactions[0].changes[0].row.name", "timeout"],
        ),
    ],
)
def test_each_mistake_has_its_place(body: bytes, at: list[str]) -> None:
    """Whatever is wrong with a request."""
    assert sorted(places(body)) == sorted(at)


def test_mistakes_are_told_up_to_a_hundred() -> None:
    """Nobody reads more."""
    many = b'{"transactions": [{"changes": [' + b",".join([b"1"] * 500) + b"]}]}"
    assert len(places(many)) == MOST_MISTAKES
    assert places(many, most_changes=499) == ["transactions"]


def test_not_every_source_can_be_posted_beside(tmp_path: Path) -> None:
    """One that gives many commits one position can't; who has none is posted to, alone."""
    posts = WebConfig(changes=ChangesConfig())
    plain = configuration(tmp_path)
    with pytest.raises(ConfigurationError, match="many commits one position"):
        Posts(plain.model_copy(update={"web": posts}), ScriptedSource(), MemorySink())
    tables = {"hotel": {"key": ["id"], "columns": {"id": "int"}}}
    source = HttpSource(HttpConfig(type="http", tables=tables), pipeline="pipe")  # type: ignore[arg-type]  # as YAML has it
    with pytest.raises(ConfigurationError, match=r"set web\.changes"):
        Posts(plain, source, MemorySink())
    two = plain.model_copy(update={"web": posts, "standby": True})
    with pytest.raises(ConfigurationError, match="standby"):
        Posts(two, source, MemorySink())


def test_types_are_those_of_sql() -> None:
    """By any of their names, with their measures, as arrays; what isn't one is said."""
    assert column_type("numeric(10, 2) not null") == (
        ColumnType("numeric", modifier=(10 << 16) + 2 + 4, declared="numeric(10,2)"),
        False,
    )
    array, nullable = column_type("character varying(20)[]")
    assert (array.name, array.kind, nullable) == ("_varchar", "array", True)
    assert array.element is not None
    assert array.element.modifier == 24
    assert column_type("Double  Precision")[0].name == "float8"
    for wrong in ("txt", "int(4)", "numeric(", "text(1,2)"):
        with pytest.raises(ValueError, match=r"did you mean text|measure|expected a type"):
            column_type(wrong)
