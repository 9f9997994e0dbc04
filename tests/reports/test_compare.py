"""Our numbers and those of the paper, as the verb `compare` prints them."""

import pandas as pd
import pyarrow as pa
import pytest

from scalarization import analysis, cli
from scalarization.config import load_config
from scalarization.errors import ConfigError, DataError
from scalarization.plan import artifacts, load_plan
from scalarization.reports.compare import comparable, print_comparison
from scalarization.storage import write_table

#: Two tasks of table C with three seeds, a capacity that was not run, and a number of the authors' poster.
METHODS = pd.DataFrame(
    {
        "benchmark": "celeba",
        "task_set": ["groups8", "groups8", "groups8", None],
        "architecture": ["vit_d6_w48", "vit_d6_w48", "vit_d6_w96", None],
        "label": ["PBT", "PBT", None, "PBT"],
        "task": ["average", "age", "average", "average"],
        "present": [True, True, False, True],
        "mean": [91.0, 88.5, None, None],
        "reported_mean": [90.82, 88.0, None, 91.15],
        "reported_std": [0.02, 0.1, None, None],
        "difference": [0.18, 0.5, None, None],
        "differs": pd.array([False, True, None, None], dtype="boolean"),
    }
)
#: Formulas of two methods, each measured with two numbers of tasks; the second method is not in the paper's table.
FORMULAS = pd.DataFrame(
    {
        "benchmark": "celeba",
        "architecture": "vit_d6_w96",
        "label": ["PCGrad", "PCGrad", "UPGrad"],
        "tasks": [2, 8, 2],
        "backward_passes": ["T", "T", "T"],
        "reported_backward_passes": ["T-1", "T-1", None],
    }
)


@pytest.fixture
def plan(root, tmp_path):
    return load_plan(load_config(root / "config.yaml", {"preset": "paper", "results": str(tmp_path)}))


def write(plan, artifact, summary):
    kind = artifacts.kind_of(plan, artifact)
    complete = summary.reindex(columns=[*dict.fromkeys([*kind.columns, *summary.columns])])
    table = pa.Table.from_pandas(complete, preserve_index=False)
    write_table(plan.paths.summary_file(artifact), table, analysis.metadata(plan, artifact))


def lines(printed, *words):
    """Lines with all of these words, cut into cells."""
    return [
        [cell.strip() for cell in line.strip("│ ").split("│")]
        for line in printed.splitlines()
        if all(word in line for word in words)
    ]


def test_tables_about_the_paper_are_comparable(plan):
    names = comparable(plan)
    assert set(names) >= {"table_b", "table_c", "table_d", "table_main", "table_costs", "rebuttal_table_1a"}
    assert not {name for name in names if name.startswith("figure")}


def test_numbers_differences_and_intervals(plan, capsys):
    write(plan, "table_c", METHODS)
    print_comparison(plan, ["table_c"])
    printed = capsys.readouterr().out
    average, poster = lines(printed, "PBT, average")
    assert average == ["celeba, groups8, vit_d6_w48, PBT, average", "91.00", "90.82", "0.18", "no"]
    assert poster == ["celeba, PBT, average", "-", "91.15", "-", "-"]
    ((*_, differs),) = lines(printed, "PBT, age")
    assert differs == "yes"
    conclusion = "2 numbers, mean absolute difference 0.34, 1 of 2 differ by Welch's t test, corrected over the table"
    assert f"table_c: not run: celeba vit_d6_w96; {conclusion}" in printed


def test_one_seed_has_no_interval(plan, capsys):
    write(plan, "table_c", METHODS.assign(differs=pd.array([None] * 4, dtype="boolean")))
    print_comparison(plan, ["table_c"])
    assert "mean absolute difference 0.34, one seed" in capsys.readouterr().out


def test_formulas_are_printed_once_per_method(plan, capsys):
    write(plan, "table_costs", FORMULAS)
    print_comparison(plan, ["table_costs"])
    printed = capsys.readouterr().out
    assert lines(printed, "PCGrad") == [["celeba, vit_d6_w96, PCGrad", "T", "T-1"]] and "UPGrad" not in printed


def test_tables_that_are_not_made_are_named(plan, capsys, root):
    write(plan, "table_c", METHODS)
    print_comparison(plan, [])
    printed = " ".join(capsys.readouterr().out.split())
    missing = [name for name in comparable(plan) if name != "table_c"]
    assert f"not made yet: {', '.join(missing)}; make one: snakemake" in printed
    assert cli.main(["compare", "--config", str(root / "config.yaml"), "--preset", "demo"]) == 0
    assert "preset demo has no table" in capsys.readouterr().out


def test_other_artifacts_are_refused(plan):
    with pytest.raises(ConfigError, match=r"'figure_b' is no table with reported numbers; known: .*table_b"):
        print_comparison(plan, ["figure_b"])


def test_damaged_summaries_are_named(plan):
    file = plan.paths.summary_file("table_b")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"table_b\.parquet: damaged or foreign"):
        print_comparison(plan, ["table_b"])


def test_summaries_without_rows_are_named(plan):
    write(plan, "table_b", METHODS.iloc[:0])
    with pytest.raises(DataError, match=r"summary/table_b\.parquet: it has no rows; delete it"):
        print_comparison(plan, ["table_b"])


def test_diverged_runs_have_no_difference_and_are_counted(plan, capsys):
    diverged = METHODS.assign(seeds=[2, 2, 0, 0], diverged=[1, 0, 0, 0])
    diverged.loc[0, ["mean", "difference", "differs"]] = None
    write(plan, "table_c", diverged)
    print_comparison(plan, ["table_c"])
    printed = capsys.readouterr().out
    average, _ = lines(printed, "PBT, average")
    assert (
        average
        == ["celeba, groups8, vit_d6_w48, PBT, average", *["diverged (1 of 2)"], "90.82"] + ["diverged (1 of 2)"] * 2
    )
    conclusion = "diverged: 1 of 2 entries; 1 numbers, mean absolute difference 0.50, 1 of 1 differ by Welch's t test"
    assert f"table_c: not run: celeba vit_d6_w96; {conclusion}" in printed
