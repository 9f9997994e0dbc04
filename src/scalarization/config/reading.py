"""Reading YAML that people write: bounded, without hidden meanings, and every mistake told in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as SafeLoader  # ten times faster, where PyYAML was built with libyaml
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

from scalarization.config.messages import one_line
from scalarization.errors import ConfigError

#: Bytes of a file, values in it after aliases (``*name``) are replaced, and levels of nesting. Preset `paper` has
#: 20,000 bytes, 3,000 values and 8 levels.
LARGEST_FILE, MOST_VALUES, DEEPEST = 5_000_000, 100_000, 50


class _Loader(SafeLoader):
    """YAML whose keys are plain values, each given once.

    Numbers are those that people mean: 010 is not 8, 1:30 is not 90 and 3e-3 is a number, other than in YAML 1.1.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, ArithmeticError) as error:  # a day 2001-99-99, an integer of 5,000 digits
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                problem = "a key is a list or has keys itself; keys are strings"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            key = self.construct_object(key_node)
            if not isinstance(key, str | int | float | None):
                problem = f"key {key_node.value} is a {type(key).__name__}; put it in quotes"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("int", "float")]
    for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|\.[0-9][0-9_]*([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
        r"|\.(inf|Inf|INF))$|\.(nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


def read_yaml(file: Path) -> dict[str, Any]:
    """Keys and values of a file.

    Raises:
        ConfigError: It is missing or unreadable, no UTF-8, no YAML, or it holds something else.
    """
    content = _named(file, _text(file))
    if not isinstance(content, dict):
        kind = "nothing" if content is None else type(content).__name__
        raise ConfigError(f"{one_line(file)}: expected keys and values, found {kind}")
    return content


def parse_value(text: str) -> Any:
    """Read one value as YAML, as in ``--set seeds=[0]``.

    Raises:
        ConfigError: It is no YAML.
    """
    return _named("", text)


def retyped(value: Any) -> Any:
    """A value of Snakemake's ``--config`` with the types that YAML gives.

    Snakemake reads numbers inside of lists and keys as text: ``only='{seeds: [0]}'``. A text that is no number, true,
    false or null stays as it is.
    """
    if isinstance(value, dict):
        return {key: retyped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [retyped(inner) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        parsed = parse_value(value)
    except ConfigError:
        return value
    return parsed if parsed is None or isinstance(parsed, bool | int | float) else value


def _text(file: Path) -> str:
    name = one_line(file)
    try:
        if not file.exists():
            raise ConfigError(f"{name}: there is no such file; run from the repository's root or name one")
        if not file.is_file():
            raise ConfigError(f"{name}: expected a file, found {'a directory' if file.is_dir() else 'something else'}")
        with file.open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name}: not readable: {one_line(error)}") from None
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"{name}: more than {LARGEST_FILE:,} bytes; this is no configuration")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problem = f"line {line} is not UTF-8: {error.reason}; save the file as UTF-8"
        raise ConfigError(f"{name}: not readable: {problem}") from None


def _named(source: object, text: str) -> Any:
    """Content of a YAML text; the messages of errors begin with its source."""
    prefix = f"{one_line(source)}: " if source else ""
    try:
        _check_size(text)
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{prefix}not readable as YAML: {one_line(problem)}{place}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{prefix}not readable as YAML: {' '.join(str(error).split())}") from None


def _check_size(text: str) -> None:
    """Refuse what is endless, or too large once aliases are replaced, before anything of it is built.

    Raises:
        yaml.YAMLError: It is too large, or no YAML.
    """
    known: dict[str | None, tuple[int, int]] = {}  # anchor -> values and levels
    open_nodes: list[tuple[str | None, int, int]] = []  # anchor, values and levels so far
    for event in yaml.parse(text, SafeLoader):
        values = levels = 1
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1, 1))
            values = 0
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, values, levels = open_nodes.pop()
            if anchor:
                known[anchor] = values, levels
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in (anchor for anchor, *_ in open_nodes):
                raise _refusal(event, f"alias *{event.anchor} stands inside of what it names")
            values, levels = known.get(event.anchor, (1, 1))
        elif isinstance(event, yaml.ScalarEvent):
            if event.anchor:
                known[event.anchor] = 1, 1
        else:
            continue
        if open_nodes and values:
            anchor, inside, height = open_nodes[-1]
            open_nodes[-1] = anchor, inside + values, max(height, levels + 1)
            values += inside
        if len(open_nodes) + levels > DEEPEST or values > MOST_VALUES:
            raise _refusal(event, f"more than {DEEPEST} levels, or {MOST_VALUES:,} values with aliases replaced")


def _refusal(event: yaml.Event, problem: str) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]
