"""Our numbers beside the paper's, from the summaries of tables: what ``python -m scalarization compare`` prints.

Deviations are compared like with like: of an average over tasks the paper reports the root of the sum of the tasks'
variances over T, so the same is computed of ours, and the deviation over seeds of the average stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from scalarization.errors import ConfigError, DataError
from scalarization.experiments import Plan

AVERAGE = "average"
NOTHING = "–"
#: Decimals of accuracies in percent.
PLACES = 2
FORMULAS = ("forward_passes", "backward_passes", "additional_computation", "additional_storage")
NOTES = (
    "± like theirs: of an average over tasks the root of the sum of the tasks' variances over T, as the paper has it; "
    "± over seeds: of the average itself. Interval: 95 %, Student's t, of our mean over seeds."
)


@dataclass(frozen=True)
class Line:
    """One reported number beside ours; what is not known is None.

    Attributes:
        place: Benchmark and capacity.
        method: As tables call it.
        what: Task, or setting of a search.
        ours: Our mean over seeds, in percent, as is everything below.
        paper_std: Our deviation by the paper's formula.
        std: Our deviation over seeds.
        low: Lower end of the t interval of our mean.
        high: Its upper end.
        theirs: The reported mean.
        theirs_std: The reported deviation.
        difference: Ours less theirs; None where the paper does not say which capacity it is about.
        inside: Whether theirs is within our interval; None with one seed.
    """

    place: str
    method: str
    what: str
    ours: float | None
    paper_std: float | None
    std: float | None
    low: float | None
    high: float | None
    theirs: float
    theirs_std: float | None
    difference: float | None
    inside: bool | None


@dataclass(frozen=True)
class Formulas:
    """Costs of one method in T tasks and N models, ours and reported, in the order of :data:`FORMULAS`."""

    method: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What one table has.

    Attributes:
        artifact: Its name.
        lines: Numbers.
        formulas: Costs.
        absent: Places that were left out (``only:``) when the summary was made.
    """

    artifact: str
    lines: tuple[Line, ...]
    formulas: tuple[Formulas, ...]
    absent: tuple[str, ...]


def comparable(plan: Plan) -> list[str]:
    """Tables of the preset, selected or not, of a benchmark that the paper reports numbers of."""
    preset = plan.config.preset
    found = []
    for artifact, spec in preset["artifacts"].items():
        asked = [preset["experiments"][name] for name in plan.artifact_experiments(artifact)]
        asked += [preset["costs"][spec["costs"]]] if "costs" in spec else []
        reported = any(plan.info(a["benchmark"]).reported for a in asked)
        if plan.artifact_kind(artifact) in _READERS and reported:
            found.append(artifact)
    return found


def compare(plan: Plan, artifact: str) -> Comparison | None:
    """Read one table's summary; None if it is not made yet.

    Raises:
        DataError: The summary is damaged, or made by another version.
    """
    file = plan.summary_file(artifact)
    try:
        summary = pq.read_table(file).to_pandas()
    except FileNotFoundError:
        return None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file}: not a readable summary ({error}); delete it and run snakemake again") from None
    try:
        found = list(_READERS[plan.artifact_kind(artifact)](summary))
        absent = summary[~summary["present"].astype(bool)] if "present" in summary else summary.iloc[:0]
        places = tuple(dict.fromkeys(_place(row) for row in absent.to_dict("records")))
    except KeyError as error:
        raise DataError(f"{file}: lacks column {error}; delete it and run snakemake again") from None
    lines = tuple(f for f in found if isinstance(f, Line))
    return Comparison(artifact, lines, tuple(f for f in found if isinstance(f, Formulas)), places)


def print_comparison(plan: Plan, artifacts: Iterable[str] = ()) -> None:
    """Print every table that has reported numbers, or only some of them, and tell which are not made yet.

    Raises:
        ConfigError: An artifact is none of them.
        DataError: As :func:`compare`.
    """
    known = comparable(plan)
    for artifact in artifacts:
        if artifact not in known:
            raise ConfigError(f"compare: '{artifact}' is no table with reported numbers; known: {', '.join(known)}")
    console = Console(width=None if Console().is_terminal else 140)
    missing = []
    for artifact in artifacts or known:
        found = compare(plan, artifact)
        if found is None:
            missing.append(artifact)
            continue
        for table in _tables(found):
            console.print(table)
        if found.absent:
            console.print(f"{artifact}: not run: {'; '.join(found.absent)}", markup=False)
        console.print(_said(found), markup=False)
    if not known:
        console.print(f"preset {plan.config.preset_name} has no table of a benchmark that the paper reports numbers of")
        return
    if len(missing) < len(known):
        console.print(NOTES, markup=False)
    if missing:
        preset = plan.config.preset_name
        console.print(f"not made yet: {', '.join(missing)}; make one: snakemake --cores all NAME (preset {preset})")


def _of_methods(summary: pd.DataFrame) -> Iterator[Line]:
    rows = summary[summary["architecture"].notna() & summary["reported_mean"].notna()]
    for row in rows.to_dict("records"):
        yield _line(row, row["task"], row["reported_mean"], row["reported_std"], row["paper_std"])
    # The poster does not state the capacity: beside its numbers stand all of ours, and no differences.
    averages = summary[(summary["task"] == AVERAGE) & (summary["metric"] == "accuracy")]
    poster = summary[summary["architecture"].isna()]
    for theirs in poster.to_dict("records"):
        ours = averages[(averages["benchmark"] == theirs["benchmark"]) & (averages["label"] == theirs["label"])]
        for row in ours[ours["architecture"].notna()].to_dict("records"):
            reference = {**row, "difference": None, "inside": None}
            yield _line(reference, POSTER, theirs["reported_mean"], theirs["reported_std"], row["paper_std"])


def _of_populations(summary: pd.DataFrame) -> Iterator[Line]:
    for row in summary[summary["reported"].notna()].to_dict("records"):
        settings = {"N": row["population"], "E": row["epochs_ready"], "Q": row["quantile"]}
        what = ", ".join(f"{name}={value:g}" for name, value in settings.items() if pd.notna(value))
        if pd.notna(row["population"]) and pd.isna(row["epochs_ready"]):
            what += ", average over E"
        yield _line(row, what, row["reported"], None, None)


def _of_costs(summary: pd.DataFrame) -> Iterator[Formulas]:
    for row in summary.drop_duplicates("method").to_dict("records"):
        theirs = tuple(row[f"reported_{name}"] for name in FORMULAS)
        if pd.notna(theirs[0]):
            ours = tuple(row[name] if pd.notna(row[name]) else NOTHING for name in FORMULAS)
            yield Formulas(row["label"], ours, theirs)


#: Task of the lines about the authors' poster.
POSTER = "average, poster"
_READERS = {
    "table_methods": _of_methods,
    "table_main": _of_methods,
    "rebuttal_table_1a": _of_populations,
    "table_costs": _of_costs,
}


def _line(row: dict[str, Any], what: str, theirs: float, theirs_std: float | None, paper_std: float | None) -> Line:
    ours = {name: _known(row[name]) for name in ("mean", "std", "low", "high", "difference")}
    inside = None if pd.isna(row["inside"]) else bool(row["inside"])
    return Line(
        _place(row),
        row["label"],
        what,
        ours["mean"],
        _known(paper_std),
        ours["std"],
        ours["low"],
        ours["high"],
        float(theirs),
        _known(theirs_std),
        ours["difference"],
        inside,
    )


def _place(row: dict[str, Any]) -> str:
    return ", ".join(str(row[name]) for name in ("benchmark", "task_set", "architecture") if pd.notna(row[name]))


def _known(value: float | None) -> float | None:
    return None if pd.isna(value) else float(value)


def _tables(found: Comparison) -> Iterator[Table]:
    if found.formulas:
        table = Table(title=f"{found.artifact}: costs relative to uniform, ours / theirs", title_justify="left")
        for column in ("method", *(name.replace("_", " ") for name in FORMULAS)):
            table.add_column(column)
        for costs in found.formulas:
            cells = (o if o == t else f"{o} / {t}" for o, t in zip(costs.ours, costs.theirs, strict=True))
            table.add_row(costs.method, *cells)
        yield table
    joined = [line for line in found.lines if line.what != POSTER]
    for place in dict.fromkeys(line.place for line in joined):
        table = Table(title=f"{found.artifact}: {place}", title_justify="left")
        table.add_column("method")
        table.add_column("")
        for column in ("ours", "± like theirs", "± over seeds", "interval", "theirs", "±", "difference", "inside"):
            table.add_column(column, justify="right")
        for line in joined:
            if line.place == place:
                table.add_row(line.method, line.what, *_cells(line))
        yield table
    poster = [line for line in found.lines if line.what == POSTER]
    for benchmark in dict.fromkeys(line.place.split(", ")[0] for line in poster):
        yield _poster_table(found.artifact, benchmark, [p for p in poster if p.place.split(", ")[0] == benchmark])


def _poster_table(artifact: str, benchmark: str, lines: list[Line]) -> Table:
    """Averages on the authors' poster, and beside them ours at every capacity, with the deviation like theirs."""
    title = f"{artifact}: {benchmark}, averages on the authors' poster, which does not state the capacity, and ours"
    table = Table(title=title, title_justify="left")
    places = list(dict.fromkeys(line.place for line in lines))
    table.add_column("method")
    for column in ("poster", *(place.rsplit(", ", 1)[-1] for place in places)):
        table.add_column(column, justify="right")
    for method in dict.fromkeys(line.method for line in lines):
        of_method = [line for line in lines if line.method == method]
        ours = {line.place: _with_deviation(line.ours, line.paper_std) for line in of_method}
        theirs = _with_deviation(of_method[0].theirs, of_method[0].theirs_std)
        table.add_row(method, theirs, *(ours.get(place, NOTHING) for place in places))
    return table


def _cells(line: Line) -> tuple[str, ...]:
    interval = NOTHING if line.low is None else f"{line.low:.{PLACES}f} to {line.high:.{PLACES}f}"
    return (
        _number(line.ours),
        _number(line.paper_std),
        _number(line.std),
        interval,
        _number(line.theirs),
        _number(line.theirs_std),
        _number(line.difference, "+"),
        NOTHING if line.inside is None else "yes" if line.inside else "no",
    )


def _number(value: float | None, sign: str = "") -> str:
    return NOTHING if value is None else f"{value:{sign}.{PLACES}f}"


def _with_deviation(mean: float | None, std: float | None) -> str:
    return _number(mean) if std is None else f"{_number(mean)} ± {_number(std)}"


def _said(found: Comparison) -> str:
    """The comparison in a sentence."""
    if found.formulas:
        same = sum(costs.ours == costs.theirs for costs in found.formulas)
        return f"{found.artifact}: the same formulas for {same} of {len(found.formulas)} methods"
    differences = [abs(line.difference) for line in found.lines if line.difference is not None]
    if not differences:
        return f"{found.artifact}: nothing to compare"
    judged = [line.inside for line in found.lines if line.inside is not None]
    mean = sum(differences) / len(differences)
    said = f"{found.artifact}: {len(differences)} numbers, mean absolute difference {mean:.{PLACES}f}"
    return f"{said}, {sum(judged)} of {len(judged)} within our interval" if judged else f"{said}, one seed"
