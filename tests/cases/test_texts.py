"""Kind 6: text that is not what it should be, in files, on the command line and in the environment."""

import json
import logging
import os
import subprocess
import sys

import pytest
import yaml

from scalarization.cli import main
from scalarization.config import ROOT, load_config, load_preset, parse_value, retyped
from scalarization.config.reading import DEEPEST, LARGEST_FILE, MOST_VALUES, read_yaml
from scalarization.errors import ConfigError
from scalarization.search.adhoc import SearchRequest, plan_ad_hoc_search


@pytest.fixture
def run(write_config, tiny, tmp_path, capsys):
    """(*arguments) -> (exit status, what was written to the terminal) of a verb, run in this process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    config = write_config(tmp_path, tiny)

    def run(*arguments):
        capsys.readouterr()
        try:
            status = main([*map(str, arguments), "--config", str(config)])
        except SystemExit as end:  # argparse
            status = end.code
        output = capsys.readouterr()
        return status, output.out + output.err

    yield run
    root.handlers, root.level = handlers, level


def refused(result, problem):
    """Assert that a verb ended with one line that has a text."""
    status, output = result
    assert status == 2 and problem in output.splitlines()[-1] and "Traceback" not in output, output


# --- YAML ---

#: Nine values, nine of them nine times, and so on: 9**9 values.
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
#: Each level is small, all together are deep.
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [[[[*a{n - 1}]]]]\n" for n in range(1, 300))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1", "did not find expected"),
        ("a: b: c", "mapping values are not allowed"),
        ("a:\n\tb: 1", r"cannot start any token \(line 2, column 1\)"),
        ("a: 1\na: 2", r"key 'a' is given twice \(line 2, column 1\)"),
        ("1: a\n1: b", "key '1' is given twice"),
        ("x: {a: {b: 1, b: 2}}", r"key 'b' is given twice \(line 1, column 15\)"),
        ("{? {a: 1} : 2}", "a key is a list or has keys itself"),
        ("{? [a] : 2}", "a key is a list or has keys itself"),
        ("2001-01-01: a", "key 2001-01-01 is a date; put it in quotes"),
        ("? !!binary aGk=\n: 1", "is a bytes; put it in quotes"),
        ("a: &a {b: *a}", r"alias \*a stands inside of what it names"),
        ("&a [*a]", r"alias \*a stands inside of what it names"),
        ("a: &a\n  <<: *a", r"alias \*a stands inside of what it names"),
        ("a: *b", "undefined alias"),
        (BOMB, "values with aliases replaced"),
        (CHAIN, f"more than {DEEPEST} levels"),
        ("[" * 100_000, f"more than {DEEPEST} levels"),
        ("{a: " * 1000, f"more than {DEEPEST} levels"),
        ("- " * 1000, f"more than {DEEPEST} levels"),
        ("[" + "0," * MOST_VALUES + "0]", f"{MOST_VALUES:,} values"),
        ("a: !!python/object/apply:os.system ['touch pwned']", "could not determine a constructor"),
        ("a: !mine b", "could not determine a constructor"),
        ("a: 2001-99-99", r"month must be in 1\.\.12 \(line 1, column 4\)"),
        ("a: !!int b", "invalid literal for int"),
        ("a: !!float b", "could not convert"),
        ("a: " + "9" * 5000, "Exceeds the limit"),
        ('a: "\\ud800"', "invalid Unicode character escape code"),
        ("a: \0", "control characters are not allowed"),
        ("a: 1\n---\nb: 2", "another document"),
        ("<<: 3\na: 1", "expected a mapping or list of mappings"),
        ("%YAML 9.9\n---\na: 1", "incompatible YAML document"),
        ("@a: 1", "cannot start any token"),
        ("a: 'b", "found unexpected end of stream"),
    ],
)
def test_text_that_is_no_yaml(text, problem, tmp_path):
    with pytest.raises(ConfigError, match=rf"^not readable as YAML: [^\n]*{problem}[^\n]*$"):
        parse_value(text)
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    for read in (read_yaml, load_preset, load_config):
        with pytest.raises(ConfigError, match=rf"mine\.yaml: not readable as YAML: [^\n]*{problem}[^\n]*$"):
            read(file)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "expected keys and values, found nothing"),
        (b"# a comment\n", "expected keys and values, found nothing"),
        (b"- a\n", "expected keys and values, found list"),
        (b"a\n", "expected keys and values, found str"),
        (b"3\n", "expected keys and values, found int"),
        (b"null\n", "expected keys and values, found nothing"),
        (b"a: 1\nb: \xe9\n", "line 2 is not UTF-8: .*; save the file as UTF-8"),
        ("a: 1".encode("utf-16"), "line 1 is not UTF-8"),
        (bytes(range(256)), "is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0", "line 1 is not UTF-8"),
        (b"#" * (LARGEST_FILE + 1), "more than 5,000,000 bytes"),
    ],
)
def test_files_that_are_no_configuration(content, problem, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    for read in (read_yaml, load_preset, load_config):
        with pytest.raises(ConfigError, match=rf"mine\.yaml: [^\n]*{problem}[^\n]*$"):
            read(file)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        (".", "expected a file, found a directory"),
        ("none.yaml", "there is no such file"),
        ("none/none.yaml", "there is no such file"),
        ("pipe", "expected a file, found something else"),
        ("/dev/zero", "expected a file, found something else"),
        ("mine.yaml/x", "there is no such file"),
        ("loop", "there is no such file|Too many levels"),
        ("x" * 300, "File name too long"),
        ("a\0b", "there is no such file"),
        ("a\nb", r"a\\nb: there is no such file"),
    ],
)
def test_places_where_no_file_is(place, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("a: 1")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=rf"^[^\n]*({problem})[^\n]*$"):
        load_config(place)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("a: 1")
    file.chmod(0)
    with pytest.raises(ConfigError, match=r"not readable: .*Permission denied"):
        load_config(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", "010"),
        ("0x10", "0x10"),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("1_000", 1000),
        ("+3", 3),
        ("-0", 0),
        ("0", 0),
        ("1.", 1.0),
        (".5", 0.5),
        ("3e-3", 0.003),
        ("3.5E+2", 350.0),
        ("1e400", float("inf")),
        ("-.inf", float("-inf")),
        ("nan", "nan"),
        ("e3", "e3"),
        ("true", True),
        ("~", None),
        ("[1, a, {b: 2.5}]", [1, "a", {"b": 2.5}]),
    ],
)
def test_numbers_are_what_people_mean(text, value):
    """YAML 1.1 takes 010 for 8, 1:30 for 90 and 3e-3 for a text."""
    result = parse_value(text)
    assert result == value and type(result) is type(value)


def test_aliases_and_merged_keys_that_are_harmless(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: [*a, *a]\n")  # with a byte-order mark
    first = {"x": 1, "y": 2}
    assert read_yaml(file) == {"a": first, "b": {"x": 3, "y": 2}, "c": [first, first]}


def test_shipped_files_are_far_from_the_limits():
    for file in (ROOT / "workflow" / "presets").glob("*.yaml"):
        assert len(file.read_bytes()) < LARGEST_FILE / 100
        assert len(list(yaml.parse(file.read_text()))) < MOST_VALUES / 10


# --- The environment ---


@pytest.mark.parametrize(
    "text", ["junk", "[1]", "null", '"a"', "3", "true", '{"seed": 1', "{seed: 1}", "[" * 100_000, "\udcff", "{}x"]
)
def test_overrides_that_are_no_keys_and_values(text, run, monkeypatch):
    monkeypatch.setenv("SCALARIZATION_OVERRIDES", text)
    refused(run("plan"), "expected keys and values as JSON; unset this environment variable")


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"seed": float("nan")}, "seed = NaN: expected an integer"),
        ({"nope": 1}, "nope = 1: unknown key"),
        ({"": 1}, "unknown key"),
        ({"only": [1]}, "only = [1]: expected keys and values"),
        ({"only": None}, "only = null: expected keys and values"),
        ({"preset": {"a": 1}}, "expected a string"),
        ({"results": ["a"]}, "expected a string"),
    ],
)
def test_overrides_pass_the_same_checks(overrides, problem, run, monkeypatch):
    monkeypatch.setenv("SCALARIZATION_OVERRIDES", json.dumps(overrides))
    refused(run("plan"), problem)


@pytest.mark.parametrize("text", ["", "{}"])
def test_empty_overrides(text, run, monkeypatch):
    monkeypatch.setenv("SCALARIZATION_OVERRIDES", text)
    assert run("plan")[0] == 0


# --- The command line ---


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("only={seeds: [0", "--set only={seeds: [0: not readable as YAML"),
        ("only={seeds: [0], seeds: [1]}", "key 'seeds' is given twice"),
        ("only=&a [*a]", "alias *a stands inside"),
        ("only={? [a] : 1}", "a key is a list"),
        ("only=[0]", "only = [0]: expected keys and values"),
        ("only={seeds: 0}", "only.seeds = 0: expected a list"),
        ("only={seeds: [0.5]}", "expected an integer"),
        ("seed", "--set seed: expected KEY=VALUE"),
        ("=1", "unknown key"),
        ("", "expected KEY=VALUE"),
        ("seed=", "seed = null: expected an integer"),
        ("seed=\n", "seed = null: expected an integer"),
        ("seed=010", 'seed = "010": expected an integer'),
        ("a\nb", "--set a\\nb: expected KEY=VALUE"),
    ],
)
def test_assignments(given, problem, run):
    refused(run("plan", "--set", given), problem)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("train --cell x --time-limit nan", "time_limit = NaN: expected a finite number"),
        ("train --cell x --time-limit inf", "time_limit = Infinity: expected a finite number"),
        ("train --cell x --time-limit -1", "time_limit = -1.0: expected more than 0"),
        ("train --cell x --time-limit 0", "time_limit = 0.0: expected more than 0"),
        ("train --cell x --time-limit 1e300", "time_limit = 1e+300"),
        ("train --cell x --time-limit soon", "invalid float value: 'soon'"),
        ("conflicts --cell x --time-limit nan", "expected a finite number"),
        ("search --search x --workers 0", "workers = 0: expected at least 1"),
        ("search --search x --workers -1", "workers = -1: expected at least 1"),
        ("search --search x --workers 1.5", "invalid int value: '1.5'"),
        ("search --search x --workers 1000000000", "workers = 1000000000: expected at most"),
        ("search --search x --nodes 0", "nodes = 0: expected at least 1"),
        ("search --search x --seeds 2", "--seeds cannot be given with --search"),
        ("search --search x --budget 2", "--budget cannot be given with --search"),
        ("search --benchmark digits --nodes 2", "--nodes cannot be given with --benchmark"),
        ("search --benchmark digits --time-limit 2", "--time-limit cannot be given with --benchmark"),
        ("search --benchmark digits --search x", "not allowed with argument"),
        ("search --search x", "no search x; there is none"),
        ("search", "one of the arguments --search --benchmark is required"),
        ("train", "required: --cell"),
        ("nonsense", "invalid choice: 'nonsense'"),
        ("prepare --benchmark digit", "no benchmark digit; did you mean 'digits'"),
        ("download --benchmark x", "no benchmark x"),
        ("profile --profile x", "no profile x; there is none"),
        ("summarize --artifact figure_bb", "no artifact figure_bb; did you mean 'figure_b'"),
        ("draw --artifact figure_bb", "no artifact figure_bb; did you mean 'figure_b'"),
        ("draw --artifact figure_b", "figure_b.parquet"),
        ("merge --cell x", "no cell x"),
    ],
)
def test_options(arguments, problem, run):
    refused(run(*arguments.split()), problem)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("--seeds 0", "seeds = 0: expected at least 1"),
        ("--seeds -1", "seeds = -1: expected at least 1"),
        ("--seeds 1000000000", "seeds = 1000000000: expected at most"),
        ("--tasks mnist,mnist", "'mnist' is given twice"),
        ("--tasks mnist", "a search needs at least two tasks"),
        ("--tasks mnist,", "'' is not one of its benchmark's"),
        ("--tasks mnist,usps", "'usps' is not one of its benchmark's"),
        ("--tasks mnist;optdigits", "task_sets: key"),
        ("--architecture vit_d0_w8", "--architecture vit_d0_w8: "),
        ("--architecture vit_d1_w7", "width 7 is not divisible by heads = 2"),
        ("--architecture dense26_w32_shr2", "architectures"),
        ("--architecture x", "'x' is not an architecture"),
        ("--epochs-ready 0", "epochs_ready = 0: expected at least 1"),
        ("--epochs-ready 100", "epochs_ready"),
        ("--workers 0", "workers = 0: expected at least 1"),
        ("--budget nan", "budget = NaN: expected a finite number"),
        ("--budget inf", "budget = Infinity: expected a finite number"),
        ("--budget -1", "budget = -1.0: expected at least 0"),
        ("--budget 1", "--budget 1: allows 0 members"),
        ("--budget 1e308", "budget = 1e+308: expected at most"),
        ("--budget 9000", "population = 12855: expected at most"),
        ("--method adam", "--method adam: unknown; known: pb2"),
        ("--method uniform", "--method uniform: unknown"),
    ],
)
def test_own_searches_are_checked_before_any_work(arguments, problem, run, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    refused(run("search", "--benchmark", "digits", *arguments.split()), problem)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_own_search_without_text(run):
    refused(run("search", "--benchmark", ""), "--benchmark : not in")
    refused(run("search", "--benchmark", "digits", "--tasks", ""), "task_sets: key")
    refused(run("search", "--benchmark", "digits", "--architecture", ""), "'' is not an architecture")


def test_own_searches_of_many_tasks_have_a_short_name(make_plan, shipped_plan):
    plan = shipped_plan("paper")
    tasks = list(plan.benchmarks["celeba"].labels.attributes)
    request = SearchRequest(benchmark="celeba", tasks=tasks)
    task_set = plan_ad_hoc_search(plan, request).search.cell.task_set
    assert len(task_set) <= 80 and task_set.startswith(f"{len(tasks)}_tasks_")
    other = plan_ad_hoc_search(plan, SearchRequest(benchmark="celeba", tasks=tasks[::-1])).search.cell.task_set
    assert other != task_set


# --- Snakemake ---


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("{benchmarks: [digits", "{benchmarks: [digits"),
        ({"seeds": ["0", "1"], "benchmarks": ["digits"]}, {"seeds": [0, 1], "benchmarks": ["digits"]}),
        ({"benchmarks": ["[x"]}, {"benchmarks": ["[x"]}),
        ("a # b", "a # b"),
        ("a: b", "a: b"),
        ("null", None),
        ("2.5", 2.5),
        (True, True),
        (3, 3),
    ],
)
def test_values_that_snakemake_read_as_text(given, value):
    assert retyped(given) == value


def test_a_broken_value_for_snakemake(tmp_path):
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", tmp_path, "-n"]
    command += ["--config", "preset=smoke", "only={benchmarks: [digits"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stdout
    assert 'only = "{benchmarks: [digits": expected keys and values' in done.stdout
