"""Reading and checking ``config.yaml`` and presets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

try:
    from yaml import CSafeLoader as SafeLoader  # ten times faster, where PyYAML was built with libyaml
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

from scalarization.config.base import MethodOptions, Section, suggestion
from scalarization.config.messages import explain
from scalarization.config.models import Knobs, Only, Preset
from scalarization.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
PRESET_DIR = ROOT / "workflow" / "presets"
S = TypeVar("S", bound=Section)
Options = TypeVar("Options", bound=MethodOptions)


@dataclass(frozen=True)
class Config:
    """The knobs of ``config.yaml`` and the preset they name.

    Attributes:
        preset: Content of the preset file.
        preset_name: Name of the preset; part of every output path.
        preset_file: The file it was read from.
        results: Directory of this preset's computed files, ``<results>/<preset>``.
        reports: Directory of this preset's figures and tables, ``<reports>/<preset>``.
        data_dir: Directory of original files that are already there; never written to.
        seed: Root of all randomness.
        threads: Compute threads of a training process.
        workers: Threads of a training process that decode images which are read while training.
        device: ``auto``, ``cpu`` or ``cuda``.
        checkpoint_seconds: Longest time between two checkpoints of a run, in seconds.
        only: The selected part of the preset.
        source: Where the knobs came from, for messages.
    """

    preset: Preset
    preset_name: str
    preset_file: Path
    results: Path
    reports: Path
    data_dir: Path | None
    seed: int
    threads: int
    workers: int
    device: str
    checkpoint_seconds: float
    only: Only
    source: str


def load_config(file: Path | str = "config.yaml", overrides: dict[str, Any] | None = None) -> Config:
    """Read a configuration file, apply overrides, check it, and read and check the preset it names.

    Args:
        file: Path of the configuration.
        overrides: Top-level keys that replace those of the file (``snakemake --config``).

    Returns:
        The configuration with the preset's content.

    Raises:
        ConfigError: A file is missing or unreadable, or holds an unknown key, a wrong type or an impossible value.
    """
    file = Path(file)
    values = {**_read_yaml(file), **(overrides or {})}
    source = str(file) if not overrides else f"{file} with {', '.join(f'{k}={v}' for k, v in overrides.items())}"
    knobs = checked(Knobs, values, source)
    preset_file, name = _find_preset(knobs.preset, source)
    return Config(
        preset=load_preset(preset_file),
        preset_name=name,
        preset_file=preset_file,
        results=Path(knobs.results) / name,
        reports=Path(knobs.reports) / name,
        data_dir=Path(knobs.data_dir) if knobs.data_dir else None,
        seed=knobs.seed,
        threads=knobs.threads,
        workers=knobs.workers,
        device=knobs.device,
        checkpoint_seconds=knobs.checkpoint_seconds,
        only=knobs.only,
        source=source,
    )


def load_preset(file: Path) -> Preset:
    """Read one preset and check it.

    With ``extends`` it is another preset with some values replaced: keys inside of keys are put together, anything else
    (a number, a list) is replaced whole.

    Raises:
        ConfigError: As :func:`load_config`.
    """
    content, files = _read_preset(file)
    return checked(Preset, content, ", which extends ".join(files))


def checked(model: type[S], values: Any, source: str) -> S:
    """Values as a section.

    Raises:
        ConfigError: They are not possible; one line for every mistake, each beginning with ``source``.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{source}: {line}" for line in explain(error, model, values))) from None


def parse_options(method: str, model: type[Options], options: dict[str, Any]) -> Options:
    """Options of a method as a preset gives them.

    Raises:
        ConfigError: One is unknown or not possible; each line begins with the method's name.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{method}.{line}" for line in explain(error, model, options))) from None


def overridden(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of ``base`` with changes: keys inside of keys are put together, anything else is replaced whole."""
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = overridden(merged[key], value) if nested else value
    return merged


def changed(section: S, changes: Section) -> S:
    """A section with what ``changes`` gives replaced; see :func:`overridden`."""
    given = changes.model_dump(exclude_unset=True)
    return type(section).model_validate(overridden(section.model_dump(), given)) if given else section


def parse_value(text: str) -> Any:
    """Read one value as YAML, as in ``--set seeds=[0]``."""
    return yaml.load(text, _UniqueKeyLoader)


def _find_preset(preset: str, source: str) -> tuple[Path, str]:
    if preset.endswith((".yaml", ".yml")):
        file = Path(preset)
        if not file.is_file():
            raise ConfigError(f"{source}: preset = {preset}: there is no such file")
        return file, file.stem
    file = PRESET_DIR / f"{preset}.yaml"
    if not file.is_file():
        known = [f.stem for f in PRESET_DIR.glob("*.yaml")]
        raise ConfigError(
            f"{source}: preset = {preset}: there is no {file.relative_to(ROOT)}; {suggestion(preset, known)} "
            "(a preset of your own is given by its path, ending in .yaml)"
        )
    return file, preset


class _UniqueKeyLoader(SafeLoader):
    """YAML in which a key given twice is an error, not a silent replacement."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 3e-3 (no dot) as a string; people write learning rates that way.
_UniqueKeyLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _read_preset(file: Path, extending: tuple[str, ...] = ()) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Content of a preset, put together with the one that it extends; and the files, its own first."""
    if str(file) in extending:
        raise ConfigError(f"{extending[0]}: extends goes round: {' -> '.join([*extending, str(file)])}")
    files = (*extending, str(file))
    content = _read_yaml(file)
    if "extends" not in content:
        return content, files
    name = content.pop("extends")
    if not isinstance(name, str):
        raise ConfigError(f"{file}: extends = {name}: expected the name or the path of a preset")
    base, files = _read_preset(_find_preset(name, f"{file}: extends")[0], files)
    return overridden(base, content), files


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _UniqueKeyLoader)
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file; run from the repository's root or name one") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not readable as YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: expected keys and values, found {type(content).__name__}")
    return content
