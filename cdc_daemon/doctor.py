"""The doctor: what would keep a configuration from running, there and here; touches nothing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cdc_daemon import registry
from cdc_daemon.errors import CdcError, ConfigurationError, SettingError, SourceError
from cdc_daemon.keyless import keyless
from cdc_daemon.localfiles import why_unusable
from cdc_daemon.ports import Doctor, Finding, Observes, TableRequest
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.relaying.opening import open_relay
from cdc_daemon.sinks import open_sink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cdc_daemon.config.loader import LoadedConfiguration
    from cdc_daemon.config.models import Configuration
    from cdc_daemon.events import Relation
    from cdc_daemon.ports import ReadModel, Relay, Sink, Source
    from cdc_daemon.projection.compiler import Compiled


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One finding, and of which part of the configuration it is."""

    part: Literal["source", "mapping", "sink", "files"]
    finding: Finding


def examine(loaded: LoadedConfiguration) -> Iterator[Diagnosis]:
    """Check source, mapping, sink, local files; one that can't be asked doesn't hide the others."""
    config = loaded.configuration
    with ExitStack() as stack:
        models: Sequence[ReadModel] = ()
        relations: Sequence[Relation] = ()
        try:
            source = registry.source_factory(_type(config.source))(
                config.source, pipeline=config.name
            )
            stack.callback(source.close)
            examination = _Examination(loaded, source)
            yield from examination.run()
            models, relations = examination.models, examination.relations
        except CdcError as error:
            yield Diagnosis("source", Finding("connection", "problem", str(error)))
        try:
            if config.relay is None:
                sink = open_sink(config)
                stack.callback(sink.close)
                yield from _sink(sink, models)
            else:
                relay = open_relay(config)
                stack.callback(relay.close)
                yield from _sink(relay, relations)
                yield from _projectors(relay, config)
        except CdcError as error:
            yield Diagnosis("sink", Finding("connection", "problem", str(error)))
    yield Diagnosis("files", _local_files(config.state.path))


class _Examination:
    """The source, and the mapping over its tables."""

    def __init__(self, loaded: LoadedConfiguration, source: Source) -> None:
        self._loaded = loaded
        self._source = source
        self._relations: dict[str, Relation] = {}
        self.relations: Sequence[Relation] = ()
        """Those that are followed."""
        self.models: Sequence[ReadModel] = ()

    def run(self) -> Iterator[Diagnosis]:
        """Raises only what makes the source unusable altogether."""
        self._source.describe([])  # the connection alone: what fails now fails for every table
        missing = list(self._describe())
        has_mapping = not missing and self._loaded.configuration.relay is None
        compiled, mapping = self._compile() if has_mapping else (None, [])
        relations = compiled.relations if compiled else tuple(self._relations.values())
        self.relations = relations
        if isinstance(self._source, Doctor):
            for finding in self._source.examine(relations):
                yield Diagnosis("source", finding)
        yield from missing
        yield from mapping

    def _describe(self) -> Iterator[Diagnosis]:
        """Look all tables up but those that are missing: settings are about all of them."""
        names = list(self._loaded.configuration.tables)
        for name in names.copy():
            if why := self._why_missing(name):
                names.remove(name)
                yield Diagnosis("source", Finding(f"table {name}", "problem", why))
        try:
            relations = self._source.describe([TableRequest(name) for name in names])
        except SettingError as error:
            for line in str(self._loaded.located("source", error)).splitlines():
                yield Diagnosis("source", Finding("settings", "problem", line))
        else:
            self._relations = dict(zip(names, relations, strict=True))

    def _why_missing(self, name: str) -> str:
        """Each on its own: one that is missing doesn't hide the others."""
        try:
            self._source.describe([TableRequest(name)])
        except SettingError:
            pass  # of one table they say nothing: they may be about another
        except SourceError as error:
            return str(error)
        return ""

    def _compile(self) -> tuple[Compiled | None, list[Diagnosis]]:
        projections = self._loaded.configuration.projections
        try:
            compiled = compile_projections(projections, self._relations, self._loaded.locate)
        except ConfigurationError as error:
            found = [Finding("mapping", "problem", line) for line in str(error).splitlines()]
            return None, [Diagnosis("mapping", each) for each in found]
        self.models = compiled.models
        names = ", ".join(model.name for model in self.models)
        found = [Finding("read models", "ok", f"{names}: they fit the tables")]
        for each in keyless(compiled):
            found.append(Finding(f"table {each.table}", "warning", each.message))
        return compiled, [Diagnosis("mapping", each) for each in found]


def _sink(sink: Sink | Relay, subjects: Sequence[ReadModel | Relation]) -> Iterator[Diagnosis]:
    if isinstance(sink, Doctor):
        for finding in sink.examine(subjects):
            yield Diagnosis("sink", finding)


def _projectors(relay: Relay, configuration: Configuration) -> Iterator[Diagnosis]:
    """Whether those say anything whose searches commits wait for."""
    strong = configuration.consistency.strong
    if strong is None or not strong.projectors or not isinstance(relay, Observes):
        return
    observer = relay.observer(strong.projectors)
    try:
        words = observer.look()
    finally:
        observer.close()
    for name, word in words.items():
        check = f"projectors {name}"
        if isinstance(word, str):
            yield Diagnosis("sink", Finding(check, "warning", f"commits would wait: {word}"))
        else:
            yield Diagnosis("sink", Finding(check, "ok", "they say how far searches are"))


def _local_files(folder: Path) -> Finding:
    if why := why_unusable(folder):
        return Finding("state.path", "problem", why)
    return Finding("state.path", "ok", f"{folder.absolute()} can be written")


def _type(section: Any) -> str:
    return str(section.type)
