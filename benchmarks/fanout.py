"""One row that 200,000 documents show: how long it stops its thread, and until all are done."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assembly import HERE, INT, MEMORY, TEXT
from machine import describe

from cdc_daemon.assembly import BOUNDS, Bounds, JoinedProjections, Written, wanted
from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.events import Change, ChangeKind, Column, Position, Relation
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.state import Home, Staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.assembly import Pending
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Store

HOTELS: Final = 200_000
PIECES: Final = (50, 100, 200, 500, 1000)
AT_ONCE: Final = Bounds(change=10**9, batch=10**9)


def relation(name: str, *columns: Column) -> Relation:
    """A table with the key `id`."""
    key = Column("id", INT, in_identity=True)
    return Relation("public", name, (key, *columns), primary_key=("id",), unique_keys=(("id",),))


CHAIN: Final = relation("chain", Column("name", TEXT))
HOTEL: Final = relation("hotel", Column("name", TEXT), Column("chain_id", INT))
MAPPING: Final = {
    "from": "public.hotel",
    "fields": "*",
    "embed": {"chain": {"one": "public.chain", "on": {"id": "chain_id"}, "fields": ["name"]}},
}


def plans() -> tuple[Plan, ...]:
    """Hotels that show their chain."""
    configs = {"hotels": ProjectionConfig.model_validate(MAPPING)}
    tables = {one.qualified_name: one for one in (CHAIN, HOTEL)}
    return compile_projections(configs, tables, lambda *_: "").plans


class Bench:
    """A store with one chain."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._some = plans()
        store.fit(wanted(self._some))
        for table in store.schema.to_load:
            store.loaded(table)
        self._store, self._folder = store, folder
        self._tables = {one.name: one for one in wanted(self._some).relations}
        self._joined = JoinedProjections(self._some, store)
        self._position = 0

    def load(self) -> None:
        """All rows."""
        rows = [[b"%d" % n, b'"Hotel %d by the sea"' % n, b"1"] for n in range(HOTELS)]
        self._apply("hotel", [(ChangeKind.INSERT, row) for row in rows])
        self._apply("chain", [(ChangeKind.INSERT, [b"1", b'"Royal"'])])
        while self._joined.wide_open():
            self._joined.fan_out()
        self._assemble(self._joined.pending())

    def rename_at_once(self) -> None:
        """The chain is renamed, and nothing is left to a fan-out: print what that takes."""
        print(f"all at once: applied in {self._rename(AT_ONCE) * 1e3:,.0f} ms")
        self._assemble(self._joined.pending())

    def _rename(self, bounds: Bounds) -> float:
        self._joined = JoinedProjections(self._some, self._store, bounds)
        name = b'"Name %d"' % self._position
        began = time.thread_time()
        self._apply("chain", [(ChangeKind.UPDATE, [b"1", name])])
        return time.thread_time() - began

    def rename(self, bounds: Bounds) -> None:
        """The chain is renamed: print what that takes."""
        applied = self._rename(bounds)
        steps: list[tuple[float, float]] = []
        while self._joined.wide_open():
            steps.append(self._step())
        longest = sorted(fan + rest for fan, rest in steps)
        print(
            f"{bounds.piece:>6} rows a piece: applied in {applied * 1e3:6.2f} ms; "
            f"marked in {sum(fan for fan, _ in steps):5.1f} s, "
            f"with assembly {sum(longest):5.1f} s ({HOTELS / sum(longest):,.0f}/s); a piece "
            f"p50 {longest[len(longest) // 2] * 1e3:5.1f} ms, "
            f"p99 {longest[len(longest) * 99 // 100] * 1e3:5.1f} ms"
        )

    def _step(self) -> tuple[float, float]:
        began = time.thread_time()
        pending = self._joined.fan_out()
        marked = time.thread_time()
        self._assemble(pending)
        return marked - began, time.thread_time() - marked

    def _assemble(self, pending: Sequence[Pending]) -> None:
        """And say that the sink has them."""
        position, found, _ = self._joined.assemble(pending)
        written = [Written(one.projection, one.address, position) for one in found]
        self._joined.reach(position, written)

    def _apply(self, table: str, changes: Sequence[tuple[ChangeKind, list[bytes]]]) -> None:
        one = Staged(self._store.tables, self._folder, MEMORY)
        for kind, row in changes:
            one.put(Change(self._tables[table], kind, list(row)))
        self._position += 1
        self._joined.apply([(one, Position(self._position))])


def measure(folder: Path) -> None:
    """Pieces of several sizes, and the climb that isn't bounded."""
    home = Home(folder)
    store = home.create(HERE)
    bench = Bench(store, folder)
    bench.load()
    bench.rename_at_once()
    for piece in PIECES:
        bench.rename(BOUNDS._replace(piece=piece))
    store.close()
    home.close()


def main() -> None:
    """Print the steps."""
    print(describe())
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        measure(Path(folder))


if __name__ == "__main__":
    main()
