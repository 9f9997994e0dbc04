"""Figure A, the sweep, and heat maps of five pairs show the numbers of the summary, and no texts overlap."""

import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from scalarization import figures
from scalarization.analysis import summaries
from scalarization.plan import artifacts

DOMAINS = ["clipart", "infograph", "painting", "quickdraw", "real", "sketch"]


def imbalance(classes, domains=DOMAINS, unequal=False):
    generator = np.random.default_rng(0)
    samples = generator.integers(8, 60, (len(domains), classes))
    if unequal:
        samples = samples * 10 ** generator.integers(0, 2, (len(domains), classes))
    return pd.DataFrame(
        [
            {"benchmark": "b", "domain": d, "label": c, "class": f"a_class_{c}", "samples": samples[i, c]}
            for i, d in enumerate(domains)
            for c in range(classes)
        ]
    ).assign(uniform=samples.mean())


def sweep(rates=(0.3, 0.03, 0.003), epochs=(30, 60), chosen=(0.3, 60), seeds=2, absent=()):
    rows = []
    for rate in rates:
        for count in epochs:
            present = (rate, count) not in absent
            mean = 40 + 3 * np.log10(rate) + count / 30 if present else np.nan
            row = {"task_set": "real", "architecture": "resnet101_w64", "lr": rate, "epochs": count}
            row |= {"present": present, "metric": "accuracy" if present else None, "mean": mean}
            row |= {"std": 0.4 if seeds > 1 and present else np.nan, "seeds": seeds}
            row |= {"chosen": (rate, count) == chosen if present else None, "recipe": (rate, count) == (0.03, 30)}
            rows.append(row)
    return pd.DataFrame(rows)


def pairs(depths=(14,), widths=(32, 64)):
    rows = []
    for other in (d for d in DOMAINS if d != "real"):
        for depth in depths:
            for width in widths:
                for task in ("real", other):
                    rows.append(
                        {
                            "benchmark": "domainnet",
                            "task_set": f"real+{other}",
                            "variant": "base",
                            "depth": depth,
                            "width": width,
                            "shared_layers": pd.NA,
                            "present": True,
                            "task": task,
                            "metric": "accuracy",
                            "weight": 0.3 if task == "real" else 0.7,
                            "weight_low": 0.1,
                            "weight_high": 0.9,
                            "mean": -12.3,
                            "std": 1.5,
                            "seeds": 2,
                        }
                    )
    metadata = {
        "reference": "real",
        "setting": "mdl",
        "task_sets": {f"real+{d}": ["real", d] for d in DOMAINS if d != "real"},
    }
    return pd.DataFrame(rows).astype({"shared_layers": "Int64"}), metadata


def drawn(kind, summary, metadata=None):
    columns = artifacts.load_kind(kind).columns
    summary = summary.reindex(columns=list(columns)).assign(diverged=0) if "mean" in columns else summary
    known = dict.fromkeys((*summaries.COMMON_KEYS, *summaries.EXPERIMENT_KEYS)) | {"setting": "mdl", "kind": kind}
    with warnings.catch_warnings(action="error"):
        return figures.draw(kind, summary, known | (metadata or {}))


CASES = {
    "sixteen classes": ("figure_a", imbalance(16), {}),
    "published": ("figure_a", imbalance(345, unequal=True), {}),
    "three domains": ("figure_a", imbalance(10, DOMAINS[:3]), {}),
    "sweep": ("sweep", sweep(), {}),
    "one seed, one left out": ("sweep", sweep(seeds=1, absent=[(0.3, 30)]), {}),
    "published sweep": ("sweep", sweep((0.3, 0.03, 0.003, 0.0003), (30, 60, 90), (0.03, 30)), {}),
    "five pairs": ("figure_2", *pairs()),
    "five pairs, nine capacities": ("figure_2", *pairs((26, 50, 101), (16, 32, 64))),
}


@pytest.mark.parametrize("case", CASES)
def test_no_text_overlaps_or_leaves_the_page(check_page, case):
    figure = drawn(*CASES[case])
    check_page(figure)


def classes_of(figure):
    return {
        line.get_label(): line
        for line in figure.get_axes()[0].lines
        if line.get_label().startswith("a class") or line.get_label() == "uniform"
    }


def test_figure_a_has_a_hexagon_per_class():
    summary = imbalance(16)
    lines = classes_of(drawn("figure_a", summary))
    assert len(lines) == 16 + 1
    for label in range(16):
        line = lines[f"a class {label}"]
        rows = summary[summary["label"] == label].set_index("domain")
        expected = rows.loc[DOMAINS, "samples"].tolist()
        assert line.get_ydata().tolist() == [*expected, expected[0]]
        np.testing.assert_allclose(np.diff(line.get_xdata()), np.pi / 3)
    assert set(lines["uniform"].get_ydata()) == {summary["uniform"].iloc[0]}


def test_figure_a_draws_every_fifteenth_of_345_classes():
    figure = drawn("figure_a", imbalance(345, unequal=True))
    labels = sorted(int(name.rsplit(" ", 1)[1]) for name in classes_of(figure) if name != "uniform")
    assert labels == list(range(0, 345, 15))
    assert "every 15th class" in figure.subfigs[1].legends[0].get_title().get_text()


def test_figure_a_names_the_size_of_every_domain():
    summary = imbalance(16)
    labels = [t.get_text() for t in drawn("figure_a", summary).get_axes()[0].get_xticklabels()]
    assert labels == [f"{d}\n({summary[summary['domain'] == d]['samples'].sum():,})" for d in DOMAINS]


def test_sweep_frames_the_best_setting_and_the_recipe():
    figure = drawn("sweep", sweep())
    ax = figure.get_axes()[0]
    assert "best at lr 0.3, 60 epochs; the recipe differs" in ax.get_title()
    frames = {p.get_linestyle(): p for p in ax.patches if isinstance(p, Rectangle) and not p.get_fill()}
    # Rows are learning rates from 0.003 to 0.3, columns 30 and 60 epochs.
    assert [int(frames["-"].get_x()), int(frames["-"].get_y())] == [1, 2]
    assert [int(frames["--"].get_x()), int(frames["--"].get_y())] == [0, 1]
    same = drawn("sweep", sweep(chosen=(0.03, 30))).get_axes()[0]
    assert "the recipe is the best setting" in same.get_title()


def test_each_pair_has_a_line_with_the_reference_domain_first():
    figure = drawn("figure_2", *pairs())
    titles = [ax.get_title() for ax in figure.get_axes() if ax.get_title()]
    assert titles == [
        title
        for other in DOMAINS
        if other != "real"
        for title in ("$p^*$(real)", "real: MDL $-$ SD", f"{other}: MDL $-$ SD")
    ]
