"""Predictions of dense tasks: test images, and for each task the target and the predictions of both models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage

from scalarization.plotting import divergence, labels, style

#: Tasks per line.
TASKS_PER_LINE = 2
#: Percentiles of the target values at which the colour scale begins and ends.
PERCENTILES = (1, 99)
MAP_COLOURS = "cividis"
CONTENTS = ("target", "single", "joint")
#: Lowest and highest value of an image.
IMAGE_LIMITS = np.array([[0.0], [255.0]])


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.predictions``: one line per test image, a block of lines per two tasks."""
    tasks = list(dict.fromkeys(summary["task"].dropna()))
    examples = sorted(summary["example"].unique())
    blocks = [tasks[first : first + TASKS_PER_LINE] for first in range(0, len(tasks), TASKS_PER_LINE)]
    tile = style.TEXT_WIDTH / (1 + TASKS_PER_LINE * len(CONTENTS))
    height = tile * len(examples) + 0.75
    figure = style.new_figure(height * len(blocks))
    joint = labels.JOINT[metadata["setting"]]
    for block, parent in zip(blocks, style.stack(figure, [1] * len(blocks)), strict=True):
        axes = parent.subplots(len(examples), 1 + len(CONTENTS) * len(block), squeeze=False)
        images = summary[summary["content"] == "image"].drop_duplicates("example").set_index("example")
        for row, example in enumerate(examples):
            _draw_map(axes[row, 0], images.loc[example], IMAGE_LIMITS)
        axes[0, 0].set_title("image")
        for number, task in enumerate(block):
            columns = axes[:, 1 + len(CONTENTS) * number :]
            _draw_task(parent, columns, summary[summary["task"] == task], examples, joint)
    return figure


def _draw_task(parent: SubFigure, axes: np.ndarray, rows: pd.DataFrame, examples: list[int], joint: str) -> None:
    """Draw one task: a line per example, columns for the target and the predictions."""
    limits = _limits(rows[rows["content"] == "target"])
    for line, example in zip(axes, examples, strict=True):
        for ax, content in zip(line, CONTENTS, strict=False):
            row = rows[(rows["example"] == example) & (rows["content"] == content)].iloc[0]
            if content != "target" and row["diverged"]:
                divergence.mark_panel(ax)
                ax.set_yticks([])
                continue
            image = _draw_map(ax, row, limits)
            if content != "target":
                ax.set_xlabel(f"L1 {row['l1']:.2f}", fontsize=6, labelpad=1)
    weight = rows[rows["content"] == "joint"]["weight"].iloc[0]
    p = "" if np.isnan(weight) else f"\n$p$ = {weight:.2g}"
    titles = (f"{rows['task'].iloc[0]}\ntarget", "SD", f"{joint} at $p^*${p}")
    for ax, title in zip(axes[0], titles, strict=False):
        ax.set_title(title)
    if len(limits[0]) == 1:
        panels = list(axes[:, : len(CONTENTS)].flat)
        bar = parent.colorbar(image, ax=panels, orientation="horizontal", aspect=40, pad=0.02)
        bar.set_label("standard deviations from the training mean", fontsize=6)
        bar.ax.tick_params(labelsize=6)


def _limits(targets: pd.DataFrame) -> np.ndarray:
    """Values at the ends of the colour scale, [2, channels]."""
    channels = targets["shape"].iloc[0][2]
    values = np.concatenate([np.asarray(v).reshape(-1, channels) for v in targets["values"]])
    return np.nanpercentile(values, PERCENTILES, axis=0)


def _draw_map(ax: Axes, row: pd.Series, limits: np.ndarray) -> AxesImage:
    """Draw one map. Three channels become red, green and blue; unknown values are white."""
    values = np.asarray(row["values"], dtype=float).reshape(*row["shape"])
    ax.set(xticks=[], yticks=[])
    if values.shape[2] == 1:
        return ax.imshow(np.ma.masked_invalid(values[..., 0]), MAP_COLOURS, vmin=limits[0, 0], vmax=limits[1, 0])
    unknown = np.any(np.isnan(values), axis=2, keepdims=True)
    scaled = np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1)
    return ax.imshow(np.where(unknown, 1.0, scaled))
