"""What is posted beside the stream: searchable before it, repaired by it, never in its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.generators.running_daemon import until
from tests.integration.posted.conftest import KEY, OWNER_KEY, version_of

if TYPE_CHECKING:
    from tests.integration.posted.conftest import Shop

INSERT = "insert into hotel (id, name, stars) values (%s, 'Ritz', 4.5)"


def row(id_: int, **others: Any) -> dict[str, Any]:
    """A hotel as the table has it after `INSERT`."""
    return {"id": id_, "name": "Ritz", "stars": 4.5, "draft": False, **others}


def upsert(row: dict[str, Any]) -> dict[str, Any]:
    """A change that says so."""
    return {"table": "public.hotel", "op": "upsert", "row": row}


def committed(shop: Shop, *statements: str, hotel: int) -> str:
    """The version of a transaction that has inserted a hotel, and done these."""
    with shop.connect() as connection:
        for statement in (INSERT, *statements):
            connection.execute(statement, [hotel])
        return version_of(connection)


def test_what_is_posted_is_there_before_the_stream_has_it(shop: Shop, hotel: int) -> None:
    """With the version of its transaction; then the stream writes the same with its commit's."""
    with shop.stream_stopped():
        version = committed(shop, hotel=hotel)
        answer = shop.post_change(version, row=row(hotel))
        assert (answer.status, answer.outcomes) == (200, ["written"])
        early = shop.document(hotel)
    assert early is not None
    assert early["_source"] == {"id": hotel, "name": "Ritz", "stars": 4.5}
    shop.daemon.catch_up()
    late = shop.document(hotel)
    assert late is not None
    assert late["_source"] == early["_source"]
    assert late["_version"] > early["_version"]


def test_what_the_stream_has_come_to_is_superseded(shop: Shop, hotel: int) -> None:
    """A late post changes nothing: its row may be gone for long."""
    version = committed(shop, hotel=hotel)
    with shop.connect() as connection:
        connection.execute("delete from hotel where id = %s", [hotel])
    shop.daemon.catch_up()
    answer = shop.post_change(version, row=row(hotel))
    assert (answer.status, answer.outcomes) == (200, ["superseded"])
    assert shop.document(hotel) is None


@pytest.mark.parametrize("rightly", [True, False])
def test_only_a_version_from_inside_the_transaction_is_repaired(
    shop: Shop, hotel: int, *, rightly: bool
) -> None:
    """One that is read after COMMIT may lie above a later commit, which then never wins."""
    with shop.stream_stopped():
        inside = committed(shop, hotel=hotel)
        with shop.connect() as connection:
            connection.execute("update hotel set name = 'Plaza' where id = %s", [hotel])
        with shop.connect() as connection:  # what anybody writes just then
            connection.execute("insert into hotel (id, name) values (%s, 'other')", [-hotel])
            afterwards = version_of(connection)
            answer = shop.post_change(inside if rightly else afterwards, row=row(hotel))
        assert answer.outcomes == ["written"]
    shop.daemon.catch_up()
    assert shop.name_shown(hotel) == ("Plaza" if rightly else "Ritz")


def test_each_read_model_says_whether_it_is_written_to(shop: Shop, hotel: int) -> None:
    """Those of several tables, or of kept rows, are left to the stream, and nothing is lost."""
    answer = shop.post_change(committed(shop, hotel=hotel), row=row(hotel))
    assert answer.status == 200
    assert set(answer.content["left_to_stream"]) == {"cards", "suites"}
    shop.daemon.catch_up()
    assert shop.rest.get(f"/cards/_search?q=id:{hotel}")["hits"]["total"]["value"] == 1


def test_a_row_that_only_joined_documents_show_is_waited_for(shop: Shop, hotel: int) -> None:
    """The stream brings it: the answer comes when searches show it, where its token is given."""
    with shop.connect() as connection:
        connection.execute("insert into hotel (id, name) values (%s, 'Ritz')", [hotel])
        connection.execute("insert into room values (%s, %s, 'suite')", [hotel, hotel])
        version = version_of(connection)
    with shop.connect() as connection:
        token = version_of(connection)
    change = {
        "table": "public.room",
        "op": "upsert",
        "row": {"id": hotel, "hotel_id": hotel, "kind": "suite"},
    }
    transaction = {"version": version, "token": token, "changes": [change]}
    answer = shop.post({"transactions": [transaction], "wait": "searchable", "timeout": "60s"})
    assert (answer.status, answer.outcomes) == (200, ["left_to_stream"])
    found = shop.rest.get(f"/suites/_search?q=id:{hotel}")["hits"]["hits"]
    assert [hit["_source"] for hit in found] == [{"id": hotel, "rooms": ["suite"]}]


def test_a_row_that_where_leaves_out_has_no_document(shop: Shop, hotel: int) -> None:
    """As in the stream: an upsert of it deletes, and so does a delete; a key may change."""
    with shop.stream_stopped():
        shop.post_change(committed(shop, hotel=hotel), row=row(hotel))
        hide = "update hotel set draft = true where id = %s"
        with shop.connect() as connection:
            connection.execute(hide, [hotel])
            version = version_of(connection)
        shop.post_change(version, row=row(hotel, draft=True))
        assert shop.document(hotel) is None
        moved = row(-hotel)
        shop.post_change(committed(shop, hotel=-hotel), row=moved, key={"id": hotel})
        assert shop.name_shown(-hotel) == "Ritz"
        shop.post_change(committed(shop, hotel=10**6 + hotel), op="delete", key={"id": -hotel})
        assert shop.document(-hotel) is None


def test_it_is_searched_where_somebody_waits_for_that(shop: Shop, hotel: int) -> None:
    """The answer comes when searches show it."""
    with shop.stream_stopped():
        change = upsert(row(hotel))
        transaction = {"version": committed(shop, hotel=hotel), "changes": [change]}
        answer = shop.post({"transactions": [transaction], "wait": "searchable", "timeout": "60s"})
        found = shop.rest.get(f"/hotels/_search?q=id:{hotel}")["hits"]["total"]["value"]
    assert (answer.status, answer.outcomes, found) == (200, ["written"], 1)


def test_a_version_of_nowhere_is_refused(shop: Shop, hotel: int) -> None:
    """Beyond the log, of another database, or without its history: nothing would repair it."""
    epoch = committed(shop, hotel=hotel + 10**7).rpartition(":")[0]
    beyond = shop.post_change(f"{epoch}:FFFF/0", row=row(hotel))
    assert (beyond.status, beyond.outcomes) == (200, ["refused"])
    assert shop.post_change("1/1:0/1", row=row(hotel)).status == 409
    assert shop.post_change("0/1", row=row(hotel)).status == 422
    assert shop.document(hotel) is None


def test_a_document_that_cannot_be_is_refused_and_the_stream_keeps_the_dead_letter(
    shop: Shop, hotel: int
) -> None:
    """The others of its request are written."""
    lengthen = "update hotel set name = repeat('x', 40000) where id = %s"
    before = shop.daemon.status()["dead_letters"]
    with shop.stream_stopped():
        transactions = [
            {
                "version": committed(shop, lengthen, hotel=hotel),
                "changes": [upsert(row(hotel, name="x" * 40_000))],
            },
            {"version": committed(shop, hotel=-hotel), "changes": [upsert(row(-hotel))]},
        ]
        answer = shop.post({"transactions": transactions})
        assert answer.outcomes == ["refused", "written"]
        (refused,) = answer.content["transactions"][0]["refused"]
        assert (refused["projection"], refused["id"]) == ("hotels", str(hotel))
        assert refused["reason"] == "document_too_large"
    until(lambda: shop.daemon.status()["dead_letters"] > before, 60, "there is a dead letter")


def test_every_mistake_has_its_place(shop: Shop) -> None:
    """Unknown names, wrong types, what is missing, and what may not be null: all at once."""
    wrong: list[dict[str, Any]] = [
        {"table": "public.hotels", "op": "upsert", "row": {}},
        {"table": "public.hotel", "op": "insert", "row": {}},
        {"table": "public.hotel", "op": "upsert", "row": {"id": "1", "names": 1, "draft": None}},
        {"table": "public.hotel", "op": "delete", "key": {}},
        {"table": "public.hotel", "op": "truncate"},
    ]
    answer = shop.post({"transactions": [{"version": "x", "changes": wrong}], "wait": "soon"})
    at = "transactions[0].changes"
    assert answer.status == 422
    assert set(answer.places) == {
        f"{at}[0].table",
        f"{at}[1].op",
        f"{at}[2].row",
        f"{at}[2].row.id",
        f"{at}[2].row.names",
        f"{at}[2].row.draft",
        f"{at}[3].key",
        f"{at}[4].op",
        "wait",
    }


def test_only_who_has_a_key_may_post(shop: Shop, hotel: int) -> None:
    """A key of its own, or the one that may do everything; with the former nothing else."""
    change = upsert(row(hotel))
    body = {"transactions": [{"version": committed(shop, hotel=hotel), "changes": [change]}]}
    assert shop.post(body, None).status == 401
    assert shop.post(body, "guess").status == 401
    assert shop.post(body, KEY).status == 200
    assert shop.post(body, OWNER_KEY).status == 200


def test_the_same_key_gets_the_same_answer(shop: Shop, hotel: int) -> None:
    """A repeated request is done once; with another body the key is refused."""
    change = upsert(row(hotel))
    transaction = {"version": committed(shop, hotel=hotel), "changes": [change]}
    body = {"transactions": [transaction], "idempotency_key": f"booking {hotel}"}
    before = shop.daemon.total("cdc_posted_transactions_total")
    first, second = shop.post(body), shop.post(body)
    assert first.content == second.content
    assert shop.post({**body, "wait": "searchable"}).status == 409
    assert shop.daemon.total("cdc_posted_transactions_total") == before + 1


def test_what_is_too_large_is_refused(shop: Shop) -> None:
    """With what it may be."""
    answer = shop.post(b" " * 5_000_001)
    assert answer.status == 413
    assert "web.changes.max_body" in answer.content["error"]
    change = {"table": "public.hotel", "op": "delete", "key": {"id": 1}}
    answer = shop.post({"transactions": [{"version": "x", "changes": [change] * 10_001}]})
    assert answer.status == 422
    assert "web.changes.max_changes" in answer.content["error"]
