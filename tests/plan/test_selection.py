"""A part of a preset, selected with `only:`."""

import pytest

from scalarization.errors import ConfigError
from scalarization.plan import artifacts


def test_only_some_capacities_and_seeds(smoke, make_plan):
    whole = make_plan(smoke)
    part = make_plan(smoke, only={"capacities": ["vit_d1_w16"], "seeds": [1]})
    assert set(part.cells) == {name for name in whole.cells if "vit_d1_w16" in name}
    for name, cell in part.cells.items():
        # The same runs under the same numbers, so that a part can be completed later.
        assert cell.runs == tuple(run for run in whole.cells[name].runs if run.seed == 1)
    assert artifacts.selected(part) == artifacts.selected(whole)
    assert part.experiments == whole.experiments


def test_only_leaves_out_artifacts_without_any_cell(smoke, make_plan):
    experiment = smoke["experiments"]["digits_pair"]
    smoke["experiments"]["wide"] = {**experiment, "architectures": {"family": "vit", "depth": [1], "width": [32]}}
    smoke["artifacts"]["figure_b_wide"] = {"kind": "figure_b", "experiment": "wide"}
    assert "figure_b_wide" in artifacts.selected(make_plan(smoke))
    part = make_plan(smoke, only={"capacities": ["vit_d1_w8"]})
    assert artifacts.selected(part) == [a for a in smoke["artifacts"] if a != "figure_b_wide"]


def test_only_leaves_out_artifacts_of_whose_experiments_only_a_search_is_selected(shipped_plan):
    plan = shipped_plan("paper", only={"benchmarks": ["celeba"], "capacities": ["vit_d6_w48"]})
    assert set(plan.searches) == {"celeba_pbt/vit_d6_w48", "celeba_pb2/vit_d6_w48"}
    selected = artifacts.selected(plan)
    assert {"figure_e", "table_c"} <= set(selected)
    assert not {"table_search_on", "table_d", "rebuttal_table_2", "rebuttal_figure_2"} & set(selected)


def test_a_selection_of_nothing_stops(smoke, make_plan):
    smoke["experiments"]["other"] = {**smoke["experiments"]["digits_pair"], "seeds": 3}
    smoke["experiments"]["other"]["architectures"] = {"family": "vit", "depth": [1], "width": [32]}
    with pytest.raises(ConfigError, match=r"only = .*vit_d1_w8.*nothing"):
        make_plan(smoke, only={"capacities": ["vit_d1_w8"], "seeds": [2]})


def test_only_one_benchmark_of_the_paper_leaves_out_the_others(shipped_plan):
    celeba = shipped_plan("paper", only={"benchmarks": ["celeba"]})
    assert {cell.benchmark for cell in (*celeba.cells.values(), *celeba.counted.values())} == {"celeba"}
    assert {search.cell.benchmark for search in celeba.searches.values()} == {"celeba"}
    assert set(celeba.profiles) == {"celeba_costs"} and len(celeba.benchmarks) == 4
    assert artifacts.selected(celeba) == [
        *("claims", "claims_forest", "claims_reported"),
        *("figure_2_celeba", "figure_3", "rebuttal_figure_1a", "rebuttal_figure_1b", "table_a", "table_c", "table_d"),
        *("table_main", "table_costs", "figure_1", "figure_e", "rebuttal_table_1a", "rebuttal_table_2"),
        *("rebuttal_figure_2", "table_search_on", "table_search_cost"),
    ]
    assert not shipped_plan("paper", only={"benchmarks": ["cifar_stl"]}).profiles


def test_only_selects_counted_cells(tiny, make_plan, with_conflicts):
    with_conflicts(tiny, architectures={"family": "vit", "depth": [1, 2], "width": [8]}, seeds=2)
    part = make_plan(tiny, only={"capacities": ["vit_d1_w8"], "seeds": [1]})
    assert [(c.architecture.name, [run.seed for run in c.runs]) for c in part.counted.values()] == [("vit_d1_w8", [1])]
    assert not part.cells and artifacts.selected(part) == ["figure_3"]
    assert list(make_plan(tiny, only={"seeds": [0]}).counted) == list(make_plan(tiny).counted)


def test_a_search_that_a_selected_cell_needs_is_selected(shipped_plan):
    """Even if it trained another architecture."""
    whole = shipped_plan("smoke")
    part = shipped_plan("smoke", only={"benchmarks": ["emoji_people"], "capacities": ["vit_d1_w8"]})
    needed = {search.name for cell in part.cells.values() if (search := part.search_of(cell))}
    assert "three_pbt/vit_d1_w4" in needed <= set(part.searches) <= set(whole.searches)
    assert part.all_searches == whole.all_searches
