"""The public interface in YAML: read, filled in, validated, with file and line of every mistake."""

from __future__ import annotations

from cdc_daemon.config.fields import FieldConfig
from cdc_daemon.config.loader import LoadedConfiguration, load
from cdc_daemon.config.mistakes import Mistake, MistakesError
from cdc_daemon.config.models import Configuration
from cdc_daemon.config.projections import ProjectionConfig

__all__ = [
    "Configuration",
    "FieldConfig",
    "LoadedConfiguration",
    "Mistake",
    "MistakesError",
    "ProjectionConfig",
    "load",
]
