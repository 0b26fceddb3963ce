"""The models of the connectors that a file names, as parts of the model of the whole file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import BaseModel, Discriminator, SerializeAsAny, create_model

from cdc_daemon import registry
from cdc_daemon.config.document import BROKEN
from cdc_daemon.config.models import Configuration, SinkName
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cdc_daemon.config.document import Document
    from cdc_daemon.config.mistakes import Path
    from cdc_daemon.ports import SinkFactory, SourceFactory


def whole_model(document: Document) -> type[Configuration]:
    """The model of the whole file.

    A connector that is not named or not installed, and a sink that isn't there, is noted as a
    mistake of `document`.
    """
    data = document.data if isinstance(document.data, dict) else {}
    _check_chosen(document, data)
    fields: dict[str, Any] = {}
    source = _model(document, ("source",), data.get("source"), registry.source_factory)
    if source is not None:
        fields["source"] = (source, ...)
    if "sinks" in data:
        several = _several(document, data["sinks"])
        if several is not None:
            fields["sinks"] = (dict[SinkName, several], ...)  # type: ignore[valid-type]  # known only now
    else:
        sink = _model(document, ("sink",), data.get("sink"), registry.sink_factory)
        fields["sink"] = (SerializeAsAny[BaseModel] if sink is None else sink, ...)
    return create_model("Configuration", __base__=Configuration, **fields)


def _several(document: Document, sections: Any) -> Any:
    """What each of several sinks may be: one of those that are named."""
    found = [
        model
        for name, section in _entries(sections)
        if (model := _model(document, ("sinks", name), section, registry.sink_factory)) is not None
    ]
    if len(set(found)) <= 1:
        return found[0] if found else None
    return Annotated[Union[tuple(found)], Discriminator("type")]  # noqa: UP007 - found only now


def _check_chosen(document: Document, data: Mapping[str, Any]) -> None:
    if "sink" in data and "sinks" in data:
        document.report(("sinks",), "`sink` and `sinks` exclude each other: keep one")
        return
    sinks = [name for name, _ in _entries(data.get("sinks"))]
    for name, projection in _entries(data.get("projections")):
        chosen = projection.get("sink")
        if isinstance(chosen, str) and chosen not in sinks:
            document.report(("projections", name, "sink"), _unknown(chosen, sinks))


def _unknown(chosen: str, sinks: list[str]) -> str:
    if not sinks:
        return "it names one of several `sinks`, and this pipeline has one `sink`: take it out"
    meant = nearest(chosen, sinks)
    hint = f'; did you mean "{meant}"?' if meant else ""
    return f'there is no sink "{chosen}" under `sinks`{hint}'


def _entries(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The entries that are mappings themselves."""
    entries = value.items() if isinstance(value, dict) else ()
    return ((name, each) for name, each in entries if isinstance(each, dict))


def _model(
    document: Document,
    path: Path,
    section: Any,
    factory: Callable[[object], SourceFactory | SinkFactory],
) -> type[BaseModel] | None:
    if not isinstance(section, dict) or section.get("type") is BROKEN:
        return None
    try:
        return factory(section.get("type")).config_model
    except ConfigurationError as error:
        document.report((*path, "type"), str(error))
        return None
