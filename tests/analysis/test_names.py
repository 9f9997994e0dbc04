"""Labels, order and cost formulas of methods in tables, also of methods that declare little or are unknown."""

import dataclasses

import pandas as pd
import pytest

from scalarization import methods
from scalarization.analysis import names, profiles, reported_numbers, table_costs
from scalarization.methods.info import LOSS_BASED, MethodInfo

#: The methods of the paper and of this project as the tables list them; other methods may stand between them.
ORDER = {
    "Baseline": {"single": "SD"},
    "Scalarization": {
        "uniform": "Uniform",
        "proportional": "Proportional",
        "grid": "Grid, p*",
        "rlw": "RLW",
        "pbt": "PBT",
        "pb2": "PB2",
        "search_grid": "Grid search",
        "search_random": "Random search",
        "search_lr": "Uniform, searched lr",
    },
    "MTO, loss-based": {"uncertainty": "Uncertainty", "imtl_l": "IMTL-L", "dwa": "DWA", "famo": "FAMO"},
    "MTO, gradient-based": {
        "cagrad": "CAGrad",
        "graddrop": "GradDrop",
        "pcgrad": "PCGrad",
        "rotograd": "RotoGrad",
        "mgda": "MGDA",
        "imtl_g": "IMTL-G",
        "nash_mtl": "Nash-MTL",
        "aligned_mtl": "Aligned-MTL",
        "upgrad": "UPGrad",
    },
}
LISTED = [method for group in ORDER.values() for method in group]


def test_methods_have_the_labels_groups_and_order_of_the_tables():
    for group, labels in ORDER.items():
        for method, label in labels.items():
            assert names.describe(method) == {"group": group, "method": method, "label": label}
            assert names.LABELS[method] == label
    assert [method for method in names.LABELS if method in LISTED] == LISTED
    assert sorted(LISTED[::-1], key=names.order) == LISTED


def test_every_method_has_a_label():
    assert list(names.LABELS) == [method.name for method in methods.all_methods()]
    assert list(names.LABELS) == sorted(names.LABELS, key=names.order)


def test_an_unknown_method_comes_last_under_its_own_name():
    assert names.describe("new_method") == {"group": "Other methods", "method": "new_method", "label": "new_method"}
    assert sorted(["z_method", "new_method", *LISTED], key=names.order) == [*LISTED, "new_method", "z_method"]


def test_a_detail_follows_the_label():
    assert names.describe("pbt", "N=12")["label"] == "PBT, N=12"
    assert names.describe("pbt", "")["label"] == "PBT"


def measured(*measured_methods):
    row = {"benchmark": "b", "architecture": "vit_d1_w48", "batch_size": 64, "tasks": 2, "seconds_per_step": 0.01}
    row |= {"time_ratio": 1.0, "peak_bytes": 1, "memory_ratio": 1.0}
    rows = [{**row, **names.describe(method)} for method in measured_methods]
    return pd.DataFrame(rows)[list(profiles.TYPES)].astype(profiles.TYPES)


@pytest.mark.parametrize("declared", [True, False])
def test_a_method_without_formulas_has_nulls(monkeypatch, declared):
    if declared:
        method = MethodInfo("new_method", "New", LOSS_BASED, "loss", "New.", build=lambda options, num_tasks: None)
        monkeypatch.setitem(names.METHODS, "new_method", method)
    monkeypatch.setattr(profiles, "read_profile", lambda plan, artifact: measured("uniform", "new_method", "famo"))
    rows = table_costs.summarize(None, "table_costs").set_index("method")
    assert rows.loc["new_method", list(table_costs.FORMULAS)].isna().all()
    assert rows.loc["new_method", "tasks"] == 2
    assert rows.loc["famo", list(table_costs.FORMULAS)].tolist() == ["2", "1", "minor", "1"]
    unmeasured = set(reported_numbers.costs()) - {"uniform"}
    assert set(rows.index[rows["tasks"].isna()]) == unmeasured
    assert set(rows.index) == {"uniform", "new_method", "famo", *unmeasured}


def test_formulas_are_columns():
    formulas = methods.load("rotograd").formulas
    assert dataclasses.astuple(formulas) == ("1", "1", "T", "T (features)")
    assert set(table_costs.FORMULAS) <= set(table_costs.TYPES)
    assert {f"reported_{name}" for name in table_costs.FORMULAS} <= set(table_costs.TYPES)


def test_formulas_equal_those_of_the_rebuttal_except_for_rotograd():
    reported = {m: tuple(row[n] for n in table_costs.FORMULAS) for m, row in reported_numbers.costs().items()}
    assert {m for m in reported if dataclasses.astuple(methods.load(m).formulas) != reported[m]} == {"rotograd"}
