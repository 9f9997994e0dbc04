"""What all parts of a configuration have in common: strict types, no unknown keys, finite numbers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AllowInfNan, BaseModel, BeforeValidator, ConfigDict, Field, Strict, WrapValidator

from scalarization.config import limits

T = TypeVar("T")
#: Known words that a message lists.
MOST_SUGGESTED = 50


class Section(BaseModel):
    """A part of a configuration. Values are frozen; what is not declared is refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, validate_default=False)

    def describe(self) -> dict[str, Any]:
        """The section as plain values, defaults filled in."""
        return self.model_dump()


class MethodOptions(Section):
    """Options of a method, with their defaults; each method's module declares its own."""


def _whole(value: Any) -> Any:
    """A float without a fraction is the integer that was meant."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_written(value: Any, check: Any) -> Any:
    """Check a number as a float and keep it as it was written: a specification says 2, not 2.0."""
    number = check(value)
    if number and not limits.SMALLEST <= abs(number) <= limits.LARGEST:
        raise ValueError(f"expected 0 or a size of {limits.SMALLEST:.2g} to {limits.LARGEST:.2g}, the range of float32")
    return value


def _unique(values: list) -> list:
    known = set()
    for value in values:
        key = tuple(value) if isinstance(value, list) else value
        if key in known:
            raise ValueError(f"{value!r} is given twice")
        known.add(key)
    return values


#: An integer; bounds are added with ``Field(ge=..., le=...)``. All have both.
Integer = Annotated[int, Strict(), BeforeValidator(_whole)]
Count = Annotated[Integer, Field(ge=1)]
Index = Annotated[Integer, Field(ge=0)]
#: A finite number within the range of float32; bounds are added with ``Field(gt=..., le=...)``.
Number = Annotated[float, Strict(), AllowInfNan(False), WrapValidator(_as_written)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
#: A list that is not empty and has nothing twice.
UniqueList = Annotated[list[T], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_unique)]


def suggestion(word: object, known: Iterable[object]) -> str:
    """End of an error message: the closest known word, or all of them."""
    known = sorted(str(k) for k in known)
    close = difflib.get_close_matches(str(word), known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    if not known:
        return "there is none"
    more = f", ... ({len(known)} in all)" if len(known) > MOST_SUGGESTED else ""
    return f"known: {', '.join(known[:MOST_SUGGESTED])}{more}"
