"""Kind 5: names that become paths, rules and shell words."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

from scalarization.config import ROOT, load_config
from scalarization.config.names import RULE_PREFIXES, RULES
from scalarization.errors import ConfigError
from scalarization.plan.cells import Shard
from scalarization.plan.paths import LONGEST_SLUG
from scalarization.storage import read_run_file

#: Everything that a shell, Snakemake or a file system may stumble over, but what is refused.
NASTY = "a b (1) 'q\" ; $(touch pwned) `x` é \\ [b] * ? & | < > % ! ^ = , @ + -"
GRID = "digits/mnist+optdigits/vit_d2_w8/grid/base"


def snakemake(directory, *arguments, config):
    """Run the workflow of the checkout in a directory; exit status and output."""
    settings = [f"{key}={value}" for key, value in config.items()]
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", directory]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SCALARIZATION_OVERRIDES")}
    done = subprocess.run(
        [*command, *arguments, "--config", *settings],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


@pytest.fixture
def working(tmp_path, tiny, monkeypatch):
    """A working directory with the shipped configuration and a small preset `mine.yaml`."""
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tiny, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(**overrides):
    return load_config("config.yaml", {"preset": "mine.yaml", **overrides})


# --- Directories ---


@pytest.mark.parametrize("key", ["results", "reports", "data_dir"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~/x", "{home}/x"),
        ("~", "{home}"),
        ("$HOME/x", "{home}/x"),
        ("${HOME}/x", "{home}/x"),
        ("a/$PART/b", "a/p q/b"),
        ("./~", "~"),
        ("a~b", "a~b"),
        ("$", "$"),
        ("a$(x)", "a$(x)"),
        ("$1", "$1"),
        (NASTY, NASTY),
    ],
)
def test_home_and_variables_are_replaced(key, given, expected, working, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("PART", "p q")
    config = load(**{key: given})
    path = config.data_dir if key == "data_dir" else getattr(config, key).parent
    assert str(path) == expected.replace("{home}", "/home/somebody")
    assert not any(working.glob("~*"))


@pytest.mark.parametrize("key", ["results", "reports", "data_dir"])
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("a{x}", "has { or }"),
        ("a}", "has { or }"),
        ("{{x}}", "has { or }"),
        ("a\nb", "has a line break"),
        ("a\tb", "has a line break, a control character"),
        ("a\0b", "has a line break, a control character"),
        ("a\u2028b", "has a line break"),
        (" a", "begins or ends with a blank"),
        ("a ", "begins or ends with a blank"),
        (" ", "is blank"),
        ("", "expected at least one character"),
        ("$NOT_SET_ANYWHERE/x", "environment variable NOT_SET_ANYWHERE is not set"),
        ("${NOT_SET_ANYWHERE}", "environment variable NOT_SET_ANYWHERE is not set"),
        ("$EMPTY/x", "environment variable EMPTY is not set"),
        ("~no_such_user/x", "~no_such_user is no user's home"),
        ("config.yaml", "config.yaml is a file, not a directory"),
        ("config.yaml/x/y", "config.yaml is a file, not a directory"),
        ("/dev/null", "/dev/null is a file, not a directory"),
        ("x" * 256, "has a part longer than 255 bytes"),
        ("é" * 128, "has a part longer than 255 bytes"),
        ("x/" * 2000, "is longer than 3000 bytes"),
        ("a\udcff", "a string of UTF-8"),
        (7, "expected a string"),
        (["a"], "expected a string"),
    ],
)
def test_directories_that_cannot_be_used(key, given, problem, working, monkeypatch):
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    with pytest.raises(ConfigError, match=rf"^config\.yaml with .*: {key} = .*{re.escape(problem)}") as error:
        load(**{key: given})
    assert "\n" not in str(error.value)


def test_the_workflow_runs_in_any_directory_that_is_accepted(working, tiny):
    (working / f"{NASTY}.yaml").write_text(yaml.safe_dump(tiny))
    config = {"preset": f"{NASTY}.yaml", "results": f"-r # x/{NASTY}"}
    (working / "config.yaml").write_text(yaml.safe_dump(yaml.safe_load((working / "config.yaml").read_text()) | config))
    status, output = snakemake(working, "--cores", "1", "prepare_digits", config={"seed": 1})
    assert status == 0, output
    results = working / "-r # x" / NASTY / NASTY
    assert (results / "data" / "digits" / "dataset.json").is_file()
    assert (results / "logs" / "prepare_digits.log").is_file()
    assert not list(working.rglob("pwned"))


def test_a_wildcard_is_refused_before_snakemake_sees_it(working):
    status, output = snakemake(working, "--dry-run", config={"preset": "mine.yaml", "results": "a{x}"})
    assert status == 1 and 'results = "a{x}": has { or }' in output and "Traceback" not in output


# --- Presets ---


@pytest.mark.parametrize(
    ("preset", "problem"),
    [
        ("../presets/smoke", r"expected a name \(demo, .*\), or a path that ends in \.yaml"),
        ("./mine", r"expected a name .* did you mean '\./mine\.yaml'\?"),
        (str(ROOT / "workflow/presets/smoke"), r"did you mean '.*/workflow/presets/smoke\.yaml'\?"),
        ("/tmp", "expected a name"),
        ("/nonexistent", "expected a name"),
        (".", "expected a name"),
        ("..", "expected a name"),
        ("smoke/", "expected a name"),
        ("/nonexistent.yaml", "there is no such file"),
        ("smoke.yaml", "there is no such file; did you mean 'smoke'"),
        ("Smoke", "did you mean 'smoke'"),
        ("smoke\n", r"there is no workflow/presets/smoke\\n\.yaml"),
        ("x\0", "there is no workflow/presets"),
        ("x" * 300, "File name too long"),
        ("x" * 300 + ".yaml", "File name too long"),
        ("directory.yaml", "expected a file, found a directory"),
        ("pipe.yaml", "there is no such file"),
        ("$NOT_SET_ANYWHERE/x.yaml", "environment variable NOT_SET_ANYWHERE is not set"),
        ("a{b}.yaml", "its name has { or }"),
        ("a\nb.yaml", "its name has a line break"),
        (" a.yaml", "its name begins or ends with a blank"),
        (".hidden.yaml", "no directory of results can have its name"),
        ("downloads.yaml", "no directory of results can have its name"),
        ("", "expected at least one character"),
        (None, "expected a string"),
    ],
)
def test_presets_that_cannot_be_used(preset, problem, working):
    for name in ("a{b}", "a\nb", " a", ".hidden", "downloads"):
        (working / f"{name}.yaml").write_text((working / "mine.yaml").read_text())
    (working / "directory.yaml").mkdir()
    os.mkfifo(working / "pipe.yaml")
    before = sorted(working.rglob("*"))
    with pytest.raises(ConfigError, match=rf"^config\.yaml with preset=.*: preset = .*{problem}") as error:
        load(preset=preset)
    assert "\n" not in str(error.value) and sorted(working.rglob("*")) == before


@pytest.mark.parametrize("name", ["a b (1)", "-x", "a.b", "é;$(x)", "it's"])
def test_presets_of_any_other_name(name, working):
    (working / f"{name}.yml").write_text((working / "mine.yaml").read_text())
    config = load(preset=f"{name}.yml")
    assert str(config.results) == f"results/{name}" and config.preset_name == name


def test_home_of_a_preset(working, monkeypatch):
    monkeypatch.setenv("HOME", str(working))
    (working / "other.yaml").write_text("extends: ~/mine.yaml\ndescription: Other.\n")
    assert load(preset="~/other.yaml").preset.description == "Other."


# --- Names inside of presets ---

IMPOSSIBLE = ["pair\n", "a b", "-a", ".a", ".", "..", "a/b", "a;b", "$(x)", "{x}", "é", "", "a" * 81, "a\0", "a@0", "~"]


@pytest.mark.parametrize("name", IMPOSSIBLE)
@pytest.mark.parametrize("place", ["experiments", "task_sets", "variants", "artifacts", "profiles", "searches"])
def test_names_that_cannot_be_used(place, name, tiny, make_plan):
    pair = tiny["experiments"]["pair"]
    if place == "experiments":
        tiny["experiments"][name] = pair
    elif place in ("task_sets", "variants"):
        pair[place] = {name: ["mnist", "optdigits"] if place == "task_sets" else {}}
    else:
        tiny.setdefault(place, {})[name] = {}
    with pytest.raises(ConfigError, match=rf"{place}: key .* is not possible") as error:
        make_plan(tiny)
    assert all("mine.yaml: " in line for line in str(error.value).splitlines())


@pytest.mark.parametrize("name", ["pair\n", "../digits", "digits.base", "", "a b", "import os"])
def test_benchmarks_are_modules(name, tiny, make_plan):
    tiny["benchmarks"][name] = tiny["benchmarks"]["digits"]
    with pytest.raises(ConfigError, match=r"^[^\n]*benchmark '.*' is unknown; [^\n]*$"):
        make_plan(tiny)


@pytest.mark.parametrize(
    "name",
    [
        "all",
        "count_conflicts_digits_0000",
        "download_digits",
        "draw_figure_b",
        "merge_x",
        "prepare_digits",
        "profile_x",
        "search_x",
        "summarize_figure_b",
        "train_digits_0000",
    ],
)
def test_artifacts_named_like_rules(name, tiny, make_plan):
    tiny["artifacts"][name] = {"kind": "figure_b", "experiment": "pair"}
    with pytest.raises(ConfigError, match=f'artifacts: key "{name}" is not possible: a rule of the workflow has this'):
        make_plan(tiny)


def test_rules_begin_as_reserved():
    """A new rule must be added to RULE_PREFIXES or RULES, else an artifact could get its name."""
    text = "\n".join(file.read_text() for file in [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")])
    dynamic = re.findall(r'name:\s+f"([^{"]*)\{', text)
    fixed = re.findall(r"^(?:rule|checkpoint) (\w+):", text, re.MULTILINE)
    assert dynamic and fixed
    assert set(dynamic) <= set(RULE_PREFIXES) and set(fixed) <= RULES


def test_artifacts_named_like_words_of_python_and_snakemake(tiny, working):
    words = ["class", "import", "input", "rules", "workflow", "config", "snakefile", "prepare", "none", "results"]
    tiny["artifacts"] = {word: {"kind": "figure_b", "experiment": "pair"} for word in words}
    (working / "mine.yaml").write_text(yaml.safe_dump(tiny))
    status, output = snakemake(working, "--dry-run", *words, config={"preset": "mine.yaml"})
    assert status == 0 and all(re.search(rf"^{word} +1$", output, re.MULTILINE) for word in words), output


@pytest.mark.parametrize("place", ["experiments", "task_sets", "variants"])
def test_names_that_differ_in_case_only(place, tiny, make_plan):
    """They are one file on the file systems of macOS and Windows."""
    pair = tiny["experiments"]["pair"]
    if place == "experiments":
        tiny["experiments"]["Pair"] = pair
    else:
        values = {"task_sets": ["mnist", "optdigits"], "variants": {}}
        pair[place] = {"twin": values[place], "Twin": values[place]}
    with pytest.raises(ConfigError, match=rf"{place} = .*'\w+' and '\w+' are the same file on some file systems"):
        make_plan(tiny)


def test_cells_of_different_experiments_that_differ_in_case_only(tiny, make_plan):
    pair = tiny["experiments"]["pair"]
    tiny["experiments"]["other"] = {**pair, "task_sets": {"MNIST+optdigits": ["mnist", "optdigits"]}}
    with pytest.raises(
        ConfigError, match=r"experiments\.other: digits/MNIST\+.* and digits/mnist\+.* are the same file"
    ):
        make_plan(tiny)


def test_cells_whose_names_are_equal_once_slashes_are_dots(tiny, make_plan):
    """Names of logs, timings and rules have a dot where the name of a cell has a slash."""
    pair = tiny["experiments"]["pair"]
    pair["methods"] = {"grid": {"p1": [0.3, 0.7]}}
    recipe = {"recipe": {"weight_decay": 0.1}}
    pair |= {"task_sets": {"t": ["mnist", "optdigits"]}, "variants": {"v.vit_d2_w8.grid.w": recipe}}
    other = {"task_sets": {"t.vit_d2_w8.grid.v": ["mnist", "optdigits"]}, "variants": {"w": {}}}
    tiny["experiments"]["other"] = {**pair, **other}
    with pytest.raises(ConfigError, match=r"experiments\.other: .* are the same file"):
        make_plan(tiny)


def test_names_of_80_characters_are_possible(tiny, make_plan):
    pair = tiny["experiments"]["pair"]
    pair["task_sets"] = {"t" * 80: ["mnist", "optdigits"]}
    plan = make_plan(tiny)
    (cell,) = (cell for cell in plan.cells.values() if cell.method == "grid")
    assert f"/{'t' * 80}/" in cell.name


def test_names_that_are_too_long_together(tiny, make_plan):
    """A cell's files have all of its names: task set, architecture, method and variant."""
    pair = tiny["experiments"]["pair"]
    pair |= {"task_sets": {"t" * 80: ["mnist", "optdigits"]}, "variants": {"v" * 80: {}}}
    pair |= {"architectures": {"family": "vit", "depth": [10], "width": [1000]}, "methods": {"proportional": {}}}
    with pytest.raises(ConfigError, match=r"experiments\.pair: digits/t+/vit_.*/v+ has over 191 bytes; shorten"):
        make_plan(tiny)


def test_what_is_added_to_a_cell_s_name_fits(tiny, make_plan):
    """Of the 255 bytes of a file's name, 191 are the cell's."""
    plan = make_plan(tiny)
    cell = next(iter(plan.cells.values()))
    shard = Shard(replace(cell, specification=replace(cell.specification, count_every=1)), 999_999, 1_000_000)
    added = len(plan.paths.timings_file(shard).name) - len(cell.slug)
    assert added + len("..abcdefgh.part") <= 255 - LONGEST_SLUG


# --- Cells on the command line ---


def test_a_split_cell_is_trained_by_its_name(tiny, make_plan, write_config, tmp_path, launch):
    tiny["jobs"]["runs_per_job"] = 1
    plan = make_plan(tiny)
    where = ("--config", tmp_path / "config.yaml")
    assert launch("prepare", "--benchmark", "digits", *where, folder=tmp_path).wait() == 0
    job = launch("train", "--cell", GRID, *where, folder=tmp_path)
    assert job.wait() == 0, job.output
    assert len(plan.shards(plan.cell(GRID))) == 2
    rows = read_run_file(plan.paths.run_file(plan.cell(GRID))).to_pylist()
    assert {row["weight_setting"] for row in rows} == {0, 1}
    job = launch("train", "--cell", f"{GRID}@1/2", "--cell", GRID, *where, folder=tmp_path)
    assert job.wait() == 0 and job.output.count("runs in") == 2


@pytest.mark.parametrize("name", [f"{GRID}@2/2", f"{GRID}@0/3", f"{GRID}@", "digits", "a\nb", "", "{x}"])
def test_cells_that_do_not_exist(name, tiny, make_plan):
    tiny["jobs"]["runs_per_job"] = 1
    plan = make_plan(tiny)
    with pytest.raises(ConfigError, match=r"mine\.yaml: no (cell|shard) [^\n]*; (did you mean|known:) [^\n]*$"):
        plan.shards_named(name)


def test_long_lists_of_names_are_cut(tiny, make_plan):
    tiny["experiments"]["pair"]["architectures"]["width"] = list(range(8, 400, 2))
    with pytest.raises(ConfigError, match=r"\(\d{3} in all\)$") as error:
        make_plan(tiny).cell("x")
    assert len(str(error.value)) < 4000
