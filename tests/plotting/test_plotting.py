"""What figures and tables share: numbers as text, capacity grids, heat maps, the order of tasks."""

import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import Normalize

from scalarization.plotting import heatmaps, labels, style, task_sets
from scalarization.plotting.capacities import CapacityGrid

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "decimals", "sign", "text"),
    [
        (1.234, 2, False, "1.23"),
        (-1.5, 1, False, f"{MINUS}1.5"),
        (-0.001, 2, False, "0.00"),
        (0.5, 1, True, "+0.5"),
        (-0.04, 1, True, "+0.0"),
    ],
)
def test_numbers_have_a_typographic_minus_and_zero_has_none(value, decimals, sign, text):
    assert labels.format_number(value, decimals, sign) == text


def test_a_mean_of_one_seed_has_no_deviation_and_no_difference_is_zero():
    assert labels.format_mean(1.25, 0.5, 2, sign=True) == "+1.25\n±0.50"
    assert labels.format_mean(-1.25, np.nan, 1) == f"{MINUS}1.2"
    assert labels.format_mean(0.0, np.nan, 2) == labels.format_mean(0.0, 0.0, 2) == "0"
    assert labels.format_mean(0.0, 0.5, 1) == "0.0\n±0.5"


def test_large_differences_of_accuracy_have_one_decimal():
    assert labels.difference_decimals("accuracy", np.array([-9.9, np.nan])) == 2
    assert labels.difference_decimals("accuracy", np.array([12.0, 0.1])) == 1
    assert labels.difference_decimals("l1", np.array([12.0])) == 3


def capacities(*triples):
    frame = pd.DataFrame(triples, columns=["depth", "shared_layers", "width"])
    return frame.astype({"shared_layers": "Int64"}).assign(value=np.arange(len(triples), dtype=float))


def test_a_grid_has_all_capacities_in_increasing_order():
    summary = capacities((6, None, 96), (3, None, 48), (3, None, 96))
    grid = CapacityGrid.from_summary(summary)
    assert (grid.row_quantity, grid.row_labels(), grid.widths) == ("depth", ["3", "6"], (48, 96))
    np.testing.assert_array_equal(grid.matrix(summary, "value"), [[1, 2], [np.nan, 0]])
    assert list(grid) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_rows_are_named_after_what_differs_between_them():
    same_depth = CapacityGrid.from_summary(capacities((26, 2, 16), (26, 0, 16)))
    assert (same_depth.row_quantity, same_depth.row_labels()) == ("shared layers", ["0", "2"])
    both = CapacityGrid.from_summary(capacities((26, 2, 16), (50, 0, 16)))
    assert (both.row_quantity, both.row_labels()) == ("depth", ["26, shr 2", "50, shr 0"])


def test_the_reference_domain_is_first_and_a_pair_has_one_weight():
    metadata = {"reference": "b", "task_sets": {"pair": ["a", "b"], "three": ["a", "b", "c"]}}
    assert task_sets.task_order(metadata, "three") == ["b", "a", "c"]
    assert task_sets.weight_tasks(metadata, "pair") == ["b"]
    assert task_sets.weight_tasks(metadata, "three") == ["b", "a", "c"]


def test_labels_of_task_sets_name_variants_if_there_are_several():
    summary = pd.DataFrame({"task_set": ["one", "two", "one"], "variant": ["base", "base", "slow"]})
    assert [label for _, label, _ in task_sets.by_task_set(summary)] == ["one, base", "two, base", "one, slow"]
    assert [label for _, label, _ in task_sets.by_task_set(summary[:2])] == ["one", "two"]


def test_heat_maps_hatch_missing_cells_and_keep_labels():
    values = np.array([[0.0, np.nan], [1.0, 0.5]])
    texts = heatmaps.cell_texts(values, lambda cell: f"{values[cell]:g}")
    axes = style.new_figure(2.0).subplots()
    axes.set(xlabel="width", ylabel="depth")
    with warnings.catch_warnings(action="error"):
        heatmaps.draw_heatmap(axes, values, texts, Normalize(0, 1), "viridis", 6, np.full(values.shape, ""))
    assert [text.get_text() for text in axes.texts if text.get_text()] == ["0", "1", "0.5"]
    assert [text.get_color() for text in axes.texts if text.get_text()][:2] == ["white", "black"]
    assert [(patch.get_x(), patch.get_y()) for patch in axes.patches if patch.get_hatch()] == [(1, 0)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("width", "depth")


def test_there_are_no_error_bars_with_one_seed():
    assert style.error_bars(pd.Series([np.nan, np.nan])) is None
    assert style.error_bars(pd.Series([0.5, np.nan])).tolist() == [0.5, 0.0]
