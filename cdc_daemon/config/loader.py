"""Loads a configuration, or says everything that is wrong with it at once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from cdc_daemon.config.connectors import whole_model
from cdc_daemon.config.document import Document, build, compose
from cdc_daemon.config.interpolation import interpolate
from cdc_daemon.config.mistakes import Mistake, MistakesError, dotted
from cdc_daemon.config.models import Configuration
from cdc_daemon.config.validation import validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.errors import SettingError

MAXIMUM_FILE_BYTES: Final = 4_000_000
_HIDDEN: Final = str(SecretStr("any"))


@dataclass(frozen=True, slots=True)
class LoadedConfiguration:
    """A valid configuration, and where each part of it is written."""

    configuration: Configuration
    path: Path
    _document: Document = field(repr=False)

    def locate(self, *path: str | int) -> str:
        """`FILE:LINE` of a key, or of the nearest one above it that the file has."""
        return f"{self.path}:{self._document.line(path)}"

    def located(self, section: str, error: SettingError) -> MistakesError:
        """What a connector found wrong with its section, each mistake with file and line."""
        return MistakesError(
            Mistake(str(self.path), self._document.line(path), dotted(path), message)
            for path, message in (((section, *within), said) for within, said in error.mistakes)
        )

    def redacted(self) -> dict[str, Any]:
        """The configuration with its defaults, in the words of the YAML; secrets are `***`."""
        plain = self.configuration.model_dump(mode="json", by_alias=True)
        return {key: _hidden(value) for key, value in plain.items()}

    @property
    def fingerprint(self) -> str:
        """A digest of what the configuration says, secrets apart."""
        text = json.dumps(self.redacted(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hidden(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_hidden(entry) for entry in value]
    return "***" if value == _HIDDEN else value


def load(path: Path, environ: Mapping[str, str]) -> LoadedConfiguration:
    """Read, fill in and validate the file at `path`; connects to nothing.

    Raises MistakesError (a ConfigurationError) with every mistake that the file has.
    """
    fill = partial(interpolate, environ=environ, read_file=_secret)
    node = compose(_text(path), str(path))
    # The connectors that the file names decide what its values may be: so they are built twice.
    naming = build(node, str(path), Configuration, fill)
    named = len(naming.mistakes)
    model = whole_model(naming)
    document = build(node, str(path), model, fill)
    document.mistakes += naming.mistakes[named:]
    return LoadedConfiguration(validate(document, model), path, document)


def _text(path: Path) -> str:
    if not path.exists():
        why = "there is no such file. Name another one, or write it by `cdc-daemon init`"
        raise MistakesError([Mistake(str(path), 1, "", why)])
    try:
        return _content(path)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise MistakesError([Mistake(str(path), line, "", "this is not UTF-8")]) from error
    except ValueError as error:
        raise MistakesError([Mistake(str(path), 1, "", str(error))]) from error


def _secret(name: str) -> str:
    path = Path(name)
    if not path.is_absolute():
        raise ValueError(f"expected an absolute path in ${{file:{name}}}")
    try:
        return _content(path).removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from error
    if len(content) > MAXIMUM_FILE_BYTES:
        raise ValueError(f"larger than {MAXIMUM_FILE_BYTES} bytes, which nobody wrote by hand")
    return content.decode("utf-8-sig")
