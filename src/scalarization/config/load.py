"""Reading and checking ``config.yaml`` and presets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from scalarization.config.base import MethodOptions, Section, suggestion
from scalarization.config.messages import explain, one_line, shortened
from scalarization.config.models import Knobs, Only, Preset
from scalarization.config.names import DOWNLOADS, check_part, expanded
from scalarization.config.reading import read_yaml
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
    values = {**read_yaml(file), **(overrides or {})}
    source = one_line(file)
    if overrides:
        source += f" with {', '.join(one_line(f'{key}={_as_given(value)}') for key, value in overrides.items())}"
    knobs = checked(Knobs, values, source)
    place = f"{source}: preset"
    preset_file = _find_preset(knobs.preset, place)
    name = _preset_name(preset_file, place)
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


def _as_given(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= 60 else shortened(value)


def _find_preset(preset: str, place: str) -> Path:
    """The file of a preset that is given by name or path; ``place`` is where, for messages."""
    try:
        return _preset_file(expanded(preset))
    except (ValueError, OSError) as error:
        raise ConfigError(f"{place} = {one_line(_as_given(preset))}: {one_line(error)}") from None


def _preset_name(file: Path, place: str) -> str:
    """The name of a preset, which its directories of results and reports get."""
    try:
        check_part(file.stem)
    except ValueError as error:
        raise ConfigError(f"{place} = {one_line(_as_given(str(file)))}: its name {error}") from None
    if file.stem.startswith(".") or file.stem == DOWNLOADS:
        raise ConfigError(
            f"{place} = {one_line(_as_given(str(file)))}: no directory of results can have its name; rename the file"
        )
    return file.stem


def _preset_file(preset: str) -> Path:
    """The file of a preset.

    Raises:
        ValueError: There is none.
    """
    is_path = preset.endswith((".yaml", ".yml"))
    file = Path(preset) if is_path else PRESET_DIR / f"{preset}.yaml"
    known = sorted(f.stem for f in PRESET_DIR.glob("*.yaml"))
    if not is_path and ("/" in preset or preset in (".", "..")):
        twin = f"{preset}.yaml"
        hint = f"; did you mean '{twin}'?" if Path(twin).is_file() else ""
        raise ValueError(f"expected a name ({', '.join(known)}), or a path that ends in .yaml{hint}")
    if file.is_file():
        return file
    if file.is_dir():
        raise ValueError("expected a file, found a directory")
    if is_path:
        hint = f"; did you mean '{file.stem}'?" if file.stem in known else ""
        raise ValueError(f"there is no such file{hint}")
    raise ValueError(
        f"there is no {file.relative_to(ROOT)}; {suggestion(preset, known)} "
        "(a preset of your own is given by its path, ending in .yaml)"
    )


def _read_preset(file: Path, extending: tuple[str, ...] = ()) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Content of a preset, put together with the one that it extends; and the files, its own first."""
    if str(file) in extending:
        raise ConfigError(f"{extending[0]}: extends goes round: {' -> '.join([*extending, str(file)])}")
    files = (*extending, str(file))
    content = read_yaml(file)
    if "extends" not in content:
        return content, files
    name = content.pop("extends")
    if not isinstance(name, str):
        raise ConfigError(f"{one_line(file)}: extends = {shortened(name)}: expected the name or the path of a preset")
    base, files = _read_preset(_find_preset(name, f"{one_line(file)}: extends"), files)
    return overridden(base, content), files
