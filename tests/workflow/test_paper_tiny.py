"""Preset `paper_tiny`: from archives in the official formats to figures and tables, with the paper's own networks."""

import pyarrow.parquet as pq
import pytest

from scalarization.config import load_config
from scalarization.experiments import Plan

from ..archives import write_all


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("archives")
    write_all(directory)
    return directory


def run(checkout, data_dir, *targets, cores, **only):
    """Run it; the plan of what was run, its files below the checkout."""
    chosen = "{" + ", ".join(f"{key}: [{', '.join(map(str, found))}]" for key, found in only.items()) + "}"
    checkout.snakemake(
        *targets, "--config", "preset=paper_tiny", f"data_dir={data_dir}", f"only={chosen}", cores=cores, seconds=3600
    )
    places = {name: str(checkout.directory / name) for name in ("results", "reports")}
    knobs = {"preset": "paper_tiny", "data_dir": str(data_dir), "only": only, **places}
    return Plan(load_config(checkout.directory / "config.yaml", knobs))


def check(plan, artifacts):
    for artifact in artifacts:
        assert pq.read_table(plan.summary_file(artifact)).num_rows > 0
        for file in plan.artifact_files(artifact).values():
            assert file.stat().st_size > 0


def test_it_is_the_whole_of_paper(root):
    """Same artifacts, experiments, methods, variants and searches; of each family the smallest and the largest."""
    tiny, paper = (Plan(load_config(root / "config.yaml", {"preset": p})) for p in ("paper_tiny", "paper"))
    assert tiny.artifacts() == paper.artifacts()
    assert {c.benchmark for c in tiny.cells.values()} == {c.benchmark for c in paper.cells.values()}
    for section in ("experiment_cells", "conflict_cells"):
        small, large = getattr(tiny, section), getattr(paper, section)
        assert list(small) == list(large)
        for name in small:
            assert {(c.task_set, c.method, c.variant) for c in small[name]} == {
                (c.task_set, c.method, c.variant) for c in large[name]
            }
    assert {s.key for s in tiny.searches.values()} == {s.key for s in paper.searches.values()}
    found = {c.architecture.name for c in (*tiny.cells.values(), *tiny.counted.values())}
    assert found >= {
        "vit_d3_w48",
        "vit_d9_w192",
        "resnet26_w16",
        "resnet101_w64",
        "dense26_w16_shr0",
        "dense26_w64_shr4",
    }
    assert any(len(tiny.shares(c)) > 1 for c in tiny.cells.values())
    assert max(c.steps for c in (*tiny.cells.values(), *tiny.counted.values())) <= 6


def test_one_capacity_from_archives_to_figures(make_checkout, tmp_path, data_dir):
    checkout = make_checkout(tmp_path / "checkout")
    targets = ("figure_b", "figure_3")
    only = {"benchmarks": ["cifar_stl"], "capacities": ["vit_d3_w48"], "seeds": [0]}
    plan = run(checkout, data_dir, *targets, cores=1, **only)
    check(plan, targets)
    summary = pq.read_table(plan.summary_file("figure_b")).to_pandas()
    assert set(summary.groupby("architecture")["present"].first().items()) == {
        ("vit_d3_w48", True),
        *((name, False) for name in ("vit_d3_w192", "vit_d9_w48", "vit_d9_w192")),
    }


@pytest.mark.whole
def test_all_of_it(make_checkout, tmp_path, data_dir):
    checkout = make_checkout(tmp_path / "checkout")
    plan = run(checkout, data_dir, cores=2)
    check(plan, plan.artifacts())
    assert checkout.planned("--config", "preset=paper_tiny", f"data_dir={data_dir}") == {}
