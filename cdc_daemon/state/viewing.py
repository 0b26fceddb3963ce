"""What can be read of a state: rows, indexes, counters, and what is pending."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cdc_daemon.state.applying import Batch
from cdc_daemon.state.counters import Counters
from cdc_daemon.state.fanouts import FanOutSet
from cdc_daemon.state.pending import PendingSet
from cdc_daemon.state.schema import (
    COUNTERS,
    FAN_OUT_AGES,
    FAN_OUTS,
    META,
    PENDING,
    SCHEMA,
    Schema,
    tree_of_index,
    tree_of_table,
)
from cdc_daemon.state.table import Index, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdc_daemon.events import Relation
    from cdc_daemon.state.environment import Database, Environment, Transaction
    from cdc_daemon.state.schema import Wanted

T = TypeVar("T")


class View:
    """A state, as it was committed last."""

    def __init__(self, env: Environment, trees: Mapping[str, Database]) -> None:
        self._env = env
        self._trees = trees
        self.tables: dict[Relation, Table] = {}
        """By the relations that were wanted."""
        self.indexes: dict[str, Index] = {}
        """By the text of what was wanted."""
        self._numbered: dict[int, Table] = {}
        with env.reading() as txn:
            self.schema = self._kept_schema(txn)

    def read(self, work: Callable[[Batch], T]) -> T:
        """Have `work` look at what was committed last."""
        with self._env.reading() as txn:
            return work(self._batch(txn))

    def lay_out(self, wanted: Wanted, tree: Callable[[str], Database]) -> None:
        """Make `tables` and `indexes` of what is wanted, which the schema has."""
        for relation in wanted.relations:
            kept = self.schema.tables[relation.qualified_name]
            table = Table(relation, kept, tree(tree_of_table(kept.number)))
            self.tables[relation] = self._numbered[kept.number] = table
        for one in wanted.indexes:
            index = self.schema.indexes[one.text]
            table = self._numbered[index.table]
            self.indexes[one.text] = Index(one, table, tree(tree_of_index(index.number)))
            table.indexes.append(self.indexes[one.text])

    def _kept_schema(self, txn: Transaction) -> Schema:
        stored = txn.get(SCHEMA, db=self._trees[META])
        return Schema() if stored is None else Schema.from_json(stored)

    def _batch(self, txn: Transaction) -> Batch:
        return Batch(
            txn,
            self._numbered,
            self._trees,
            Counters(txn, self._trees[COUNTERS]),
            PendingSet(txn, self._trees[PENDING]),
            FanOutSet(txn, self._trees[FAN_OUTS], self._trees[FAN_OUT_AGES]),
        )
