"""What a user reads when a value is not possible: key, value, what was expected, what the key means."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from scalarization.config.base import Section, suggestion

#: Pydantic's type of error -> which type of value was expected, in YAML's words.
TYPES = {
    "string_type": "a string",
    "string_unicode": "a string of UTF-8",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "literal_error": "{expected}",
}
#: How a key without any character is written in a message.
EMPTY_KEY = "''"
#: Pydantic's type of error -> what was expected of a value of the right type.
BOUNDS = {
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
}


def explain(error: ValidationError, model: type[Section], given: Any) -> Iterator[str]:
    """One line for every mistake: ``key = value: what is wrong (what the key means)``.

    Args:
        error: What pydantic raised.
        model: What was checked.
        given: What was checked against it.
    """
    mistakes = [_locate(details, given) for details in error.errors(include_url=False)]
    alternatives: dict[tuple[str, ...], list[_Mistake]] = {}
    for mistake in mistakes:
        if mistake.union is not None:
            alternatives.setdefault(mistake.union, []).append(mistake)
    lines: dict[str, None] = {}
    for mistake in mistakes:
        if mistake.union is None:
            lines[_line(mistake, model)] = None
        else:
            lines |= dict.fromkeys(_lines_of_union(alternatives[mistake.union], model))
    yield from map(one_line, lines)


def shortened(value: Any) -> str:
    """A value as JSON, cut off if it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def one_line(text: object) -> str:
    """A text for a message: line breaks, control characters and what is no UTF-8 are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


@dataclass(frozen=True)
class _Mistake:
    """An error of pydantic, and where it is.

    Attributes:
        details: The error.
        path: Keys and list positions.
        is_key: Whether the last key of the path is wrong, not its value.
        union: Path of the value that may be of several types, of which this error is about one; None: there is none.
    """

    details: ErrorDetails
    path: tuple[str, ...]
    is_key: bool = False
    union: tuple[str, ...] | None = None


def _locate(details: ErrorDetails, given: Any) -> _Mistake:
    """Tell the keys and list positions of a location from the names of types that pydantic puts among them."""
    *parents, last = details["loc"]
    if last == "[key]":
        *parents, last = parents
    is_key = details["type"] == "invalid_key" or details["loc"][-1] == "[key]"
    path: list[str] = []
    union = None
    for part in parents:
        if _has(given, part):
            given = given[part]
            path.append(str(part) or EMPTY_KEY)
        else:
            union = tuple(path)
    if is_key or details["type"] == "missing" or _has(given, last):
        path.append(str(last) or EMPTY_KEY)
    else:
        union = tuple(path)
    return _Mistake(details, tuple(path), is_key, union)


def _has(given: Any, part: int | str) -> bool:
    if isinstance(given, Mapping):
        return part in given
    return isinstance(given, list) and isinstance(part, int)


def _lines_of_union(mistakes: list[_Mistake], model: type[Section]) -> Iterator[str]:
    """Lines for a value that may be of several types.

    If the value is of one of these types, only what is wrong with it as such is told.
    """
    inside = [m for m in mistakes if m.path != m.union or m.details["type"] not in TYPES]
    if inside:
        yield from (_line(mistake, model) for mistake in inside)
    else:
        expected = " or ".join(dict.fromkeys(_expected(mistake.details) for mistake in mistakes))
        yield _value_line(mistakes[0], model, f"expected {expected}")


def _line(mistake: _Mistake, model: type[Section]) -> str:
    details, path = mistake.details, mistake.path
    kind, parent = details["type"], ".".join(path[:-1]) or "top level"
    if kind == "missing":
        return f"{parent}: key '{path[-1]}' is missing"
    if kind == "extra_forbidden":
        known = _declared(model, path[:-1])[0].model_fields
        hint = suggestion(path[-1], known) if known else "none is known here"
        return f"{'.'.join(path)} = {shortened(details['input'])}: unknown key, {hint}"
    if mistake.is_key:
        return f"{parent}: key {shortened(details['input'])} {_key_problem(mistake, model)}"
    expected = _expected(details)
    message = f"expected {expected}" if expected else details["msg"].removeprefix("Value error, ")
    return _value_line(mistake, model, message)


def _value_line(mistake: _Mistake, model: type[Section], message: str) -> str:
    description = _declared(model, mistake.path)[1]
    line = f"{'.'.join(mistake.path) or 'top level'} = {shortened(mistake.details['input'])}: {message}"
    return f"{line} ({description})" if description else line


def _expected(details: ErrorDetails) -> str:
    """What was expected instead; empty if the error is of another type."""
    context = {key: _number(value) for key, value in details.get("ctx", {}).items()}
    text = {**TYPES, **BOUNDS}.get(details["type"], "").format(**context)
    return text.replace(" 1 entries", " one entry").replace(" 1 characters", " one character")


def _number(value: Any) -> Any:
    """A bound as people write it: 1,000,000 or 0.001. Whatever is no number is returned as it is."""
    if not isinstance(value, int | float):
        return value
    return f"{int(value):,}" if value == int(value) and abs(value) < 1e15 else f"{value:g}"


def _key_problem(mistake: _Mistake, model: type[Section]) -> str:
    if mistake.details["type"] in ("string_type", "invalid_key"):
        return "is not a string; put it in quotes"
    if mistake.details["type"] == "value_error":
        return f"is not possible: {mistake.details['msg'].removeprefix('Value error, ')}"
    of_keys, _ = typing.get_args(_declared(model, mistake.path[:-1])[0])
    description = _unwrapped(of_keys)[1]
    return f"is not possible ({description})" if description else "is not possible"


def _declared(model: type[Section], path: tuple[str, ...]) -> tuple[Any, str]:
    """The type that a path leads to (a model, a dict, a list, ...), and the description of the innermost declared key.

    Raises:
        KeyError: A key of the path is not declared.
    """
    declared: Any = model
    description = ""
    for part in path:
        if isinstance(declared, type) and issubclass(declared, BaseModel):
            field = declared.model_fields[part]
            declared, of_value = field.annotation, field.description or ""
        else:  # the values of a dict, or the items of a list
            declared, of_value = typing.get_args(declared)[-1], ""
        declared, of_type = _unwrapped(declared)
        description = of_value or of_type or description
    return declared, description


def _unwrapped(annotation: Any) -> tuple[Any, str]:
    """The type inside of ``Annotated``, of ``| None`` and of a union with a list; and the description with it."""
    description = ""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation, *metadata = typing.get_args(annotation)
        descriptions = [m.description for m in metadata if isinstance(m, FieldInfo) and m.description]
        description = description or next(iter(descriptions), "")
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner, of_type = _unwrapped(typing.get_args(annotation)[0])
        return inner, description or of_type
    return annotation, description
