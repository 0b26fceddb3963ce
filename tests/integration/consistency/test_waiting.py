"""Clients wait until searches show what they have committed: over HTTP, with real servers."""

from __future__ import annotations

import http.client
import json
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.forked import command
from tests.generators.running_daemon import lsn, until
from tests.generators.waits import BARE, WHOLE, Asker, committed, wait_path

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from cdc_daemon.embedded import OpenSearchServer
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

PROJECTIONS = {"waits": {"from": "public.entry", "fields": "*", "freshness": "1h"}}
POLICIES = {
    "policies": {
        "own": {"strategy": "causal", "timeout": "50s", "on_timeout": "source"},
        "fresh": {"strategy": "eventual", "max_staleness": "1h", "on_timeout": "stale"},
        "never": {"strategy": "causal", "max_staleness": 0},
    },
    "rules": [{"function": "my-*", "user": "*", "policy": "own"}],
}


@pytest.fixture
def daemon(database: Database, start_daemon: StartDaemon) -> RunningDaemon:
    """One that streams, and of itself would refresh once an hour."""
    committed(database.dsn, "create table entry (id int primary key, name text)")
    made = start_daemon(PROJECTIONS, consistency=POLICIES)
    made.wait_until("streaming")
    return made


def found(rest: Rest, document_id: object, index: str = "waits") -> Any:
    """What a search finds of a document."""
    query = {"query": {"ids": {"values": [str(document_id)]}}}
    hits = rest.post(f"/{index}/_search", query)["hits"]["hits"]
    return hits[0]["_source"] if hits else None


def test_a_value_that_the_stream_leaves_out_is_waited_for(
    database: Database, rest: Rest, daemon: RunningDaemon
) -> None:
    """It is read from the source, and the document is not in the lanes before."""
    asker = Asker(daemon.file)
    large = "(select string_agg(md5(i::text), '') from generate_series(1, 3000) i)"
    asker.ask(committed(database.dsn, f"insert into entry values (1, {large})"), timeout=50)
    committed(database.dsn, "alter table entry add column note text")
    until(lambda: daemon.total("cdc_schema_changes_total") == 1, 60, "the column is seen")
    for number in range(10):
        token = committed(database.dsn, f"update entry set note = '{number}'")
        waited = asker.ask(token, timeout=50, projection="waits", id=1)
        assert waited.status == 200
        document = found(rest, 1)
        assert (document["note"], len(document["name"])) == (str(number), 96_000)


@pytest.mark.parametrize("token", [BARE, WHOLE], ids=["bare", "whole"])
def test_a_search_after_a_wait_shows_what_was_committed(
    database: Database, rest: Rest, daemon: RunningDaemon, token: str
) -> None:
    """Of all, of one read model or of one document; inserts, updates and deletes; every time."""
    asker = Asker(daemon.file)
    one: dict[str, object] = {"projection": "waits"}
    wishes: list[dict[str, object]] = [{}, one, {**one, "id": 1}]
    for turn in range(4):
        for wish in wishes:
            name = f"turn {turn} of {len(wish)}"
            statement = (
                f"insert into entry values (1, '{name}') on conflict (id) do update "
                "set name = excluded.name"
            )
            waited = asker.ask(committed(database.dsn, statement, token), timeout=50, **wish)
            assert found(rest, 1) == {"id": 1, "name": name}
            assert waited.status == 200
            assert waited.body["reached"]
        waited = asker.ask(committed(database.dsn, "delete from entry", token), **wishes[turn % 3])
        assert waited.status == 200
        assert found(rest, 1) is None


def test_what_cannot_be_waited_for_is_refused_with_a_reason(
    database: Database, daemon: RunningDaemon
) -> None:
    """Malformed, foreign, later, lost or future tokens; unknown names; impossible timeouts."""
    asker = Asker(daemon.file)
    token = committed(database.dsn, "insert into entry values (1)")
    epoch, _, lsn = token.rpartition(":")
    system, _, timeline = epoch.partition("/")
    expected: list[tuple[int, str, list[str], dict[str, object]]] = [
        (400, "not a token", ["soon"], {}),
        (400, "not a token", [""], {}),
        (400, "not a token", ["0/16B37480000"], {}),
        (400, "not a token", [f"{system}:{lsn}"], {}),
        (400, "not a token", [token, "0/"], {}),
        (409, "another database cluster", [f"1{system}/{timeline}:{lsn}"], {}),
        (409, "failover", [f"{system}/{int(timeline) + 1}:{lsn}"], {}),
        (409, "not a part of it", [f"{system}/0:{lsn}"], {}),
        (422, "beyond the end", [f"{epoch}:FFFFFFFF/0"], {"timeout": 50}),
        (422, "beyond the end", ["7FFFFFFF/FFFFFFFF"], {"timeout": 50, "projection": "waits"}),
        (404, "did you mean 'waits'", [token], {"projection": "wait"}),
        (404, "did you mean 'own'", [token], {"policy": "owm"}),
        (400, "an id needs its projection", [token], {"id": 1}),
        (400, "not both", [token], {"policy": "own", "function": "my-bookings"}),
        (400, "not both", [token], {"policy": "own", "user": "guest"}),
        (400, "did you mean timeout", [token], {"time_out": 1}),
        (400, "did you mean token", [], {"tokens": token}),
        (400, "expected a duration", [token], {"timeout": "soon"}),
        (400, "expected a duration", [token], {"timeout": -1}),
        (400, "expected a duration", [token], {"timeout": "nan"}),
        (400, "expected a duration", [token], {"timeout": "inf"}),
        (400, "at most 1m", [token], {"timeout": "61s"}),
        (400, "at most 1m", [token], {"timeout": "9" * 300}),
    ]
    for status, why, tokens, parameters in expected:
        waited = asker.ask(*tokens, **parameters)
        assert (waited.status, why in waited.body["error"]) == (status, True), waited
        if status in {409, 422}:
            assert waited.body["epoch"] == epoch
    assert asker.get("/api/v1/wait?projection=waits&projection=waits").status == 400


def test_people_and_scripts_wait_by_a_command(
    database: Database, opensearch: OpenSearchServer, daemon: RunningDaemon
) -> None:
    """Its exit code says whether searches show it; what is wrong is said as the daemon has it."""

    def wait(*options: object) -> CompletedProcess[str]:
        return command("wait", str(daemon.file), *map(str, options))

    token = committed(database.dsn, "insert into entry values (1)", BARE)
    asked = ("--token", token, "--projection", "waits", "--timeout", "50s")
    shown = wait(*asked, "--token", "0/1", "--id", 1)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("searches show it, after ")
    told = json.loads(wait(*asked, "--policy", "own", "--output", "json").stdout)
    assert (told["reached"], told["policy"]) == (True, "own")
    assert wait().returncode == 0
    for options, code, why in (
        (("--token", "soon"), 1, "error: not a token"),
        (("--projection", "wait"), 1, "did you mean 'waits'"),
        (("--policy", "owm"), 1, "did you mean 'own'"),
        (("--timeout", "2h"), 1, "at most 1m"),
        (("--timeout", "-1s"), 2, "expected a duration"),
        (("--url", "http://127.0.0.1:1"), 1, "no daemon answers"),
    ):
        refused = wait("--token", token, *options)
        assert (refused.returncode, refused.stdout) == (code, "")
        assert why in refused.stderr
    opensearch.pause()
    later = committed(database.dsn, "insert into entry values (2)", BARE)
    late = wait("--token", later, "--timeout", "500ms")
    opensearch.resume()
    assert (late.returncode, late.stdout) == (1, "")
    assert "the sink, which is busy or doesn't answer" in late.stderr


def test_an_idle_source_is_no_reason_to_wait(database: Database, daemon: RunningDaemon) -> None:
    """The token may lie beyond what is flushed: behind what others have not committed, or a commit
    that didn't wait for the disk; nothing comes after it.
    """  # noqa: D205 - one sentence
    asker = Asker(daemon.file)
    with psycopg.connect(database.dsn) as other:
        for number in range(3):
            statement = f"insert into entry values ({number})"
            with psycopg.connect(database.dsn, autocommit=True) as connection:
                connection.execute("set synchronous_commit = off")
                connection.execute(statement)
                other.execute("insert into entry values (%s)", [100 + number])
                (token,) = connection.execute(BARE).fetchone() or ("",)
            waited = asker.ask(token, timeout=50, projection="waits", id=number)
            assert waited.status == 200
            waited = asker.ask(token, timeout=50)
            assert waited.status == 200
            assert waited.body["waited_seconds"] < 12  # the server itself would take 15 s or more
        other.rollback()


def test_policies_say_what_is_waited_for(database: Database, daemon: RunningDaemon) -> None:
    """By name, by rule, or none; and each is counted."""
    asker = Asker(daemon.file)
    shown = asker.get("/api/v1/policies").body
    token = committed(database.dsn, "insert into entry values (1)")
    assert shown["epoch"] == token.rpartition(":")[0]
    assert shown["default"] == "eventual"
    assert shown["policies"].keys() == {"eventual", "own", "fresh", "never"}
    assert shown["policies"]["own"] == {
        "strategy": "causal",
        "timeout_seconds": 50.0,
        "on_timeout": "source",
        "max_staleness_seconds": None,
    }
    assert shown["rules"] == [{"function": "my-*", "user": "*", "policy": "own"}]
    asked: list[tuple[dict[str, object], str | None, str]] = [
        ({}, None, "causal"),
        ({"policy": "own"}, "own", "causal"),
        ({"function": "my-bookings", "user": "guest"}, "own", "causal"),
        ({"function": "my-bookings"}, "eventual", "eventual"),
        ({"function": "trends", "user": "guest"}, "eventual", "eventual"),
        ({"policy": "fresh"}, "fresh", "eventual"),
    ]
    until(lambda: asker.ask().body["staleness_seconds"] is not None, 60, "the source is sampled")
    for parameters, name, strategy in asked:
        waited = asker.ask(token, **parameters)
        assert waited.status == 200, waited
        assert (waited.body["policy"], waited.body["strategy"]) == (name, strategy)
    never = asker.ask(token, policy="never")
    assert (never.status, never.body["reached"]) == (504, False)
    assert never.body["on_timeout"] == "error"
    assert "behind the source" in never.body["why"]
    metrics = daemon.metrics()
    counted = 'cdc_wait_seconds_count{outcome="%s",policy="%s"}'
    assert metrics[counted % ("reached", "own")] == 2
    assert metrics[counted % ("timeout", "never")] == 1
    assert metrics["cdc_waiters"] == 0


def test_a_token_is_read_though_nobody_waits_for_it(
    database: Database, daemon: RunningDaemon
) -> None:
    """An eventual policy waits for nothing; one that is none, or foreign, is a mistake there."""
    asker = Asker(daemon.file)
    token = committed(database.dsn, "insert into entry values (1)")
    epoch, _, place = token.rpartition(":")
    system, _, timeline = epoch.partition("/")
    for asked in ({"policy": "fresh"}, {"function": "trends"}):
        assert asker.ask(token, **asked).status in {200, 504}  # nobody knows how stale it is, yet
        for status, why, wrong in (
            (400, "not a token", "soon"),
            (400, "not a token", f"{system}:{place}"),
            (409, "another database cluster", f"1{system}/{timeline}:{place}"),
            (409, "failover", f"{system}/{int(timeline) + 1}:{place}"),
        ):
            waited = asker.ask(token, wrong, **asked)
            assert (waited.status, why in waited.body["error"]) == (status, True), waited
    refused = 'cdc_wait_seconds_count{outcome="refused",policy="%s"}'
    counted = daemon.metrics()
    assert [counted[refused % name] for name in ("fresh", "eventual")] == [4, 4]


def test_a_wait_that_takes_too_long_says_why(
    database: Database, opensearch: OpenSearchServer, daemon: RunningDaemon
) -> None:
    """And what its policy says to do then."""
    asker = Asker(daemon.file)
    opensearch.pause()
    token = committed(database.dsn, "insert into entry values (1)")
    waited = asker.ask(token, timeout="1s", policy="own")
    assert (waited.status, waited.body["reached"]) == (504, False)
    assert waited.body["on_timeout"] == "source"
    assert waited.body["waited_seconds"] >= 1
    assert "sink" in waited.body["why"]
    opensearch.resume()
    assert asker.ask(token, timeout=50).body["reached"]


def test_who_hangs_up_is_forgotten(
    database: Database, opensearch: OpenSearchServer, daemon: RunningDaemon
) -> None:
    """A web node that has died is waited for by nobody."""
    asker = Asker(daemon.file)
    opensearch.pause()
    token = committed(database.dsn, "insert into entry values (1)")
    waiting = [asker.open(wait_path(token, timeout=60)) for _ in range(20)]
    until(lambda: daemon.metrics()["cdc_waiters"] == 20, 60, "all wait")
    for connection in waiting:
        connection.close()
    until(lambda: daemon.metrics()["cdc_waiters"] == 0, 60, "nobody waits")
    opensearch.resume()
    gone = 'cdc_wait_seconds_count{outcome="gone",policy=""}'
    assert daemon.metrics()[gone] == 20


def test_a_stop_answers_all_who_wait(
    database: Database, opensearch: OpenSearchServer, daemon: RunningDaemon
) -> None:
    """With 503: another daemon may be asked, or this one later."""
    asker = Asker(daemon.file)
    opensearch.pause()
    token = committed(database.dsn, "insert into entry values (1)")
    waiting = [asker.open(wait_path(token, timeout=60)) for _ in range(20)]
    until(lambda: daemon.metrics()["cdc_waiters"] == 20, 60, "all wait")
    daemon.signal(signal.SIGTERM)
    answers = [asker.answer(connection) for connection in waiting]
    assert {answer.status for answer in answers} == {503}
    assert "stop" in answers[0].body["error"]
    opensearch.resume()
    assert daemon.wait(60) == 0


def test_a_thousand_who_wait_share_a_refresh(
    database: Database, opensearch: OpenSearchServer, daemon: RunningDaemon
) -> None:
    """However they wait: for all, for a read model, for a document."""
    asker = Asker(daemon.file)
    before = daemon.total("cdc_refresh_duration_seconds_count")
    opensearch.pause()
    token = committed(database.dsn, "insert into entry select generate_series(1, 1000)")
    wishes: list[dict[str, object]] = [{}, {"projection": "waits"}]
    waiting = [
        asker.open(wait_path(token, timeout=60, **wish))
        for number in range(334)
        for wish in (*wishes, {"projection": "waits", "id": number + 1})
    ]
    until(lambda: daemon.metrics()["cdc_waiters"] == len(waiting), 60, "all wait")
    opensearch.resume()
    assert {asker.answer(connection).status for connection in waiting} == {200}
    assert daemon.total("cdc_refresh_duration_seconds_count") - before <= 5


def test_what_a_killed_daemon_wrote_is_found_after_a_wait(
    database: Database, rest: Rest, daemon: RunningDaemon
) -> None:
    """Though it was written, and checkpointed, and never refreshed; whoever waited asks again."""
    asker = Asker(daemon.file)
    for number in range(2):
        asker.ask(committed(database.dsn, f"insert into entry values ({number})"), timeout=50)
    token = committed(database.dsn, "insert into entry values (9)")
    position = lsn(token.rpartition(":")[2])
    until(lambda: daemon.position("checkpoint") >= position, 60, "it is checkpointed")
    waiting = asker.open(wait_path("7FFFFFFF/0", timeout=60, projection="waits", id="other"))
    daemon.kill()
    with pytest.raises((OSError, http.client.HTTPException)):
        asker.answer(waiting)
    assert found(rest, 9) is None
    daemon.start()
    wishes: list[dict[str, object]] = [{"projection": "waits", "id": 9}, {"projection": "waits"}]
    for wish in wishes:
        until(lambda wish=wish: _answered(asker, token, **wish), 60, "it is reached")  # type: ignore[misc]  # bound
        assert found(rest, 9) == {"id": 9, "name": None}


def _answered(asker: Asker, *tokens: str, **wish: object) -> bool:
    """Whether it is reached; while it starts nobody listens, or it says so."""
    try:
        waited = asker.ask(*tokens, timeout=50, **wish)
    except (OSError, http.client.HTTPException):
        return False
    assert waited.status in {200, 503}, waited
    return waited.status == 200


def test_a_read_model_that_is_being_loaded_is_not_reached(
    database: Database, daemon: RunningDaemon
) -> None:
    """Nobody waits for it but who asks for it; then it is."""
    committed(database.dsn, "insert into entry select generate_series(1, 3000)")
    daemon.terminate()
    whole = json.loads(daemon.file.read_text())
    whole["projections"]["waits_too"] = PROJECTIONS["waits"]
    whole["backfill"] = {"rows_per_second": 100, "chunk": "8kB", "workers": 1}
    daemon.file.write_text(json.dumps(whole))
    daemon.start()
    daemon.wait_until("loading")
    asker = Asker(daemon.file)
    token = committed(database.dsn, "insert into entry values (0)")
    waited = asker.ask(token, timeout=1, projection="waits_too", id=0)
    assert (waited.status, waited.body["staleness_seconds"]) == (504, None)
    assert "loaded" in waited.body["why"]
    told = asker.ask(strategy="eventual", projection="waits_too")
    assert (told.status, told.body["reached"], told.body["searchable"]) == (200, True, None)
    assert asker.ask(token, timeout=50).status == 200
    assert asker.ask(token, timeout=50, projection="waits").status == 200


def test_what_is_left_to_a_load_is_waited_for(
    database: Database, rest: Rest, daemon: RunningDaemon
) -> None:
    """A table has changed, and its rows are read again: changes that this sees come with it."""
    daemon.terminate()
    whole = json.loads(daemon.file.read_text())
    whole["backfill"] = {"rows_per_second": 2000, "chunk": "8kB", "workers": 1}
    daemon.file.write_text(json.dumps(whole))
    committed(database.dsn, "insert into entry select generate_series(1, 8000)")
    daemon.start()
    daemon.wait_until("streaming")
    asker = Asker(daemon.file)
    assert asker.ask(committed(database.dsn, "select 1"), timeout=50).status == 200
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("alter table entry add note text default 'x'")
        connection.execute("insert into entry values (9999, 'new')")
        connection.execute("update entry set name = 'newer' where id = 8000")
    token = committed(database.dsn, "select 1")
    wishes: list[dict[str, object]] = [{}, {"projection": "waits"}]
    for wish in (*wishes, *({**wishes[1], "id": number} for number in (9999, 8000))):
        waited = asker.ask(token, timeout=50, **wish)
        assert waited.status == 200, waited
        assert found(rest, 9999) == {"id": 9999, "name": "new", "note": "x"}
        assert found(rest, 8000) == {"id": 8000, "name": "newer", "note": "x"}
    assert daemon.total("cdc_schema_changes_total") == 1
