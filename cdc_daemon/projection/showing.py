"""How each field shows its values: the form that the sink asks for, and what to do without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from cdc_daemon.errors import ConfigurationError, RejectedError
from cdc_daemon.values.forms import Conversion, Form, conversion
from cdc_daemon.values.scalars import DATES, NULL

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.config.fields import FieldConfig
    from cdc_daemon.config.projections import ProjectionConfig
    from cdc_daemon.events import ColumnType
    from cdc_daemon.ports import FieldSpec

REASON = "unrepresentable_value"
"""The class of error of such dead letters."""


def as_values(_field: FieldSpec, _projection: str) -> Form:
    """The form of a sink that asks for none."""
    return Form.VALUE


def uncounted(_projection: str, _field: str) -> None:
    """Where nobody counts."""


@dataclass(frozen=True, slots=True)
class Showing:
    """What the daemon knows of fields beyond their mapping."""

    form_of: Callable[[FieldSpec, str], Form] = as_values
    """`Sink.form`."""
    nulled: Callable[[str, str], None] = uncounted
    """Told of each value that became null, by projection and field."""

    def form(self, spec: FieldSpec, config: FieldConfig | None, projection: str) -> Form:
        """The form of one field of a projection. Raises ConfigurationError where there is none."""
        form = self.form_of(spec, projection)
        if config is None or config.bytes is None or spec.type is None:
            return form
        if _leaf(spec.type).name != "bytea":
            raise ConfigurationError("`bytes` is for bytea columns: take it out")
        if config.bytes == "hex" and form is Form.BASE64:
            raise ConfigurationError(
                f"type {spec.overrides.get('type')} takes base64 only: take `bytes: hex` out, or "
                "use another type"
            )
        return Form.BASE64 if config.bytes == "base64" else form

    def conversion(
        self, spec: FieldSpec, form: Form, policy: str | None, projection: str
    ) -> Conversion:
        """What is done to the values of one field."""
        if spec.type is None:
            return Conversion()
        refuse = self._refusal(projection, spec.name, policy)
        return conversion(form, spec.type, refuse)

    def _refusal(self, projection: str, field: str, policy: str | None) -> Callable[[str], bytes]:
        def reject(why: str) -> NoReturn:
            raise RejectedError(REASON, f"field {field}: {why}")

        def null(_: str) -> bytes:
            self.nulled(projection, field)
            return NULL

        return null if policy is None else reject


def policy_of(projection: ProjectionConfig, field: FieldConfig | None) -> str | None:
    """What becomes of a value that the field can't hold; None: null."""
    if field is not None and "unrepresentable" in field.model_fields_set:
        return field.unrepresentable
    return projection.unrepresentable


def of_computed(conversion: Conversion, type: ColumnType) -> Conversion:  # noqa: A002 - what it is
    """The same for what an expression computes: its dates aren't marked as special beforehand."""
    always = conversion.always
    if always is None and type.base.name in DATES:
        always = conversion.special
    return Conversion(always, conversion.special)


def _leaf(type: ColumnType) -> ColumnType:  # noqa: A002 - what it is
    base = type.base
    return _leaf(base.element) if base.kind == "array" and base.element else base
