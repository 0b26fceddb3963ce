"""Joined projections can be validated, checked and explained, but nothing runs them yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdc_daemon.config.models import ProjectionConfig


def refuse_joined(projections: Mapping[str, ProjectionConfig], locate: Callable[..., str]) -> None:
    """Raise ConfigurationError if there is one."""
    for name, config in projections.items():
        if config.is_joined:
            key = "embed" if config.embed else "routing"
            raise ConfigurationError(
                f"{locate('projections', name, key)}: projections.{name}.{key}: joined read models "
                "can be validated, checked and explained by this version, but not run yet. Take "
                "the projection out to run the others"
            )
