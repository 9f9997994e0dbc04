"""Our numbers and those of the paper, from the summaries of tables: what ``python -m scalarization compare`` prints.

A summary has the reported value of a column ``x`` in the column ``reported_x``, and that of ``mean`` in
``reported_mean`` or ``reported``. ``difference`` is ours - theirs. Where the paper reports a deviation, ``differs``
says whether the two means differ by Welch's t test, corrected over the table; else ``within_ci`` says whether theirs is
within the 95 % interval of our mean. Where one of our runs diverged there is neither, and the line says so. The
authors' poster does not state the capacity: its numbers have lines of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from rich.table import Table

from scalarization.analysis.summaries import check_summary
from scalarization.errors import ConfigError, MissingError
from scalarization.plan import Plan, artifacts
from scalarization.plotting.labels import DIVERGED, diverged_count
from scalarization.reports import new_console
from scalarization.storage import read_metadata, read_table

CONDITION = ("benchmark", "task_set", "variant", "architecture", "label")
VERDICTS = {"within_ci": "within our 95 % interval", "differs": "differ by Welch's t test, corrected over the table"}
SETTING = ("population", "epochs_ready", "quantile", "task", "metric")
#: Columns that say what a row is about; each summary has some of them.
IDENTITY = (*CONDITION, *SETTING)


def comparable(plan: Plan) -> list[str]:
    """Tables of the preset, selected or not, about a benchmark for which the paper reports numbers."""
    tables = [a for a in plan.preset.artifacts if artifacts.kind_of(plan, a).output == "table"]
    return [a for a in tables if any(plan.benchmarks[b].reported for b in _benchmarks(plan, a))]


def print_comparison(plan: Plan, names: Iterable[str] = ()) -> None:
    """Print our values and the reported ones of every table, or of some tables; name the tables not made yet.

    Raises:
        ConfigError: A name is not that of a table about a benchmark for which the paper reports numbers.
        DataError: A summary is damaged, has no rows, or lacks a column.
    """
    known = comparable(plan)
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"compare: '{unknown[0]}' is no table with reported numbers; known: {', '.join(known)}")
    console, missing = new_console(), []
    for name in names or known:
        summary = _read(plan, name)
        if summary is None:
            missing.append(name)
            continue
        if pairs := _pairs(summary):
            console.print(_table(name, summary, pairs))
        console.print(f"{name}: {_conclusion(summary)}", markup=False)
    if not known:
        console.print(f"preset {plan.config.preset_name} has no table with numbers that the paper reports")
    if missing:
        preset = plan.config.preset_name
        console.print(f"not made yet: {', '.join(missing)}; make one: snakemake --cores all NAME (preset {preset})")


def _benchmarks(plan: Plan, artifact: str) -> set[str]:
    """The benchmarks that an artifact is about."""
    profile = plan.preset.artifacts[artifact].profile
    experiments = {plan.preset.experiments[name].benchmark for name in artifacts.experiments_of(plan, artifact)}
    return experiments | ({plan.preset.profiles[profile].benchmark} if profile else set())


def _read(plan: Plan, artifact: str) -> pd.DataFrame | None:
    """The summary of a table; None if it is not made yet."""
    file = plan.paths.summary_file(artifact)
    try:
        summary = read_table(file, "summary").to_pandas()
    except MissingError:
        return None
    check_summary(artifacts.kind_of(plan, artifact).name, summary, read_metadata(file))
    return summary


def _pairs(summary: pd.DataFrame) -> dict[str, str]:
    """Column of ours -> column of theirs, where any value is reported."""
    theirs = [c for c in summary if c.startswith("reported") and summary[c].notna().any()]
    ours = {("mean" if c == "reported" else c.removeprefix("reported_")): c for c in theirs}
    return {column: ours[column] for column in ours if column != "std"}  # theirs of an average is another statistic


def _table(artifact: str, summary: pd.DataFrame, pairs: dict[str, str]) -> Table:
    rows = summary[summary[list(pairs.values())].notna().any(axis=1)]
    verdicts = [c for c in ("difference", *VERDICTS) if c in rows]
    identity = [c for c in IDENTITY if c in rows]
    rows = rows.drop_duplicates([*identity, *pairs.values()])
    table = Table(title=f"{artifact}: ours and theirs", title_justify="left")
    table.add_column("")
    for column in (*(text for ours in pairs for text in (ours, "reported")), *verdicts):
        table.add_column(column.replace("_", " "), justify="right")
    columns = [*(c for pair in pairs.items() for c in pair), *verdicts]
    for row in rows.to_dict("records"):
        texts = {c: _text(row[c], missing="") for c in identity}
        name = ", ".join(text if isinstance(row[c], str) else f"{c}={text}" for c, text in texts.items() if text)
        diverged = _diverged(row)
        table.add_row(name, *(diverged if diverged and c not in pairs.values() else _text(row[c]) for c in columns))
    return table


def _diverged(row: dict[str, Any]) -> str:
    """What a line says in place of our values if a run diverged; else empty."""
    count = row.get("diverged")
    if count is None or pd.isna(count) or not count:
        return ""
    return f"{DIVERGED} {diverged_count(int(count), int(row['seeds']))}".rstrip()


def _text(value: Any, missing: str = "-") -> str:
    if pd.isna(value):
        return missing
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _conclusion(summary: pd.DataFrame) -> str:
    """The comparison in one sentence; what ``only:`` left out is named."""
    left_out = summary[~summary["present"].astype(bool)] if "present" in summary else summary.iloc[:0]
    names = dict.fromkeys(f"{row['benchmark']} {row['architecture']}" for row in left_out.to_dict("records"))
    sentence = f"not run: {', '.join(names)}; " if names else ""
    if "diverged" in summary and (diverged := summary["diverged"].fillna(0) > 0).any():
        sentence += f"diverged: {int(diverged.sum())} of {int((summary['seeds'] > 0).sum())} entries; "
    if "difference" not in summary or summary["difference"].isna().all():
        return f"{sentence}no differences"
    differences = summary["difference"].dropna().abs()
    column = next(name for name in VERDICTS if name in summary)
    verdicts = summary[column].dropna()
    verdict = f"{int(verdicts.sum())} of {len(verdicts)} {VERDICTS[column]}" if len(verdicts) else "one seed"
    return f"{sentence}{len(differences)} numbers, mean absolute difference {differences.mean():.2f}, {verdict}"
