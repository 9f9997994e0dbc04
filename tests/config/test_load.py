"""Reading configurations and presets: numbers, defaults, overrides, variants, presets on top of others."""

import copy
import subprocess
import sys

import pytest
import yaml

from scalarization.config import Changes, Knobs, Model, Preset, Recipe, changed, load_config, load_preset, parse_value
from scalarization.errors import ConfigError
from scalarization.plan import artifacts

SHIPPED = ["demo", "smoke", "paper_tiny", "paper"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_presets_load(name, shipped_plan):
    plan = shipped_plan(name)
    assert plan.config.preset_name == name
    assert plan.config.results.name == name and plan.config.reports.name == name
    assert artifacts.selected(plan) == list(plan.preset.artifacts)


@pytest.mark.parametrize("text", ["3e-3", "3E-3", "3.0e-3", ".3e-2", "+3e-3", "0.003"])
def test_learning_rates_are_numbers_however_they_are_written(text):
    assert parse_value(text) == pytest.approx(0.003) and isinstance(parse_value(text), float)


@pytest.mark.parametrize("text", ["e-3", "3e", "vit_3e-3", "1e-3-2"])
def test_names_that_look_like_numbers_stay_names(text):
    assert parse_value(text) == text


def test_learning_rate_without_a_dot_is_read_from_a_preset_as_a_number(root):
    text = (root / "workflow/presets/smoke.yaml").read_text()
    assert "lr: 3e-3" in text
    assert load_preset(root / "workflow/presets/smoke.yaml").benchmarks["digits"].recipe.lr == 0.003


def test_a_variant_changes_only_what_it_names(smoke, make_plan):
    recipe = smoke["benchmarks"]["digits"]["recipe"]
    recipe.update(optimizer="sgd", weight_decay=0.2, momentum=0.5, schedule="constant")
    smoke["experiments"]["digits_pair"]["variants"] = {
        "base": {},
        "slow": {"recipe": {"lr": 0.001, "augmentation": {"crop_padding": 0}}, "model": {"drop_path": 0}},
    }
    plan = make_plan(smoke)
    base = plan.cells["digits/mnist+optdigits/vit_d1_w8/grid/base"].specification.describe()
    slow = plan.cells["digits/mnist+optdigits/vit_d1_w8/grid/slow"].specification.describe()
    expected = copy.deepcopy(base)
    expected["recipe"]["lr"] = 0.001
    expected["recipe"]["augmentation"]["crop_padding"] = 0
    expected["model"]["drop_path"] = 0
    assert slow == expected
    assert base["recipe"]["optimizer"] == "sgd" and base["recipe"]["warmup_epochs"] == 1


def test_a_variant_that_makes_an_architecture_impossible_is_named(smoke, make_plan):
    smoke["experiments"]["digits_pair"]["variants"] = {"base": {}, "wide": {"model": {"heads": 3}}}
    with pytest.raises(ConfigError, match="heads = 3"):
        make_plan(smoke)


def test_changes_may_set_a_key_to_null_and_to_its_default():
    """What differs is what is written, not what differs from a default."""
    augmentation = {"flip": True, "randaugment": {"num_ops": 1, "magnitude": 5}}
    given = {"lr": 0.1, "batch_size": 8, "epochs": 2, "steps_per_epoch": 3, "weight_decay": 0.5}
    recipe = Recipe.model_validate({**given, "augmentation": augmentation})
    written = {"steps_per_epoch": None, "weight_decay": 0.05, "augmentation": {"randaugment": None}}
    result = changed(recipe, Changes.model_validate({"recipe": written}).recipe)
    assert result == Recipe.model_validate({"lr": 0.1, "batch_size": 8, "epochs": 2, "augmentation": {"flip": True}})
    assert changed(recipe, Changes().recipe) is recipe and changed(Model(), Changes().model) == Model()


def test_overrides_replace_the_file(smoke, tmp_path, write_config):
    config = load_config(write_config(tmp_path, smoke, seed=3, threads=2), {"seed": 4, "only": {"seeds": [1]}})
    assert (config.seed, config.threads, config.only.describe()) == (4, 2, {"seeds": [1]})


def test_sections_are_frozen(smoke, tmp_path, write_config):
    preset = load_config(write_config(tmp_path, smoke)).preset
    with pytest.raises(ValueError, match="frozen"):
        preset.benchmarks["digits"].recipe.lr = 1


@pytest.mark.parametrize("name", SHIPPED)
def test_a_preset_with_its_defaults_written_out_is_the_same_preset(name, root):
    preset = load_preset(root / "workflow/presets" / f"{name}.yaml")
    written = preset.model_dump()
    for experiments in (written["experiments"], written["conflicts"]):
        for key, experiment in experiments.items():
            # Variants and changes hold only what differs: they have no defaults that could be written out.
            section = preset.experiments.get(key) or preset.conflicts[key]
            experiment["variants"] = {v: s.model_dump(exclude_unset=True) for v, s in section.variants.items()}
    for key, search in written["searches"].items():
        search["changes"] = preset.searches[key].changes.model_dump(exclude_unset=True)
    assert Preset.model_validate(written) == preset


def test_the_shipped_configuration_names_every_knob(root):
    assert set(yaml.safe_load((root / "config.yaml").read_text())) == set(Knobs.model_fields)


def test_loading_needs_no_jsonschema(root, smoke, tmp_path, write_config):
    """Computing nodes may have torch and little else; they check the same as any other process."""
    smoke["benchmarks"]["digits"]["recipe"]["lr"] = 0
    config = write_config(tmp_path, smoke)
    code = f"""
import sys
sys.modules["jsonschema"] = None
from scalarization.config import load_config
from scalarization.errors import ConfigError
try:
    load_config({str(config)!r})
except ConfigError as error:
    print(error)
"""
    environment = {"PYTHONPATH": str(root / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "benchmarks.digits.recipe.lr = 0: expected more than 0" in done.stdout


# --- One preset on top of another ---


def extend(tmp_path, **contents):
    """Write presets; the last one's path."""
    for name, content in contents.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return tmp_path / f"{name}.yaml"


def test_extended_presets_change_what_they_name_and_nothing_else(smoke, tmp_path, root):
    recipe = {"lr": 1, "augmentation": {"crop_padding": 0}}
    changes = {
        "description": "Mine.",
        "benchmarks": {"digits": {"recipe": recipe, "domains": ["mfeat", "optdigits"]}},
        "experiments": {"digits_pair": {"methods": {"rlw": {}}}},
    }
    one = extend(tmp_path, base=smoke, mine={"extends": str(tmp_path / "base.yaml"), **changes})
    mine = load_preset(one)
    base = load_preset(tmp_path / "base.yaml")
    assert mine.extends is None and mine.description == "Mine."
    digits, before = mine.benchmarks["digits"], base.benchmarks["digits"]
    assert digits.domains == ["mfeat", "optdigits"] and digits.recipe.lr == 1
    assert digits.recipe.augmentation == before.recipe.augmentation.model_copy(update={"crop_padding": 0})
    assert digits.recipe.batch_size == before.recipe.batch_size and digits.model == before.model
    assert list(mine.experiments["digits_pair"].methods) == ["single", "grid", "uniform", "proportional", "rlw"]
    assert mine.artifacts == base.artifacts
    # A chain of them, and a base by name.
    two = extend(tmp_path, two={"extends": str(one), "description": "Yours."})
    assert load_preset(two) == mine.model_copy(update={"description": "Yours."})
    named = load_preset(extend(tmp_path, named={"extends": "smoke"}))
    assert named == load_preset(root / "workflow/presets/smoke.yaml")


def test_mistakes_in_extended_presets_name_the_file(smoke, tmp_path):
    wrong = extend(
        tmp_path, base=smoke, wrong={"extends": str(tmp_path / "base.yaml"), "experiments": {"digits_piar": {}}}
    )
    with pytest.raises(ConfigError, match=r"wrong\.yaml, which extends .*base\.yaml: experiments\.digits_piar: key"):
        load_preset(wrong)
    with pytest.raises(ConfigError, match=r"alone\.yaml: extends = papr.*did you mean 'paper'"):
        load_preset(extend(tmp_path, alone={"extends": "papr"}))
    with pytest.raises(ConfigError, match=r"listed\.yaml: extends = \[.smoke.\]: expected the name"):
        load_preset(extend(tmp_path, listed={"extends": ["smoke"]}))
    for first, second in (("a", "b"), ("b", "a")):
        extend(tmp_path, **{first: {"extends": str(tmp_path / f"{second}.yaml")}})
    with pytest.raises(ConfigError, match=r"a\.yaml: extends goes round: .*a\.yaml -> .*b\.yaml -> .*a\.yaml"):
        load_preset(tmp_path / "a.yaml")
