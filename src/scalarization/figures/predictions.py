"""Predictions: test images, and for each task the target beside what single-task and joint training predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scalarization.figures import _style

#: Tasks beside each other.
TASKS = 2
#: Share of the values that colours reach over; the rest is cut off.
PERCENTILES = (1, 99)
MAP_COLOURS = "cividis"
CONTENTS = ("target", "single", "joint")


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.predictions``'s summary: a line per test image, a block of lines per two tasks."""
    tasks = list(dict.fromkeys(summary["task"].dropna()))
    examples = sorted(summary["example"].unique())
    blocks = [tasks[first : first + TASKS] for first in range(0, len(tasks), TASKS)]
    tile = _style.WIDTH / (1 + TASKS * len(CONTENTS))
    height = tile * len(examples) + 0.75
    figure = _style.new_figure(height * len(blocks))
    joint = _style.JOINT[facts["setting"]]
    for block, parent in zip(blocks, np.atleast_1d(figure.subfigures(len(blocks), 1)), strict=True):
        axes = parent.subplots(len(examples), 1 + len(CONTENTS) * len(block), squeeze=False)
        for row, example in enumerate(examples):
            here = summary[summary["example"] == example]
            _show(axes[row, 0], here[here["content"] == "image"].iloc[0], np.array([[0.0], [255.0]]))
        axes[0, 0].set_title("image")
        for number, task in enumerate(block):
            of_task = summary[summary["task"] == task]
            limits = _limits(of_task[of_task["content"] == "target"])
            columns = axes[:, 1 + len(CONTENTS) * number :]
            for row, example in enumerate(examples):
                for column, content in enumerate(CONTENTS):
                    found = of_task[(of_task["example"] == example) & (of_task["content"] == content)].iloc[0]
                    shown = _show(columns[row, column], found, limits)
                    if content != "target":
                        columns[row, column].set_xlabel(f"L1 {found['l1']:.2f}", fontsize=6, labelpad=1)
            weight = of_task[of_task["content"] == "joint"]["weight"].iloc[0]
            titles = (f"{task}\ntarget", "SD", f"{joint} at $p^*$\n$p$ = {weight:.2g}")
            for ax, title in zip(columns[0], titles, strict=False):
                ax.set_title(title)
            if len(limits[0]) == 1:
                label = "standard deviations from the training mean"
                bar = parent.colorbar(
                    shown, ax=list(columns[:, : len(CONTENTS)].flat), orientation="horizontal", aspect=40, pad=0.02
                )
                bar.set_label(label, fontsize=6)
                bar.ax.tick_params(labelsize=6)
    return figure


def _limits(targets: pd.DataFrame) -> np.ndarray:
    """Values at the ends of the colours, [2, channels]."""
    channels = targets["shape"].iloc[0][2]
    values = np.concatenate([np.asarray(v).reshape(-1, channels) for v in targets["values"]])
    return np.nanpercentile(values, PERCENTILES, axis=0)


def _show(ax: Axes, found: pd.Series, limits: np.ndarray) -> Any:
    """One map; three channels are shown as colours, what is not known is white."""
    values = np.asarray(found["values"], dtype=float).reshape(*found["shape"])
    ax.set(xticks=[], yticks=[])
    if values.shape[2] == 1:
        return ax.imshow(np.ma.masked_invalid(values[..., 0]), MAP_COLOURS, vmin=limits[0, 0], vmax=limits[1, 0])
    unknown = np.isnan(values).any(axis=2)
    scaled = np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1)
    return ax.imshow(np.where(unknown[..., None], 1.0, scaled))
