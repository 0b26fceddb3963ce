"""How a configuration writes what makes a document id: columns, or a template."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, Discriminator, Field, Tag

from cdc_daemon.config.names import id_template

# Marks of the two ways to write `id`.
ID_TEMPLATE_TAG: Final = ".template"
ID_COLUMNS_TAG: Final = ".columns"


def _way_of_id(value: object) -> str:
    return ID_TEMPLATE_TAG if isinstance(value, str) else ID_COLUMNS_TAG


DocumentId: TypeAlias = Annotated[
    Annotated[str, AfterValidator(id_template), Tag(ID_TEMPLATE_TAG)]
    | Annotated[
        list[Annotated[str, Field(min_length=1)]], Field(min_length=1), Tag(ID_COLUMNS_TAG)
    ],
    Discriminator(_way_of_id),
]
