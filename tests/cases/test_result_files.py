"""Files of results that are not what their place says, or hold what cannot be, are refused with file and reason."""

from __future__ import annotations

import math
import re
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "analysis"))  # importlib mode adds no directory to the path

import synthetic
import synthetic_conflicts
import synthetic_dense
import synthetic_methods
import synthetic_searches

from scalarization import analysis, figures, storage, tables
from scalarization.errors import DataError
from scalarization.plan import artifacts
from scalarization.plan.cells import Shard

LAST = synthetic.EPOCHS


def refused(plan, kind, file, reason):
    """Summarizing ends in one line that names the file, the reason, and what to do."""
    with pytest.raises(DataError, match=rf"^{re.escape(str(file))}: [^\n]*{reason}[^\n]*; (delete it and )?run snake"):
        analysis.summarize(plan, kind)


@pytest.fixture
def pair(make_plan):
    plan = make_plan(synthetic.preset("figure_2", depth=(1,), methods={"single": {}, "grid": {"p1": [0.1, 0.5]}}))
    synthetic.write_runs(plan, synthetic.plausible)
    return plan


def rewrite(plan, change, cell="digits/mnist+optdigits/vit_d1_w24/grid/base"):
    """Write a run file again with other rows."""
    file = plan.paths.run_file(plan.cells[cell])
    storage.write_run_file(file, change(storage.read_run_file(file).to_pylist()), {})
    return file


def without(**place):
    return lambda rows: [row for row in rows if any(row[key] != value for key, value in place.items())]


def changed(column, value, **place):
    """A value in the rows of a place, of all rows without one."""

    def change(rows):
        return [{**row, column: value} if all(row[k] == v for k, v in place.items()) else row for row in rows]

    return change


ONE = {"weight_setting": 1, "seed": 0, "epoch": LAST, "split": "test", "task": "mnist", "metric": "accuracy"}
#: What is wrong -> how the rows are changed, the reason that is given.
MISTAKES = {
    "every row twice": (lambda rows: rows * 2, "twice"),
    "one row twice": (lambda rows: [*rows, rows[7]], "twice"),
    "one row missing": (without(**ONE), "(lacks accuracy of|other metrics for) 'mnist' on test at epoch 4"),
    "a seed missing": (without(seed=1), "lacks 2 of 4 runs, such as weight setting 0, seed 1"),
    "a run missing": (without(seed=1, weight_setting=1), "lacks 1 of 4 runs, such as weight setting 1, seed 1"),
    "a task missing": (without(task="mnist"), "lacks 'mnist'"),
    "a split missing": (without(split="validation"), "lacks 'mnist' on validation"),
    "a metric missing": (without(metric="accuracy"), "no metric of quality|lacks metric accuracy|other metrics"),
    "losses missing": (without(metric="loss"), "lacks 'average' on batches"),
    "the last epoch missing": (without(epoch=LAST), "at epoch 4"),
    "an earlier epoch missing": (without(epoch=2), "at epoch 2"),
    "an epoch too many": (lambda rows: rows + [{**r, "epoch": 9} for r in rows if r["epoch"] == 2], "epoch 9"),
    "a seed too many": (lambda rows: rows + [{**r, "seed": 5} for r in rows if r["seed"] == 0], "seed 5"),
    "a setting too many": (lambda rows: [*rows, {**rows[0], "weight_setting": 7}], "weight setting 7"),
    "an unknown task": (lambda rows: [*rows, {**rows[-1], "task": "svhn"}], "svhn"),
    "infinite": (changed("value", math.inf, **ONE), "accuracy inf for 'mnist' on test at epoch 4"),
    "minus infinity": (changed("value", -math.inf, **ONE), "accuracy -inf"),
    "above 100": (changed("value", 100.1, **ONE), r"accuracy 100\.1"),
    "below 0": (changed("value", -0.1, **ONE), r"accuracy -0\.1"),
    "a negative loss": (changed("value", -1.0, **{**ONE, "metric": "loss"}), r"loss -1\.0"),
    "an infinite loss of batches": (changed("value", math.inf, split="batches"), "loss inf"),
    "null": (changed("value", None, **ONE), "no numbers"),
    "other weights": (changed("weights", [0.4, 0.6], weight_setting=1), "has weights .0.4, 0.6."),
    "weights that change": (changed("weights", [0.4, 0.6], **ONE), "has weights"),
    "no weights": (changed("weights", []), "has weights"),
    "another benchmark": (changed("benchmark", "celeba"), "benchmark celeba, not of digits"),
    "another task set": (changed("task_set", "other"), "task_set other"),
    "another architecture": (changed("architecture", "vit_d9_w24"), "architecture vit_d9_w24, not of vit_d1_w24"),
    "another depth": (changed("depth", 3), "depth 3, not of 1"),
    "another width": (changed("width", 48, **ONE), "width 48, not of 24"),
    "another method": (changed("method", "uniform"), "method uniform"),
    "another variant": (changed("variant", "slow"), "variant slow"),
    "no rows": (lambda rows: [], "has no rows"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_run_files(pair, mistake):
    change, reason = MISTAKES[mistake]
    refused(pair, "figure_2", rewrite(pair, change), reason)


def test_files_of_another_cell_copied_in_place(pair):
    """Of another architecture, of another method, of the SD model of another domain."""
    target = pair.paths.run_file(pair.cells["digits/mnist/vit_d1_w24/single/base"])
    content = target.read_bytes()
    for name in ("digits/mnist/vit_d1_w48/single/base", "digits/optdigits/vit_d1_w24/single/base"):
        shutil.copy(pair.paths.run_file(pair.cells[name]), target)
        refused(pair, "figure_2", target, "has rows of")
    target.write_bytes(content)
    analysis.summarize(pair, "figure_2")


def test_nan_is_no_mistake_and_the_limits_are_possible(pair):
    for value in (math.nan, 0.0, 100.0):
        rewrite(pair, changed("value", value, **ONE))
        analysis.summarize(pair, "figure_2")
    # Methods may minimise something that is negative.
    rewrite(pair, changed("value", -3.0, split="batches"))
    analysis.summarize(pair, "figure_2")


CONFLICTS = {
    "every row twice": (lambda rows: rows * 2, "has 2 rows"),
    "an epoch missing": (without(epoch=2, seed=0), "has 0 rows for epoch 2"),
    "a pair missing": (without(task_j="mfeat", seed=1), "has 0 rows"),
    "a run missing": (without(seed=1), "lacks 1 of 2 runs"),
    "a seed too many": (lambda rows: [*rows, {**rows[0], "seed": 9}], "seed 9"),
    "more conflicts than steps": (changed("conflicts", 51, epoch=1), "51 conflicts in"),
    "negative": (changed("zero", -1, epoch=1), "-1 without a gradient"),
    "a cosine of 2": (changed("mean_cosine", 2.0, epoch=1), r"mean_cosine is 2\.0"),
    "a negative norm": (changed("norm_i", -1.0, epoch=1), "norm_i is -1"),
    "an infinite loss": (changed("train_loss", math.inf, epoch=1), "train_loss is inf"),
    "accuracy above 100": (changed("validation", 101.0, epoch=1), "validation is 101"),
    "another metric": (changed("metric", "l1"), "metric l1, not of accuracy"),
    "another architecture": (changed("architecture", "vit_d9_w9"), "architecture vit_d9_w9"),
    "another variant": (changed("variant", "slow"), "variant slow"),
}


@pytest.mark.parametrize("mistake", CONFLICTS)
def test_conflict_files(make_plan, mistake):
    plan = make_plan(synthetic_conflicts.preset("figure_3", depth=(1,), width=(24,), rates=(5e-3,)))
    synthetic_conflicts.write_counts(plan, synthetic_conflicts.plausible)
    file = plan.paths.run_file(next(iter(plan.counted.values())))
    change, reason = CONFLICTS[mistake]
    storage.write_conflict_file(file, change(storage.read_conflict_file(file).to_pylist()), {})
    refused(plan, "figure_3", file, reason)


HISTORIES = {
    "every row twice": (lambda rows: rows * 2, "2 times"),
    "a member missing": (without(member=1), "0 times"),
    "NaN score": (changed("score", math.nan, member=1), "score"),
    "infinite score": (changed("score", math.inf, member=1), "score"),
    "score above 100": (changed("score", 101.0, member=1), "score is 101"),
    "negative score": (changed("score", -1.0, member=1), r"score is -1\.0"),
    "negative seconds": (changed("seconds", -1.0, member=1), "-1.0 s"),
    "off the simplex": (changed("weights", [0.9, 0.9, 0.9], member=1), "weights"),
    "another search": (changed("search", "other"), "search other"),
    "another architecture": (changed("architecture", "vit_d9_w9"), "architecture vit_d9_w9"),
    "another method": (changed("method", "pb2"), "method pb2"),
}


@pytest.mark.parametrize("mistake", HISTORIES)
def test_histories_of_searches(make_plan, mistake):
    plan = make_plan(
        synthetic_searches.preset({"figure_e": {"searches": ["found"]}}, {"found": synthetic_searches.search()})
    )
    (search,) = plan.searches.values()
    synthetic_searches.write_history(plan, search)
    file = plan.paths.search_file(search)
    table, metadata = storage.read_table(file), storage.read_metadata(file)
    change, reason = HISTORIES[mistake]
    rows = change(table.to_pylist())
    storage.write_table(file, pa.Table.from_pylist(rows, table.schema.remove_metadata()), metadata)
    refused(plan, "figure_e", file, reason)


PROFILES = {
    "every row twice": (lambda rows: rows * 2, "has 2 rows"),
    "a method missing": (without(method="pcgrad"), "has 0 rows for method pcgrad"),
    "a method too many": (lambda rows: [*rows, {**rows[0], "method": "cagrad"}], "1 rows for method cagrad"),
    "a number of tasks missing": (without(tasks=8), "has 0 rows"),
    "NaN": (changed("seconds_per_step", math.nan, method="pcgrad"), "seconds_per_step is nan"),
    "infinite": (changed("time_ratio", math.inf, method="pcgrad"), "time_ratio is inf"),
    "negative": (changed("peak_bytes", -1, method="pcgrad"), "peak_bytes is -1"),
    "null": (changed("memory_ratio", None, method="pcgrad"), "memory_ratio is None"),
    "another architecture": (changed("architecture", "vit_d9_w9"), "architecture vit_d9_w9"),
    "another size of batches": (changed("batch_size", 1), "batch_size 1"),
    "no rows": (lambda rows: [], "has no rows"),
}


@pytest.mark.parametrize("mistake", PROFILES)
def test_profiles(make_plan, mistake):
    plan = make_plan(synthetic_methods.preset({"figure_1": {"profile": "steps"}}))
    synthetic_methods.write_profile(plan)
    file = plan.paths.profile_file("steps")
    table = storage.read_table(file)
    change, reason = PROFILES[mistake]
    storage.write_table(file, pa.Table.from_pylist(change(table.to_pylist()), table.schema.remove_metadata()), {})
    refused(plan, "figure_1", file, reason)


def test_a_profile_without_a_column(make_plan):
    plan = make_plan(synthetic_methods.preset({"figure_1": {"profile": "steps"}}))
    synthetic_methods.write_profile(plan)
    file = plan.paths.profile_file("steps")
    storage.write_table(file, storage.read_table(file).drop_columns(["peak_bytes"]), {})
    refused(plan, "figure_1", file, "no column 'peak_bytes'")


EXAMPLES = {
    "every row twice": (lambda rows: rows * 2, "has 2 rows"),
    "targets missing": (without(content="target"), "has 0 rows for example 0, content target"),
    "the image missing": (without(content="image"), "has 0 rows for example 0, content image"),
    "a prediction missing": (without(content="prediction", seed=1, task="depth"), "has 0 rows"),
    "a run missing": (without(content="prediction", seed=1), "lacks 3 of 6 runs"),
    "values cut": (changed("values", [1.0, 2.0], content="target"), "2 values for shape"),
    "another architecture": (changed("architecture", "dense26_w9_shr0"), "architecture dense26_w9_shr0"),
    "no rows": (lambda rows: [], "has no rows"),
}


@pytest.mark.parametrize("mistake", EXAMPLES)
def test_predictions(make_plan, mistake):
    plan = make_plan(synthetic_dense.preset())
    synthetic_dense.write(plan)
    cell = plan.cells["motorcycle/pair/dense26_w16_shr4/grid/base"]
    file = plan.paths.examples_file(Shard(cell))
    change, reason = EXAMPLES[mistake]
    rows = change(storage.read_example_file(file).to_pylist())
    storage.write_example_file(file, pa.Table.from_pylist(rows, storage.EXAMPLE_SCHEMA), {})
    refused(plan, "predictions", file, reason)


# --- summaries ---

KIND_NAMES = artifacts.kind_names()


def draw(kind, summary, metadata):
    return (figures if artifacts.load_kind(kind).output == "figure" else tables).draw(kind, summary, metadata)


@pytest.fixture
def summarized(pair, tmp_path):
    return synthetic.read_back(pair, "figure_2", tmp_path)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_summary_without_metadata_is_not_drawn(summarized, kind):
    with pytest.raises(
        DataError, match=rf"^summary of kind {kind}: its metadata have no 'artifact'; delete it and run"
    ):
        draw(kind, summarized[0], {})


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_summary_without_rows_is_not_drawn(summarized, kind):
    import pandas as pd

    _, metadata = summarized
    columns = artifacts.load_kind(kind).columns
    with pytest.raises(DataError, match=r"^summary/figure_2\.parquet: it has no rows; delete it and run snakemake"):
        draw(kind, pd.DataFrame(columns=list(columns)).astype(columns), metadata | {"kind": kind})


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_summary_of_another_kind_is_not_drawn(summarized, kind):
    summary, metadata = summarized
    other = "sweep" if kind == "figure_2" else "figure_2"
    with pytest.raises(DataError, match=rf"^summary/figure_2\.parquet: it is of kind {other}, not {kind}"):
        draw(kind, summary, metadata | {"kind": other})


@pytest.mark.parametrize("key", ["setting", "reference", "task_sets", "kind", "preset", "seeds"])
def test_a_missing_key_of_the_metadata_is_named(summarized, key):
    summary, metadata = summarized
    del metadata[key]
    with pytest.raises(DataError, match=rf"^summary/figure_2\.parquet: its metadata have no '{key}'"):
        draw("figure_2", summary, metadata)


def test_every_missing_column_is_named(summarized):
    summary, metadata = summarized
    draw("figure_2", summary, metadata)
    for column in summary:
        with pytest.raises(DataError, match=rf"^summary/figure_2\.parquet: it has no column '{column}'"):
            draw("figure_2", summary.drop(columns=column), metadata)
