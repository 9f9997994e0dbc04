"""That the paper's numbers find the cells of preset `paper` which they are about: tables B, C, D, R table 1a, P."""

import csv
import dataclasses

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import synthetic_methods
from synthetic import columns_of

from scalarization import analysis, cli, compare, storage
from scalarization.analysis import _reported
from scalarization.config import load_config
from scalarization.errors import ConfigError, DataError
from scalarization.experiments import Plan

TABLES = ("table_b", "table_c", "table_d")
SUMMARISED = (*TABLES, "table_main", "rebuttal_table_1a")
#: What is added to a reported mean by seed; its mean over two or three seeds is not zero.
OFFSETS = (0.3, 0.1, 0.5, 0.1)


def published(name):
    with (_reported.DIRECTORY / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


#: Ours -> as printed in the tables, written out here once more.
PRINTED = {
    **{"uniform": "Uniform", "pbt": "PBT", "pb2": "PB2", "uncertainty": "Uncertainty", "imtl_l": "IMTL-L"},
    **{"cagrad": "CAGrad", "graddrop": "GradDrop", "pcgrad": "PCGrad"},
}
FULL = {"vit": 192, "resnet": 64}


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    """The plan of `paper` with run files of all cells of its tables: what is reported, plus an offset by seed."""
    knobs = {"preset": "paper", "results": str(tmp_path_factory.mktemp("results"))}
    plan = Plan(load_config(root / "config.yaml", knobs))
    reported = {}
    for row in published("accuracy"):
        key = (row["benchmark"], row["architecture"], float(row["width"]), row["method"], row["task"])
        reported[key] = float(row["accuracy_mean"])
    cells = {c.name: c for a in SUMMARISED for c in plan.artifact_cells(a)}
    for cell in cells.values():
        a = cell.architecture
        name = f"vit-s4-depth{a.depth}" if a.family == "vit" else f"{a.family}{a.depth}"
        place = (cell.benchmark, name, a.width / FULL[a.family], PRINTED.get(cell.method))
        rows = [
            {
                **columns_of(cell, member),
                "weights": list(member.weights),
                "epoch": cell.specification["epochs"],
                "split": split,
                "task": task,
                "metric": "accuracy",
                "value": reported.get((*place, task), 90.0) + OFFSETS[member.seed],
            }
            for member in cell.members
            for task in cell.tasks
            for split in ("validation", "test")
        ]
        storage.write_run_file(plan.run_file(cell), rows, cell.describe())
    synthetic_methods.write_costs(plan, name="celeba_costs")
    summaries = {artifact: analysis.summarize(plan, artifact) for artifact in (*SUMMARISED, "table_costs")}
    for artifact, summary in summaries.items():
        storage.write_table(plan.summary_file(artifact), pa.Table.from_pandas(summary, preserve_index=False))
    return plan, summaries


def test_all_reported_accuracies_stand_beside_a_cell(made):
    """All 530 rows of tables B, C, D belong to cells of the preset, each to one."""
    _, summaries = made
    joined = {}
    for artifact in TABLES:
        found = summaries[artifact]
        for row in found[found["reported_mean"].notna()].to_dict("records"):
            family = row["architecture"].split("_")[0].rstrip("0123456789")
            name = f"vit-s4-depth{row['depth']}" if family == "vit" else row["architecture"].split("_")[0]
            key = (row["benchmark"], name, row["width"] / FULL[family], PRINTED[row["method"]], row["task"])
            assert key not in joined
            joined[key] = (row["reported_mean"], row["reported_std"])
    wanted = {
        (r["benchmark"], r["architecture"], float(r["width"]), r["method"], r["task"]): (
            float(r["accuracy_mean"]),
            float(r["accuracy_std"]),
        )
        for r in published("accuracy")
    }
    assert len(wanted) == 2 * 7 * 7 + 6 * 8 * 9 == 530  # capacities x methods x (tasks and their average)
    assert joined == wanted


def test_differences_and_intervals_are_those_of_the_numbers_beside(made):
    _, summaries = made
    table = summaries["table_c"]
    row = table[(table["method"] == "pb2") & (table["task"] == "age") & (table["label"] == "PB2")].iloc[0]
    assert row["difference"] == pytest.approx(0.3)  # of 0.3, 0.1, 0.5
    # Deviation 0.2, t quantile of two degrees of freedom 4.3027: the half is 0.497.
    assert row["high"] - row["low"] == pytest.approx(2 * 0.4968, abs=1e-3) and row["inside"]
    table_b = summaries["table_b"].query("method == 'uniform' and architecture == 'resnet50_w64'")
    row = table_b[table_b["task"] == "real"].iloc[0]
    assert (row["seeds"], row["difference"]) == (2, pytest.approx(0.2))
    # Averages: tasks that move together deviate by 0.2, while the paper's formula makes 0.2 / sqrt(8) of it.
    average = table[(table["method"] == "uniform") & (table["task"] == "average")].iloc[0]
    assert average["std"] == pytest.approx(0.2) and average["paper_std"] == pytest.approx(0.2 / 8**0.5)


def test_reported_populations_stand_beside_their_searches(made):
    _, summaries = made
    found = summaries["rebuttal_table_1a"]
    joined = sorted(found["reported"].dropna())
    assert joined == sorted(float(row["accuracy_mean"]) for row in published("population"))
    assert len(joined) == 2 * 4 + 4 + 2  # E x N, their averages, uniform and RLW
    # 90.0 and 0.3, 0.1 more by seed: 90.2 -+ 12.71 * 0.141 / sqrt(2) = 88.93 to 91.47.
    row = found.query("population == 40 and epochs_ready == 3").iloc[0]
    assert row["difference"] == pytest.approx(90.2 - 90.37) and row["inside"]


# --- compare ---


def test_compare_has_all_that_is_reported(made):
    plan, _ = made
    assert compare.comparable(plan) == [*TABLES, "table_main", "table_costs", "rebuttal_table_1a"]
    found = {artifact: compare.compare(plan, artifact) for artifact in compare.comparable(plan)}
    assert [len(found[a].lines) for a in TABLES] == [2 * 7 * 7, 3 * 8 * 9, 3 * 8 * 9]
    assert {f.method for f in found["table_costs"].formulas} >= {"Uniform", "PCGrad", "GradDrop"}
    assert not any(f.absent for f in found.values())


def test_deviations_are_compared_like_with_like(made):
    plan, _ = made
    lines = {(line.place, line.method, line.what): line for line in compare.compare(plan, "table_d").lines}
    average = lines["celeba, groups8, vit_d9_w192", "Uniform", "average"]
    assert (average.theirs, average.theirs_std) == (91.17, 0.017)  # table D, 9 layers, full width
    assert average.paper_std == pytest.approx(0.2 / 8**0.5) and average.std == pytest.approx(0.2)
    task = lines["celeba, groups8, vit_d9_w192", "Uniform", "age"]
    assert task.paper_std == task.std == pytest.approx(0.2) and task.difference == pytest.approx(0.3)
    assert task.inside is True


def test_poster_is_a_reference_for_all_capacities(made):
    plan, _ = made
    lines = [line for line in compare.compare(plan, "table_main").lines if line.what == compare.POSTER]
    assert {line.place for line in lines if line.method == "PBT"} == {
        *(f"celeba, groups8, vit_d{d}_w{w}" for d in (6, 9) for w in (48, 96, 192)),
        *(f"domainnet, all6, resnet{d}_w{w}" for d in (26, 50, 101) for w in (16, 64)),
    }
    assert all(line.difference is None and line.inside is None for line in lines)
    assert {line.theirs for line in lines if line.method == "PBT"} == {91.15, 49.27}


def test_compare_prints_numbers_and_what_is_not_made(made, capsys, root, tmp_path):
    plan, _ = made
    knobs = ["--config", str(root / "config.yaml"), "--preset", "paper"]
    assert cli.main(["compare", *knobs, "--set", f"results={plan.config.results.parent}"]) == 0
    said = capsys.readouterr().out
    assert "table_c: celeba, groups8, vit_d6_w48" in said and "90.82" in said and "† " not in said
    assert "table_c: 216 numbers" in said and "not made yet" not in said
    assert cli.main(["compare", *knobs, "--set", f"results={tmp_path}"]) == 0
    said = capsys.readouterr().out
    missing = "not made yet: table_b, table_c, table_d, table_main, table_costs, rebuttal_table_1a"
    assert missing in " ".join(said.split())
    with pytest.raises(ConfigError, match="'figure_b' is no table with reported numbers; known: table_b"):
        compare.print_comparison(plan, ["figure_b"])
    assert cli.main(["compare", "--config", str(root / "config.yaml"), "--preset", "demo"]) == 0
    assert "preset demo has no table" in capsys.readouterr().out


@pytest.mark.parametrize("only", [{"capacities": ["vit_d9_w48"]}, {"seeds": [1]}, {"benchmarks": ["celeba"]}])
def test_compare_of_a_part(made, only, tmp_path, capsys):
    """What was left out is told, and nothing fails."""
    whole, _ = made
    plan = Plan(dataclasses.replace(whole.config, only=only))
    part = Plan(dataclasses.replace(whole.config, only=only, results=tmp_path))
    for artifact in set(compare.comparable(plan)) & set(plan.artifacts()) - {"table_costs"}:
        summary = analysis.summarize(plan, artifact)
        storage.write_table(part.summary_file(artifact), pa.Table.from_pandas(summary, preserve_index=False))
    compare.print_comparison(part)
    said = capsys.readouterr().out
    if "capacities" in only:
        assert compare.compare(part, "table_d").absent == (
            "celeba, groups8, vit_d9_w96",
            "celeba, groups8, vit_d9_w192",
        )
        assert "not run: celeba, groups8, vit_d9_w96" in said and "not made yet: table_b, table_c" in said
        assert len(compare.compare(part, "table_d").lines) == 8 * 9
    elif "seeds" in only:
        assert {line.inside for line in compare.compare(part, "table_c").lines} == {None}
    else:
        assert "not made yet: table_b" in said
        assert "domainnet, all6, resnet50_w16" in " ".join(compare.compare(part, "table_main").absent)


def test_damaged_and_old_summaries_are_named(made, tmp_path):
    whole, summaries = made
    plan = Plan(dataclasses.replace(whole.config, results=tmp_path))
    file = plan.summary_file("table_b")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"table_b\.parquet.*delete it"):
        compare.compare(plan, "table_b")
    old = summaries["table_b"].drop(columns="paper_std")
    pq.write_table(pa.Table.from_pandas(pd.DataFrame(old), preserve_index=False), file)
    with pytest.raises(DataError, match=r"table_b\.parquet: lacks column 'paper_std'"):
        compare.compare(plan, "table_b")
