"""The sink of a pipeline, be it one or several: each read model is in one of them.

The checkpoint and the dead letters are in the first one.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from cdc_daemon import registry
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.ports import Doctor, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cdc_daemon.config.models import Configuration
    from cdc_daemon.events import Checkpoint, Generation
    from cdc_daemon.ports import (
        CheckpointStore,
        DeadLetterStore,
        DocumentReader,
        FieldSpec,
        ReadModel,
        Sink,
        Writer,
    )
    from cdc_daemon.values import Form


def open_sink(configuration: Configuration) -> Sink:
    """Build what `sink` or `sinks` say; connects to nothing yet.

    Raises ConfigurationError where changes are relayed to it: it holds no documents.
    """
    if configuration.relay is not None:
        raise ConfigurationError(
            f"the pipeline {configuration.name} relays changes, and has neither read models nor "
            "dead letters: cdc-daemon check and cdc-daemon status say how it is"
        )
    if configuration.sink is not None:
        return _built(configuration.sink, configuration.name)
    sinks = {
        name: _built(section, configuration.name) for name, section in configuration.sinks.items()
    }
    first = next(iter(sinks))
    places = {
        name: projection.sink or first for name, projection in configuration.projections.items()
    }
    return Sinks(sinks, places)


def _built(section: Any, pipeline: str) -> Sink:
    return registry.sink_factory(str(section.type))(section, pipeline=pipeline)


class Sinks:
    """Several sinks as one: it knows where each read model is, and asks there."""

    def __init__(self, sinks: Mapping[str, Sink], places: Mapping[str, str]) -> None:
        """`places`: by projection, which of `sinks` it is in."""
        self._sinks = dict(sinks)
        self._first = next(iter(self._sinks))
        self._places = dict(places)
        self._by_index: dict[str, str] = {}
        self._checkpoints = _Checkpoints(self._sinks[self._first].checkpoints, self)

    def place(self, index: str) -> str:
        """The name of the sink that the index or read model is in."""
        return self._by_index.get(index) or self._places.get(index, self._first)

    def identity(self) -> str:
        """That of the first one, which has the checkpoints."""
        return self._sinks[self._first].identity()

    def know(self, generations: Iterable[Generation]) -> None:
        """Note where indices are."""
        for generation in generations:
            place = self._places.get(generation.projection, self._first)
            self._by_index[generation.index] = place

    def form(self, field: FieldSpec, projection: str) -> Form:
        """As the projection's sink has it."""
        return self._of(projection).form(field, projection)

    def preflight(self, models: Sequence[ReadModel]) -> None:
        """Check every sink for what goes there."""
        for name, sink in self._sinks.items():
            sink.preflight(self._models_in(name, models))

    def examine(self, subjects: Sequence[ReadModel]) -> Iterator[Finding]:
        """Look at every sink that is a doctor; what is found says which one it is of."""
        for name, sink in self._sinks.items():
            if isinstance(sink, Doctor):
                for finding in sink.examine(self._models_in(name, subjects)):
                    yield Finding(f"{name}: {finding.check}", finding.level, finding.message)

    def create_generation(self, model: ReadModel) -> Generation:
        """In the sink of the read model."""
        made = self._of(model.name).create_generation(model)
        self.know([made])
        return made

    def extend_generation(self, generation: Generation, model: ReadModel) -> bool:
        """In the sink of the read model."""
        return self._of(model.name).extend_generation(generation, model)

    def publish(self, generation: Generation) -> Sequence[str]:
        """In the sink of the read model."""
        before = self._of(generation.projection).publish(generation)
        self._by_index.update(dict.fromkeys(before, self._places[generation.projection]))
        return before

    def drop_generation(self, generation: Generation) -> None:
        """Where it is; of a projection that is no longer configured, wherever it may be."""
        place = self._places.get(generation.projection)
        for name, sink in self._sinks.items():
            if place in {None, name}:
                sink.drop_generation(generation)

    def find_generation(self, index: str) -> str | None:
        """In the sink that it belongs in: in another one it isn't found."""
        return self._of(index).find_generation(index)

    def is_searched(self, projection: str) -> bool:
        """In the sink of the read model."""
        return self._of(projection).is_searched(projection)

    def shows_at_once(self, index: str) -> bool:
        """As its sink says."""
        return self._of(index).shows_at_once(index)

    def writer(self, place: str = "") -> Writer:
        """A writer of the sink of that name."""
        return self._sinks[place or self._first].writer()

    def refresh(self, indices: Sequence[str]) -> None:
        """Each in its sink."""
        for name, sink in self._sinks.items():
            if here := [index for index in indices if self.place(index) == name]:
                sink.refresh(here)

    @property
    def checkpoints(self) -> CheckpointStore:
        """Those of the first sink."""
        return self._checkpoints

    @property
    def dead_letters(self) -> DeadLetterStore:
        """Those of the first sink: of all read models."""
        return self._sinks[self._first].dead_letters

    @property
    def documents(self) -> DocumentReader:
        """Those of all of them."""
        return _Documents(self._of)

    def close(self) -> None:
        """Close all of them."""
        with ExitStack() as stack:
            for sink in self._sinks.values():
                stack.callback(sink.close)

    def _of(self, name: str) -> Sink:
        """The sink that an index or read model is in."""
        return self._sinks[self.place(name)]

    def _models_in(self, place: str, models: Sequence[ReadModel]) -> list[ReadModel]:
        return [model for model in models if self.place(model.name) == place]


class _Checkpoints:
    """A checkpoint store that lets the sinks know where the generations are."""

    def __init__(self, store: CheckpointStore, sinks: Sinks) -> None:
        self._store = store
        self._sinks = sinks

    def load(self, pipeline: str) -> Checkpoint | None:
        """As the store has it."""
        found = self._store.load(pipeline)
        if found is not None:
            self._sinks.know(found.generations.values())
        return found

    def store(self, checkpoint: Checkpoint) -> None:
        """In the store."""
        self._store.store(checkpoint)


class _Documents:
    """A document reader over several."""

    def __init__(self, of: Callable[[str], Sink]) -> None:
        self._of = of

    def get(
        self, index: str, document_id: str, routing: str | None = None
    ) -> tuple[int, bytes] | None:
        """In the sink that the index or read model is in."""
        return self._of(index).documents.get(index, document_id, routing)
