"""Figure C, figure 2 and predictions of dense tasks: from run files with known numbers to what is drawn."""

import numpy as np
import pyarrow as pa
import pytest
import synthetic
from matplotlib.text import Text

from scalarization import analysis, figures, storage
from scalarization.errors import DataError
from scalarization.plan.cells import Shard

TASKS = ["segmentation_2d", "depth"]
CONSTANTS = {"segmentation_2d": 0.9, "depth": 0.7}
P1 = [0.2, 0.4, 0.8]
SIZE = 8


def preset(**changes):
    recipe = {"optimizer": "sgd", "lr": 0.1, "batch_size": 64, "epochs": synthetic.EPOCHS}
    experiment = {
        "benchmark": "motorcycle",
        "task_sets": {"pair": TASKS},
        "architectures": {"family": "dense", "depth": [26], "width": [8, 16], "shared_layers": [0, 4]},
        "methods": {"single": {}, "grid": {"p1": P1}},
        "seeds": 2,
        **changes,
    }
    kinds = ("figure_c", "figure_2", "predictions")
    return {
        "description": "Numbers made up.",
        "benchmarks": {
            "motorcycle": {"domains": ["motorcycle"], "reference": "motorcycle", "model": {}, "recipe": recipe}
        },
        "experiments": {"pair": experiment},
        "artifacts": {kind: {"experiment": "pair"} for kind in kinds},
    }


def l1(cell, run, split, task):
    """Errors are least at p1 = 0.4 on validation and at 0.8 on test; joint training beats SD by 0.01 per width."""
    noise = 0.001 * run.seed
    base = {"segmentation_2d": 0.5, "depth": 0.6}[task] - 0.01 * (cell.architecture.shared_layers or 0)
    if cell.method == "single":
        return base + noise
    p1 = run.weights[0]
    best = {"validation": 0.4}.get(split, 0.8)
    return base - 0.01 * cell.architecture.width + 0.1 * abs(p1 - best) + noise


def example_rows(cell, run):
    """One test image; the prediction is the target plus a tenth of p, plus the seed."""

    def row(content, task, values):
        return {"example": 0, "content": content, "task": task, "shape": [SIZE, SIZE, 1], "values": values.ravel()}

    target = np.linspace(-1, 1, SIZE * SIZE)
    target[0] = np.nan
    rows = []
    if run is cell.runs[0]:
        image = np.arange(SIZE * SIZE * 3.0)
        rows.append({**row("image", None, image), "shape": [SIZE, SIZE, 3]})
        rows += [row("target", task, target) for task in cell.tasks]
    for task, weight in zip(cell.tasks, run.weights, strict=True):
        rows.append(row("prediction", task, np.linspace(-1, 1, SIZE * SIZE) + weight / 10 + run.seed))
    return rows


@pytest.fixture
def written(make_plan):
    """(changes to the experiment, **knobs) -> a plan whose run files are there."""

    def written(changes=None, **knobs):
        plan = make_plan(preset(**(changes or {})), **knobs)
        for cell in plan.cells.values():
            rows, examples = [], []
            for run in cell.runs:
                for task in cell.tasks:
                    for split in ("train", "validation", "test"):
                        for epoch in (2, synthetic.EPOCHS):
                            value = l1(cell, run, split, task) if epoch == synthetic.EPOCHS else 0.0
                            both = {"l1": value, "l1_constant": CONSTANTS[task]}
                            for metric, number in both.items():
                                rows.append(synthetic.row_of(cell, run, epoch, split, task, metric, number))
                shared = storage.EXAMPLE_SCHEMA.names[: storage.EXAMPLE_SCHEMA.get_field_index("example")]
                identity = {column: rows[-1].get(column) for column in shared}
                examples += [{**identity, **row} for row in example_rows(cell, run)]
            storage.write_run_file(plan.paths.run_file(cell), rows, {})
            table = pa.Table.from_pylist(examples, storage.EXAMPLE_SCHEMA)
            storage.write_example_file(plan.paths.examples_file(Shard(cell)), table)
        return plan

    return written


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]


def test_figure_2_flips_the_sign_and_takes_the_least_validation_loss(written):
    summary = analysis.summarize(written(), "figure_2")
    first = summary[summary["task"] == "segmentation_2d"]
    assert set(first["weight"]) == {0.4} and set(first["metric"]) == {"l1"}
    for row in summary.itertuples():
        # On test p1 = 0.4 is 0.04 worse than the best; joint training still wins where the network is wide.
        assert row.mean == pytest.approx(0.01 * row.width - 0.04) and row.std == pytest.approx(0, abs=1e-12)


def test_figure_c_has_the_error_of_the_best_constant(written, tmp_path):
    plan = written()
    summary, metadata = synthetic.read_back(plan, "figure_c", tmp_path)
    assert dict(summary.groupby("task")["constant"].first()) == CONSTANTS
    assert summary["constant"].notna().all()
    one = summary[(summary["width"] == 16) & (summary["shared_layers"] == 4) & (summary["task"] == "depth")]
    assert list(one[one["method"] == "grid"]["weight"]) == [0.8, 0.6, pytest.approx(0.2)]
    assert one[one["optimum"].astype(bool)]["weight"].item() == pytest.approx(0.6)
    figure = figures.draw("figure_c", summary, metadata)
    written_texts = texts(figure)
    assert "segmentation_2d test L1 loss (constant: 0.90)" in written_texts
    assert "depth test L1 loss (constant: 0.70)" in written_texts
    panels = [ax for ax in figure.get_axes() if ax.get_title().startswith("width")]
    assert [ax.get_title() for ax in panels] == ["width 8", "width 16"]
    assert {"shared layers 0", "shared layers 4"} <= {ax.get_ylabel() for ax in figure.get_axes()}


def test_figure_c_marks_capacities_that_are_not_selected(written, tmp_path):
    plan = written(only={"capacities": ["dense26_w8_shr0", "dense26_w16_shr0", "dense26_w8_shr4"]})
    summary, metadata = synthetic.read_back(plan, "figure_c", tmp_path)
    absent = summary[~summary["present"]]
    assert set(absent["architecture"]) == {"dense26_w16_shr4"} and absent["constant"].isna().all()
    assert texts(figures.draw("figure_c", summary, metadata)).count("not run") == 1


def test_predictions_are_those_of_the_chosen_weights(written, tmp_path):
    summary, metadata = synthetic.read_back(written(), "predictions", tmp_path)
    assert set(summary["architecture"]) == {"dense26_w16_shr4"}
    counts = summary.groupby("content").size()
    assert dict(counts) == {"image": 1, "target": 2, "single": 2, "joint": 2}
    by_content = summary.set_index(["content", "task"])
    for task, weight in (("segmentation_2d", 0.4), ("depth", 0.6)):
        assert by_content.loc[("joint", task), "weight"] == pytest.approx(weight)
        # p / 10 everywhere, the first pixel's target being unknown; the first of two seeds.
        assert by_content.loc[("joint", task), "l1"] == pytest.approx(weight / 10, abs=1e-6)
        assert by_content.loc[("single", task), "l1"] == pytest.approx(0.1, abs=1e-6)
    written_texts = texts(figures.draw("predictions", summary, metadata))
    assert "L1 0.04" in written_texts and "L1 0.06" in written_texts and written_texts.count("L1 0.10") == 2
    assert any("$p$ = 0.4" in t for t in written_texts)


def test_predictions_of_another_seed(written, tmp_path):
    changes = {
        "task_sets": {"pair": TASKS},
        "architectures": {"family": "dense", "depth": [26], "width": [8], "shared_layers": [0]},
    }
    plan = written(changes, only={"seeds": [1]})
    summary, _ = synthetic.read_back(plan, "predictions", tmp_path)
    assert set(summary["seed"].dropna()) == {1}
    assert summary[summary["content"] == "single"]["l1"].tolist() == pytest.approx([1.1, 1.1], abs=1e-6)


def test_error_names_the_damaged_file_of_predictions(written):
    plan = written()
    file = plan.paths.examples_file(Shard(plan.cells["motorcycle/pair/dense26_w16_shr4/grid/base"]))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=r"grid/base\.parquet.*delete it and run snakemake again"):
        analysis.summarize(plan, "predictions")
