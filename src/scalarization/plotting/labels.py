"""How figures and tables write numbers, units, and names of settings."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Written where a capacity was left out by ``only:``.
NOT_RUN = "not run"
#: Written where a run that diverged would have its value.
DIVERGED = "diverged"
#: Setting -> abbreviation of joint training.
JOINT = {"mdl": "MDL", "mtl": "MTL"}
#: Setting -> what one weight belongs to.
TASK = {"mdl": "domain", "mtl": "task"}
#: Metric -> unit of its values.
UNITS = {"accuracy": "%", "l1": "L1 loss"}
#: Metric -> unit of its differences.
DIFFERENCE_UNITS = {"accuracy": "percentage points", "l1": "L1 loss"}
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


def diverged_count(diverged: int, seeds: int) -> str:
    """How many of several runs diverged, as it follows :data:`DIVERGED`; empty of a single run."""
    return f"({diverged} of {seeds})" if seeds > 1 else ""


def settings_note(summary: pd.DataFrame, chosen: str) -> str:
    """A note on weight settings that could not be chosen because they diverged; empty if there are none.

    Args:
        summary: With the columns ``settings`` and ``settings_diverged``, any number of rows per condition.
        chosen: What was chosen among them.
    """
    condition = ["benchmark", "task_set", "variant", "architecture"]
    choices = summary[summary["settings"] > 1].drop_duplicates([name for name in condition if name in summary])
    diverged, settings = (int(choices[name].sum()) for name in ("settings_diverged", "settings"))
    return f"{chosen}: {diverged} of {settings} weight settings {DIVERGED} and cannot be chosen" if diverged else ""


def metric_of(summary: pd.DataFrame) -> str:
    """The metric of a summary's values."""
    return summary["metric"].dropna().iloc[0]


def axis_label(task: str, metric: str) -> str:
    """Label of an axis with test values of one task, with their unit."""
    return f"{task} test accuracy [%]" if metric == "accuracy" else f"{task} test {UNITS[metric]}"


def format_number(value: float, decimals: int, sign: bool = False) -> str:
    """A number with a typographic minus, which zero never has, and with a plus if ``sign``."""
    value = round(value, decimals) + 0.0
    return f"{value:{'+' if sign else ''}.{decimals}f}".replace("-", MINUS)


def format_mean(mean: float, std: float, decimals: int, sign: bool = False) -> str:
    """A mean, and its standard deviation on a second line if it has one. A setting compared with itself gives ``0``."""
    if mean == 0 and not (std > 0):
        return "0"
    deviation = "" if np.isnan(std) else f"\n±{format_number(std, decimals)}"
    return format_number(mean, decimals, sign) + deviation


def difference_decimals(metric: str, values: np.ndarray) -> int:
    """Number of decimals with which differences of a metric are written."""
    if metric != "accuracy":
        return 3
    return 2 if np.nanmax(np.abs(values), initial=0.0) < 10 else 1
