"""What all sections of the configuration have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """Frozen, strict about unknown keys; the attribute docstrings are the documentation."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        populate_by_name=True,
        allow_inf_nan=False,
    )


def _false_means_none(value: Any) -> Any:
    """OpenSR-SRGAN writes `False` or "" where it means "no path"."""
    return None if value is False or value == "" else value


def _one_is_a_list(value: Any) -> Any:
    """A single path may be written without brackets."""
    return [value] if isinstance(value, str) else value


OptionalPath = Annotated[str | None, BeforeValidator(_false_means_none)]
Paths = Annotated[tuple[str, ...], BeforeValidator(_one_is_a_list)]
Weight = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
