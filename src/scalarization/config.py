"""Reading and checking ``config.yaml`` and presets.

Both are checked against one JSON schema, ``workflow/schemas/schema.json``, which also holds the default of every
optional key. Whatever the schema cannot say (does a width divide by the heads, does a domain exist) is checked where
the preset is expanded, in :mod:`scalarization.experiments`.
"""

from __future__ import annotations

import copy
import difflib
import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scalarization.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA_PATH = ROOT / "workflow" / "schemas" / "schema.json"
PRESET_DIR = ROOT / "workflow" / "presets"


@dataclass(frozen=True)
class Config:
    """The knobs of ``config.yaml`` and the preset they name.

    Attributes:
        preset: Content of the preset file, defaults filled in.
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
        only: Selection of a part: ``benchmarks``, ``capacities``, ``seeds``.
        source: Where the knobs came from, for messages.
    """

    preset: dict[str, Any]
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
    only: dict[str, list]
    source: str

    @property
    def downloads(self) -> Path:
        """Directory where original archives are looked for: ``data_dir`` if given, else shared by all presets."""
        return self.data_dir if self.data_dir is not None else self.results.parent / "downloads"

    @property
    def records(self) -> Path:
        """Directory of what is remembered of original files, wherever they lie; shared by all presets."""
        return self.results.parent / "downloads" / "records"

    def manifest(self, benchmark: str) -> Path:
        """The file that tells which original files a benchmark's store is made of."""
        return self.results / "downloads" / f"{benchmark}.json"


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON schema of configuration and presets."""
    return json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))


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
    _check(values, "config", source)
    values = with_defaults(values, schema()["$defs"]["config"])
    preset_file, name = _find_preset(values["preset"], source)
    return Config(
        preset=load_preset(preset_file),
        preset_name=name,
        preset_file=preset_file,
        results=Path(values["results"]) / name,
        reports=Path(values["reports"]) / name,
        data_dir=Path(values["data_dir"]) if values["data_dir"] else None,
        seed=values["seed"],
        threads=values["threads"],
        workers=values["workers"],
        device=values["device"],
        checkpoint_seconds=values["checkpoint_seconds"],
        only=values["only"],
        source=source,
    )


def load_preset(file: Path) -> dict[str, Any]:
    """Read one preset, check it against the schema, and fill in the schema's defaults.

    With ``extends`` it is another preset with some values replaced: keys inside of keys are put together, anything else
    (a number, a list) is replaced whole. The overrides of a variant, or of a search, stay as they were written: they
    hold only what differs.
    """
    preset, files = _read_preset(file)
    _check(preset, "preset", ", which extends ".join(files))
    filled = with_defaults(preset, schema()["$defs"]["preset"])
    for section in ("experiments", "conflicts"):
        for name, spec in preset.get(section, {}).items():
            if "variants" in spec:
                filled[section][name]["variants"] = copy.deepcopy(spec["variants"])
    for name, search in preset.get("searches", {}).items():
        filled["searches"][name]["changes"] = copy.deepcopy(search.get("changes", {}))
    return filled


def overridden(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of ``base`` with changes: keys inside of keys are put together, anything else is replaced whole."""
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = overridden(merged[key], value) if nested else value
    return merged


def with_defaults(value: Any, part: dict[str, Any]) -> Any:
    """Copy ``value`` and fill in the ``default`` of every absent key, following the schema ``part`` downwards."""
    part = _resolve(part)
    if not isinstance(value, dict) or "properties" not in part and "additionalProperties" not in part:
        return copy.deepcopy(value)
    filled = {}
    properties = part.get("properties", {})
    for key, sub in properties.items():
        if key in value:
            filled[key] = with_defaults(value[key], sub)
        elif "default" in _resolve(sub):
            filled[key] = with_defaults(_resolve(sub)["default"], sub)
    rest = part.get("additionalProperties")
    for key in value:
        if key not in properties:
            filled[key] = with_defaults(value[key], rest) if isinstance(rest, dict) else copy.deepcopy(value[key])
    return filled


def suggestion(word: str, known: Iterable[str]) -> str:
    """End of an error message: the closest known word, or all of them."""
    known = sorted(str(k) for k in known)
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"


def _resolve(part: dict[str, Any]) -> dict[str, Any]:
    reference = part.get("$ref") or next((p["$ref"] for p in part.get("allOf", []) if "$ref" in p), None)
    if not reference:
        return part
    return functools.reduce(lambda found, key: found[key], reference.removeprefix("#/").split("/"), schema())


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


class _UniqueKeyLoader(yaml.SafeLoader):
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


def parse_value(text: str) -> Any:
    """Read one value as YAML, as in ``--set seeds=[0]``."""
    return yaml.load(text, _UniqueKeyLoader)


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


def _check(instance: dict[str, Any], part: str, source: str) -> None:
    try:
        import jsonschema
    except ModuleNotFoundError:
        # Computing nodes may have torch and little else. Snakemake, or `plan`, has checked the files before.
        return
    whole = {**schema(), "$ref": f"#/$defs/{part}"}
    found = jsonschema.Draft202012Validator(whole).iter_errors(instance)
    errors = sorted(found, key=lambda e: [str(p) for p in e.absolute_path])
    if errors:
        raise ConfigError("\n".join(f"{source}: {_explain(error)}" for error in errors))


def _explain(error: Any) -> str:
    key = ".".join(str(p) for p in error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        unknown = [k for k in error.instance if k not in known]
        prefix = f"{key}." if key else ""
        return "; ".join(
            f"{prefix}{k} = {_short(error.instance[k])}: unknown key, {suggestion(k, known)}" for k in unknown
        )
    if error.validator == "required":
        missing = [k for k in error.validator_value if k not in error.instance]
        return f"{key or 'top level'}: key '{missing[0]}' is missing"
    description = error.schema.get("description", "")
    return f"{key} = {_short(error.instance)}: {error.message}" + (f" ({description})" if description else "")


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
