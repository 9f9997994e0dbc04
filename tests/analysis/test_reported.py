"""Every number that the paper reports is listed with its cell of preset `paper`: tables B, C, D, rebuttal table 1a."""

import csv

import pyarrow as pa
import pytest
import synthetic
import synthetic_methods
from scipy import stats

from scalarization import analysis, storage
from scalarization.analysis import reported_numbers
from scalarization.config import load_config
from scalarization.plan import artifacts, load_plan
from scalarization.reports.compare import print_comparison

TABLES = ("table_b", "table_c", "table_d")
SUMMARIZED = (*TABLES, "table_main", "rebuttal_table_1a", "table_costs")
#: Added to a reported mean, by seed; the mean of the first two and of the first three is not zero.
OFFSETS = (0.3, 0.1, 0.5, 0.1)


def published(name):
    with (reported_numbers.DIRECTORY / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


#: Our name -> as printed in the tables, independent of the code.
PRINTED = {
    **{"uniform": "Uniform", "pbt": "PBT", "pb2": "PB2", "uncertainty": "Uncertainty", "imtl_l": "IMTL-L"},
    **{"cagrad": "CAGrad", "graddrop": "GradDrop", "pcgrad": "PCGrad"},
}
FULL = {"vit": 192, "resnet": 64}


@pytest.fixture(scope="module")
def plan(root, tmp_path_factory):
    """The plan of `paper` with run files of all cells of its tables: what is reported, plus an offset by seed."""
    knobs = {"preset": "paper", "results": str(tmp_path_factory.mktemp("results"))}
    plan = load_plan(load_config(root / "config.yaml", knobs))
    reported = {}
    for row in published("accuracy"):
        key = (row["benchmark"], row["architecture"], float(row["width"]), row["method"], row["task"])
        reported[key] = float(row["accuracy_mean"])
    cells = {c.name: c for a in SUMMARIZED for c in artifacts.cells_of(plan, a)}
    for cell in cells.values():
        a = cell.architecture
        name = f"vit-s4-depth{a.depth}" if a.family == "vit" else f"{a.family}{a.depth}"
        reported_cell = (cell.benchmark, name, a.width / FULL[a.family], PRINTED.get(cell.method))

        def formula(cell, run, split, task, metric, reported_cell=reported_cell):
            return reported.get((*reported_cell, task), 90.0) + OFFSETS[run.seed]

        synthetic.write_cell(plan, cell, formula)
    synthetic_methods.write_profile(plan, name=plan.preset.artifacts["table_costs"].profile)
    return plan


@pytest.fixture(scope="module")
def summaries(plan):
    """Artifact -> its summary."""
    return {artifact: analysis.summarize(plan, artifact) for artifact in SUMMARIZED}


def test_all_reported_accuracies_are_listed_with_a_cell(summaries):
    """Each of the 530 rows of tables B, C, D belongs to one cell of the preset."""
    joined = {}
    for artifact in TABLES:
        summary = summaries[artifact]
        for row in summary[summary["reported_mean"].notna()].to_dict("records"):
            family = row["architecture"].split("_")[0].rstrip("0123456789")
            name = f"vit-s4-depth{row['depth']}" if family == "vit" else row["architecture"].split("_")[0]
            key = (row["benchmark"], name, row["width"] / FULL[family], PRINTED[row["method"]], row["task"])
            assert key not in joined
            joined[key] = (row["reported_mean"], row["reported_std"])
    expected = {
        (r["benchmark"], r["architecture"], float(r["width"]), r["method"], r["task"]): (
            float(r["accuracy_mean"]),
            float(r["accuracy_std"]),
        )
        for r in published("accuracy")
    }
    assert len(expected) == 2 * 7 * 7 + 6 * 8 * 9 == 530  # capacities x methods x (tasks and their average)
    assert joined == expected


def test_differences_and_intervals_are_those_of_the_numbers_compared(summaries):
    table = summaries["table_c"]
    row = table[(table["method"] == "pb2") & (table["task"] == "age") & (table["label"] == "PB2")].iloc[0]
    assert row["difference"] == pytest.approx(0.3)  # of 0.3, 0.1, 0.5
    # Deviation 0.2, t quantile of two degrees of freedom 4.3027: the half is 0.497.
    # All lines have the same deviations, which leaves no residual to be pooled.
    assert row["high"] - row["low"] == pytest.approx(2 * 0.4968, abs=1e-3) and row["pooled_lines"] == 1
    # Welch: theirs is 0.12 over 3 seeds.
    expected = stats.ttest_ind_from_stats(0.3, 0.2, 3, 0.0, 0.12, 3, equal_var=False).pvalue
    assert row["difference_p"] == pytest.approx(expected) and not row["differs"]
    table_b = summaries["table_b"].query("method == 'uniform' and architecture == 'resnet50_w64'")
    row = table_b[table_b["task"] == "real"].iloc[0]
    assert (row["seeds"], row["difference"]) == (2, pytest.approx(0.2))
    # Averages: tasks that move together deviate by 0.2, while the paper's formula makes 0.2 / sqrt(8) of it.
    average = table[(table["method"] == "uniform") & (table["task"] == "average")].iloc[0]
    assert average["std"] == pytest.approx(0.2) and average["paper_std"] == pytest.approx(0.2 / 8**0.5)


def test_reported_populations_are_listed_with_their_searches(summaries):
    summary = summaries["rebuttal_table_1a"]
    joined = sorted(summary["reported"].dropna())
    assert joined == sorted(float(row["accuracy_mean"]) for row in published("population"))
    assert len(joined) == 2 * 4 + 4 + 2  # E x N, their averages, uniform and RLW
    # 90.0 and 0.3, 0.1 more by seed: 90.2 -+ 12.71 * 0.141 / sqrt(2) = 88.93 to 91.47.
    row = summary.query("population == 40 and epochs_ready == 3").iloc[0]
    assert row["difference"] == pytest.approx(90.2 - 90.37) and row["within_ci"]


def test_all_summaries_with_reported_numbers_can_be_compared(plan, summaries, capsys):
    for artifact, summary in summaries.items():
        table = pa.Table.from_pandas(summary, preserve_index=False)
        storage.write_table(plan.paths.summary_file(artifact), table, analysis.metadata(plan, artifact))
    print_comparison(plan, SUMMARIZED)
    printed = " ".join(capsys.readouterr().out.split())
    numbers = {"table_b": 2 * 7 * 7, "table_c": 3 * 8 * 9, "table_d": 3 * 8 * 9, "rebuttal_table_1a": 14}
    for artifact, count in numbers.items():
        assert f"{artifact}: {count} numbers, mean absolute difference" in printed
    assert "table_costs: no differences" in printed and "not made yet" not in printed
