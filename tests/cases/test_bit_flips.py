"""Case 11, bit flips: a flipped bit in any kind of file of results never gives another value silently.

Stores are not here; see tests/data.
"""

import logging
import random
import shutil

import pytest
import yaml

from scalarization import analysis
from scalarization.analysis import result_files
from scalarization.cli import main
from scalarization.config import load_config
from scalarization.data.store import Store
from scalarization.errors import DataError
from scalarization.plan import fingerprints, load_plan
from scalarization.provenance import Provenance
from scalarization.search.history import History
from scalarization.search.intervals import Intervals
from scalarization.search.policies import read_search
from scalarization.search.settings import initial_settings
from scalarization.storage import (
    checksum_of,
    read_conflict_file,
    read_example_file,
    read_json,
    read_metadata,
    read_run_file,
    read_table,
    write_table,
)
from scalarization.training.data import open_data
from scalarization.training.records import RunRecord, read_checkpoint

from ..conftest import TINY

FLIPS = 400
GRID = {"family": "vit", "depth": [2], "width": [8]}
PAIR = {"benchmark": "digits", "task_sets": {"pair": ["mnist", "optdigits"]}, "architectures": GRID}


def complete(preset, smoke):
    """The tiny preset, and of the preset `smoke` the profile: everything that leaves a kind of file."""
    motorcycle = {
        "domains": ["motorcycle"],
        "reference": "motorcycle",
        "tasks": ["depth", "segmentation_2d"],
        "model": {"channels": 16},
        "recipe": {"optimizer": "sgd", "lr": 0.05, "batch_size": 122, "epochs": 1},
    }
    dense = {"family": "dense", "depth": [26], "width": [4], "shared_layers": [4]}
    return preset | {
        "jobs": {"runs_per_job": 1},
        "benchmarks": {
            **preset["benchmarks"],
            "motorcycle": motorcycle,
            "emoji_people": smoke["benchmarks"]["emoji_people"],
        },
        "experiments": {
            "pair": {**PAIR, "methods": {"single": {}, "grid": {"p1": [0.3, 0.7]}}, "seeds": 1},
            "maps": {
                "benchmark": "motorcycle",
                "task_sets": {"pair": ["segmentation_2d", "depth"]},
                "architectures": dense,
                "methods": {"uniform": {}},
                "seeds": 1,
            },
        },
        "conflicts": {"pair": {**PAIR, "seeds": 1}},
        "searches": {
            "random": {
                "benchmark": "digits",
                "task_set": PAIR["task_sets"],
                "architectures": GRID,
                "method": "search_random",
                "population": 2,
                "epochs_ready": 2,
                "fraction": 0.5,
            }
        },
        "profiles": {"costs": smoke["profiles"]["people_costs"]},
        "artifacts": {"figure_b": {"experiment": "pair"}},
    }


@pytest.fixture(scope="module")
def finished(write_config, root, tmp_path_factory):
    """The plan of a folder with a file of every kind."""
    preset = complete(TINY, yaml.safe_load((root / "workflow/presets/smoke.yaml").read_text()))
    config = write_config(tmp_path_factory.mktemp("finished"), preset, checkpoint_seconds=1000)
    plan = load_plan(load_config(config))

    def run(*arguments, status=0):
        assert main([*arguments, "--config", str(config), "--log", str(plan.paths.log_file("job"))]) == status

    run("plan")
    for benchmark in plan.benchmarks:
        run("prepare", "--benchmark", benchmark)
    for cell in plan.cells.values():
        for shard in plan.shards(cell):
            run("train", "--cell", shard.name)
        if len(plan.shards(cell)) > 1:
            run("merge", "--cell", cell.name)
    for name in plan.counted:
        run("conflicts", "--cell", name)
    run("profile", "--profile", "costs")
    run("summarize", "--artifact", "figure_b")
    run("draw", "--artifact", "figure_b")
    run("train", "--cell", next(iter(plan.cells)), "--set", "threads=2", "--time-limit", "0.01", status=75)
    _search(plan)
    logging.getLogger().handlers = []
    return plan


def _search(plan):
    """The intervals and the history of the search, without Ray: its members do not copy each other."""
    (search,) = plan.searches.values()
    store = Store(plan.paths.store_file("digits"))
    intervals = Intervals(plan.paths.checkpoints, search, store.digest, open_data(plan.config, [search.cell], store))
    history = History([search], lambda *arguments: None)
    for member, weights in enumerate(initial_settings(search)):
        for interval in range(1, len(search.interval_ends) + 1):
            lineage = (tuple(weights),) * interval
            history.add(search.name, member, lineage, intervals.train(lineage), None)
    metadata = {"specification": search.describe(), **Provenance(plan).origin(plan.paths.search_file(search))}
    write_table(plan.paths.search_file(search), history.table(search.name), metadata)


# --- How each kind of file is read ---


def record_of(plan, file):
    """The record of the run that a file belongs to."""
    for cell in (*plan.cells.values(), *plan.counted.values()):
        digest = Store(plan.paths.store_file(cell.benchmark)).digest
        for run in cell.runs:
            record = RunRecord(plan.paths.checkpoints, cell, run, digest, fingerprints.cell_code(cell))
            if record.directory == file.parent:
                return record
    raise AssertionError(f"{file} belongs to no run")


def intervals_of(plan):
    (search,) = plan.searches.values()
    return Intervals(plan.paths.checkpoints, search, Store(plan.paths.store_file("digits")).digest)


def known_results(plan, file):
    intervals, (search,) = intervals_of(plan), plan.searches.values()
    ends = range(1, len(search.interval_ends) + 1)
    lineages = [(tuple(weights),) * interval for weights in initial_settings(search) for interval in ends]
    (lineage,) = [lineage for lineage in lineages if intervals._file(lineage, "json") == file]
    return intervals.known_result(lineage)


def interval_state(plan, file):
    return read_checkpoint(file, file.stem.split("_")[1])


def unfinished_state(plan, file):
    """The state from which a job would resume."""
    cell = next(iter(plan.cells.values()))
    record = RunRecord(plan.paths.checkpoints, cell, cell.runs[0], "data", "code")
    record.directory, record.key = file.parent, file.parent.name
    return [payload for _, payload in record.checkpoints()]


def table(read):
    return lambda plan, file: (read(file).to_pylist(), read_metadata(file), checksum_of(file))


#: Kind -> pattern below the results, and what reads it.
KINDS = {
    "run file": ("runs/**/*.parquet", table(read_run_file)),
    "run file of a cell": (
        "runs/digits/pair/vit_d2_w8/grid/base.parquet",
        lambda plan, file: result_files.read_runs(plan, plan.cells["digits/pair/vit_d2_w8/grid/base"]),
    ),
    "shard": ("shards/**/0of2.parquet", table(read_run_file)),
    "conflicts": ("conflicts/**/*.parquet", table(read_conflict_file)),
    "examples": ("examples/**/*.parquet", table(read_example_file)),
    "timings": ("timings/*.parquet", table(read_table)),
    "profile": ("profiles/*.parquet", lambda plan, file: result_files.read_profile(plan, "costs")),
    "summary": ("summary/*.parquet", table(read_table)),
    "drawing": ("drawn/*.json", lambda plan, file: read_json(file)),
    "plan": ("plan.parquet", table(read_table)),
    "search": (
        "searches/**/*.parquet",
        lambda plan, file: read_search(file, next(iter(plan.searches.values()))),
    ),
    "finished run": ("checkpoints/*/finished.json", lambda plan, file: record_of(plan, file).finished()),
    "finished run, peeked at": ("checkpoints/*/finished.json", lambda plan, file: record_of(plan, file).peek()),
    "examples of a run": ("checkpoints/*/examples.parquet", lambda plan, file: record_of(plan, file).finished()),
    "checkpoint": ("checkpoints/*/step_*.ckpt", unfinished_state),
    "interval": ("checkpoints/search_*/*.json", known_results),
    "state of an interval": ("checkpoints/search_*/*.ckpt", interval_state),
}
#: Nobody reads these, or they hold nothing that could be another.
WITHOUT_VALUES = ("logs/*", "checkpoints/*/lock", "data/**/*")


def test_no_kind_is_forgotten(finished):
    patterns = [pattern for pattern, _ in KINDS.values()] + [*WITHOUT_VALUES, "shards/**/1of2.parquet"]
    results = finished.paths.results
    known = {file for pattern in patterns for file in results.glob(pattern)}
    assert {file for file in results.rglob("*") if file.is_file()} - known == set()


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits(finished, kind, tmp_path):
    pattern, read = KINDS[kind]
    file = min(finished.paths.results.glob(pattern))
    content = file.read_bytes()
    expected = repr(read(finished, file))  # NaN is unlike itself
    assert expected not in ("None", "[]")
    kept = tmp_path / "kept"
    shutil.copytree(file.parent, kept)
    draw = random.Random(kind)
    refused = 0
    try:
        for _ in range(FLIPS):
            byte, bit = draw.randrange(len(content)), draw.randrange(8)
            file.write_bytes(content[:byte] + bytes([content[byte] ^ 1 << bit]) + content[byte + 1 :])
            try:
                found = repr(read(finished, file))
            except DataError as error:
                assert str(file) in str(error)
                found = "None"
            assert found in (expected, "None", "[]"), (byte, bit)
            refused += found != expected
    finally:
        shutil.rmtree(file.parent)
        shutil.copytree(kept, file.parent)
    # A Parquet file and a checkpoint are checked whole; of a JSON file, what separates its values may change.
    assert refused == FLIPS if file.suffix != ".json" else refused > FLIPS / 2
    assert repr(read(finished, file)) == expected


def test_a_flipped_bit_makes_no_other_figure(finished, capsys):
    """One flip in each file that a summary is made from, and in the summary: both verbs name the file."""
    results = finished.paths.results
    config = finished.config.source
    for pattern, verb in (("runs/digits/*/*/*/base.parquet", "summarize"), ("summary/figure_b.parquet", "draw")):
        for file in sorted(results.glob(pattern)):
            content = file.read_bytes()
            file.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
            assert main([verb, "--artifact", "figure_b", "--config", str(config)]) == 2
            assert f"{file}: damaged or foreign: its checksum differs" in capsys.readouterr().err
            file.write_bytes(content)
    assert len(analysis.summarize(finished, "figure_b"))
