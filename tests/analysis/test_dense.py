"""Figure C, figure 2 and predictions of dense tasks: from run files with known numbers to what is drawn."""

import pytest
import synthetic
import synthetic_dense
from matplotlib.text import Text

from scalarization import analysis, figures
from scalarization.errors import DataError
from scalarization.plan.cells import Shard


@pytest.fixture
def written(make_plan):
    """(changes to the experiment, **knobs) -> a plan whose run files and predictions are there."""

    def written(changes=None, **knobs):
        plan = make_plan(synthetic_dense.preset(**(changes or {})), **knobs)
        synthetic_dense.write(plan)
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
    assert dict(summary.groupby("task")["constant"].first()) == synthetic_dense.CONSTANTS
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
        "task_sets": {"pair": synthetic_dense.TASKS},
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
    with pytest.raises(DataError, match=r"grid/base\.parquet.*damaged"):
        analysis.summarize(plan, "predictions")
