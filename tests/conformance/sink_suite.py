"""What every sink must do: inherit `SinkSuite` in a test module that defines three fixtures.

`sink`: the sink, built for pipeline `PIPELINE`; `other_sink`: the same, as another process has it;
`search`: a function that returns what a search of an index or a read model finds, as a dict of id
to document.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar, TypeAlias

import orjson
import pytest

from cdc_daemon.errors import SinkError
from cdc_daemon.events import (
    ColumnType,
    DocumentOperation,
    Generation,
)
from cdc_daemon.ports import FieldSpec, ReadModel, Sink, Writer
from cdc_daemon.values import Form
from tests.conformance.stores_suite import StoresSuite

PIPELINE = "conformance"
Search: TypeAlias = Callable[[str], dict[str, Any]]


def read_model(name: str = "", fingerprint: str = "f1") -> ReadModel:
    """A read model with a number and a text, of a name that no other test has."""
    fields = (FieldSpec("n", ColumnType("int4")), FieldSpec("t", ColumnType("text")))
    return ReadModel(name or f"suite_{uuid.uuid4().hex[:12]}", fields, fingerprint)


def index(
    generation: Generation, key: str, version: int, n: object = 0, t: str = ""
) -> DocumentOperation:
    """Index a document; `n` is a number where it is to be taken."""
    body = orjson.dumps({"n": n, "t": t})
    return DocumentOperation(generation.index, orjson.dumps(key), version, body)


def exactly(body: bytes) -> Any:
    """What a document says, with every digit of its numbers."""
    return json.loads(body, parse_float=Decimal)


def delete(generation: Generation, key: str, version: int) -> DocumentOperation:
    """Delete a document."""
    return DocumentOperation(generation.index, orjson.dumps(key), version, None)


@pytest.fixture
def generation(sink: Sink) -> Iterator[Generation]:
    """An empty generation, dropped at the end."""
    made = sink.create_generation(read_model())
    yield made
    sink.drop_generation(made)


@pytest.fixture
def writer(sink: Sink) -> Iterator[Writer]:
    """A writer, closed at the end."""
    made = sink.writer()
    yield made
    made.close()


class SinkSuite(StoresSuite):
    """The contract of `cdc_daemon.ports.Sink`, sentence by sentence."""

    keeps_text: ClassVar[bool] = True
    """Whether a document comes back byte for byte, and not only as the same JSON."""

    def test_reads_back_what_it_wrote(
        self, sink: Sink, writer: Writer, generation: Generation
    ) -> None:
        """A written document is there at once, with its version: byte for byte, or as that JSON."""
        body = b'{"n": 7, "t": "caf\xc3\xa9 \\u2028 1.50"}'
        operation = DocumentOperation(generation.index, b'"a|b/c?d\\"e"', 11, body)
        result = writer.write([operation])
        assert (list(result.rejected), list(result.retry), len(result.stale)) == ([], [], 0)
        found = sink.documents.get(generation.index, 'a|b/c?d"e')
        assert found is not None
        assert (found[0], exactly(found[1])) == (11, exactly(body))
        assert found[1] == body or not self.keeps_text
        assert sink.documents.get(generation.index, "none") is None

    def test_says_where_it_writes(self, sink: Sink, other_sink: Sink) -> None:
        """Another process of the pipeline is told the same."""
        assert sink.identity()
        assert sink.identity() == other_sink.identity()

    def test_says_in_which_form_it_takes_a_field(self, sink: Sink) -> None:
        """Every field has a form, a constant too; asking twice gives the same."""
        fields = [*read_model().fields, FieldSpec("c", None, example=1)]
        forms = [sink.form(field, "suite") for field in fields]
        assert all(isinstance(form, Form) for form in forms)
        assert forms == [sink.form(field, "suite") for field in fields]

    def test_writes_nothing_when_given_nothing(self, writer: Writer) -> None:
        """An empty batch is fine."""
        assert list(writer.write([]).rejected) == []

    def test_deletes(self, sink: Sink, writer: Writer, generation: Generation) -> None:
        """A delete removes the document; deleting what isn't there is no failure."""
        writer.write([index(generation, "1", 5)])
        result = writer.write([delete(generation, "1", 6), delete(generation, "none", 6)])
        assert (list(result.rejected), list(result.retry), len(result.stale)) == ([], [], 0)
        assert sink.documents.get(generation.index, "1") is None

    @pytest.mark.parametrize("newest_first", [True, False])
    def test_newest_wins_in_any_order(
        self,
        sink: Sink,
        writer: Writer,
        generation: Generation,
        *,
        newest_first: bool,
    ) -> None:
        """Of two operations on one document the higher version stays, whichever comes last."""
        operations = [index(generation, "1", 20, n=2), index(generation, "1", 10, n=1)]
        for operation in operations if newest_first else reversed(operations):
            assert len(writer.write([operation]).stale) == (
                operation.version == 10 and newest_first
            )
        found = sink.documents.get(generation.index, "1")
        assert found is not None
        assert (found[0], orjson.loads(found[1])["n"]) == (20, 2)

    def test_takes_the_same_version_again(
        self, sink: Sink, writer: Writer, generation: Generation
    ) -> None:
        """A replay of the same operation is taken, and changes nothing."""
        batch = [index(generation, "1", 10, n=1), delete(generation, "2", 10)]
        for _ in range(3):
            result = writer.write(batch)
            assert (list(result.rejected), list(result.retry), len(result.stale)) == ([], [], 0)
        assert sink.documents.get(generation.index, "1") is not None

    def test_delete_outlives_older_writes(
        self, sink: Sink, writer: Writer, generation: Generation
    ) -> None:
        """After a delete an older write is stale: a delete is as strong as a write."""
        writer.write([delete(generation, "1", 10)])
        assert len(writer.write([index(generation, "1", 9)]).stale) == 1
        assert sink.documents.get(generation.index, "1") is None
        assert len(writer.write([index(generation, "1", 11)]).stale) == 0
        assert sink.documents.get(generation.index, "1") is not None

    def test_same_document_twice_in_a_batch(
        self, sink: Sink, writer: Writer, generation: Generation
    ) -> None:
        """Within a batch, too, the newest version wins, and each failure finds its operation."""
        bad = index(generation, "1", 12, n="no number")
        batch = [
            index(generation, "1", 10, n=1),
            bad,
            index(generation, "1", 11, n=2),
            index(generation, "1", 9, n=3),
        ]
        result = writer.write(batch)
        assert [rejection.operation for rejection in result.rejected] == [bad]
        assert len(result.stale) == 1
        found = sink.documents.get(generation.index, "1")
        assert found is not None
        assert orjson.loads(found[1])["n"] == 2

    def test_rejects_only_the_poison(
        self, sink: Sink, writer: Writer, generation: Generation
    ) -> None:
        """A value that can't be stored rejects its own document; its neighbours are durable."""
        batch = [index(generation, str(i), 1, n="poison" if i in {3, 7} else i) for i in range(10)]
        result = writer.write(batch)
        assert [rejection.operation for rejection in result.rejected] == [batch[3], batch[7]]
        assert all(each.reason and each.explanation for each in result.rejected)
        found = [sink.documents.get(generation.index, str(i)) is not None for i in range(10)]
        assert found == [i not in {3, 7} for i in range(10)]

    def test_rejects_an_impossible_id_alone(
        self, sink: Sink, writer: Writer, generation: Generation
    ) -> None:
        """An id that no sink takes rejects its own operation, whatever else is in the batch."""
        batch = [index(generation, "x" * 5000 if i == 5 else str(i), 1) for i in range(9)]
        result = writer.write(batch)
        if result.rejected:  # a sink may well take such an id
            assert [rejection.operation for rejection in result.rejected] == [batch[5]]
        assert all(sink.documents.get(generation.index, str(i)) for i in (0, 4, 6, 8))

    def test_parallel_writers_converge(
        self, sink: Sink, generation: Generation, search: Search
    ) -> None:
        """Writers that race over the same documents leave the newest version of each."""

        def write(share: int) -> None:
            writer = sink.writer()
            for version in range(1 + share, 41, 4):
                writer.write([index(generation, str(i), version, n=version) for i in range(50)])
            writer.close()

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(write, range(4)))
        sink.refresh([generation.index])
        assert {doc["n"] for doc in search(generation.index).values()} == {40}

    def test_refresh_makes_searchable(
        self, sink: Sink, writer: Writer, generation: Generation, search: Search
    ) -> None:
        """When a refresh returns, a search finds everything written before it."""
        writer.write([index(generation, str(i), 1, n=i) for i in range(100)])
        sink.refresh([generation.index])
        assert len(search(generation.index)) == 100

    def test_takes_fields_that_are_added(self, sink: Sink, writer: Writer) -> None:
        """A document with a new field is taken then, and twice does no harm."""
        model = replace(read_model(), digests={"n": "1", "t": "2"})
        generation = sink.create_generation(model)
        more = replace(model, fields=(*model.fields, FieldSpec("m", ColumnType("int4"))))
        for _ in range(2):
            assert sink.extend_generation(generation, more)
        one = DocumentOperation(generation.index, b'"1"', 7, b'{"n":1,"t":"","m":8}')
        assert not writer.write([one]).rejected
        assert sink.documents.get(generation.index, "1") is not None
        sink.drop_generation(generation)

    def test_no_field_becomes_one_of_another_type(self, sink: Sink) -> None:
        """An index that had such a field before is no place for it."""
        model = read_model()
        generation = sink.create_generation(model)
        other = replace(model, fields=(FieldSpec("n", ColumnType("text")),))
        assert not sink.extend_generation(generation, other)
        sink.drop_generation(generation)

    def test_publish_moves_the_alias(self, sink: Sink, writer: Writer, search: Search) -> None:
        """The read model's name always finds exactly one generation: the last one published."""
        model = read_model()
        first, second = sink.create_generation(model), sink.create_generation(model)
        assert first.index != second.index
        assert first.uuid != second.uuid
        writer.write([index(first, "first", 1), index(second, "second", 1)])
        sink.refresh([first.index, second.index])
        for published, before in ((first, []), (second, [first]), (first, [second]), (first, [])):
            assert list(sink.publish(published)) == [each.index for each in before]
            assert list(search(model.name)) == ["first" if published is first else "second"]
        sink.preflight([model])
        for each in (first, second):
            sink.drop_generation(each)

    def test_finds_and_drops_generations(self, sink: Sink, generation: Generation) -> None:
        """A generation is found by its index until it is dropped; dropping twice is quiet."""
        assert sink.find_generation(generation.index) == generation.uuid
        assert sink.find_generation(generation.projection) is None
        sink.publish(generation)
        assert sink.find_generation(generation.projection) is None
        sink.drop_generation(generation)
        sink.drop_generation(generation)
        assert sink.find_generation(generation.index) is None

    def test_knows_what_is_searched(self, sink: Sink, search: Search) -> None:
        """From the first that is published on, whichever it is, and not by what is only made."""
        model = read_model()
        first, second = sink.create_generation(model), sink.create_generation(model)
        assert not sink.is_searched(model.name)
        for published in (first, second):
            sink.publish(published)
            assert sink.is_searched(model.name)
        sink.drop_generation(first)
        assert sink.is_searched(model.name)
        assert search(model.name) == {}
        sink.drop_generation(second)

    def test_drops_no_successor(self, sink: Sink, generation: Generation) -> None:
        """Dropping a generation leaves another one alone that has the same index name."""
        stranger = Generation(generation.projection, generation.index, "another", "f1")
        sink.drop_generation(stranger)
        assert sink.find_generation(generation.index) == generation.uuid

    def test_refuses_to_write_where_the_index_is_gone(
        self, sink: Sink, writer: Writer, generation: Generation
    ) -> None:
        """After somebody deleted the index, a write stops with a sentence: nothing is made up."""
        sink.drop_generation(generation)
        with pytest.raises(SinkError, match=generation.index):
            writer.write([index(generation, "1", 1)])
        assert sink.find_generation(generation.index) is None
        with pytest.raises(SinkError, match=generation.index):
            sink.refresh([generation.index])

    def test_preflight_touches_nothing(self, sink: Sink) -> None:
        """Preflight of a good read model passes and makes no index."""
        model = read_model()
        sink.preflight([model])
        assert sink.create_generation(model).index.endswith("1")

    def test_deletes_what_is_older(
        self, sink: Sink, writer: Writer, generation: Generation, search: Search
    ) -> None:
        """Of all documents those below the version go, those at it and above it stay."""
        writer.write([index(generation, str(i), i) for i in range(1, 101)])
        assert writer.delete_before(generation.index, 60) == 59
        sink.refresh([generation.index])
        assert sorted(map(int, search(generation.index))) == list(range(60, 101))
        assert writer.delete_before(generation.index, 60) == 0

    def test_deleted_stays_deleted_when_replayed(
        self, sink: Sink, writer: Writer, generation: Generation, search: Search
    ) -> None:
        """Replaying the writes before a truncate and the truncate itself ends the same way."""
        old = [index(generation, str(i), 10 + i) for i in range(20)]
        new = [index(generation, str(i), 100, n=9) for i in range(5)]
        for _ in range(3):
            writer.write(old)
            writer.delete_before(generation.index, 100)
            writer.write(new)
        assert len(writer.write(old).stale) == 20
        sink.refresh([generation.index])
        assert {key: doc["n"] for key, doc in search(generation.index).items()} == {
            str(i): 9 for i in range(5)
        }

    def test_never_deletes_what_is_newer(
        self, sink: Sink, generation: Generation, search: Search
    ) -> None:
        """Documents rewritten while older ones are being deleted are all there afterwards."""
        count = 2000
        writer, rewriter = sink.writer(), sink.writer()
        writer.write([index(generation, str(i), 1) for i in range(count)])
        new = [index(generation, str(i), 100, n=9) for i in range(count)]

        def rewrite() -> None:
            for start in range(0, count, 50):
                rewriter.write(new[start : start + 50])

        with ThreadPoolExecutor(1) as threads:
            race = threads.submit(rewrite)
            for _ in range(5):
                writer.delete_before(generation.index, 100)
            race.result()
        writer.delete_before(generation.index, 100)
        sink.refresh([generation.index])
        assert len(search(generation.index)) == count
        assert {doc["n"] for doc in search(generation.index).values()} == {9}
        for each in (writer, rewriter):
            each.close()

    def test_closes_twice(self, sink: Sink) -> None:
        """Closing a writer or the sink again is quiet."""
        writer = sink.writer()
        for _ in range(2):
            writer.close()
            sink.close()
