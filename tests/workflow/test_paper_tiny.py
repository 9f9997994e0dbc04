"""Preset `paper_tiny`: from archives in the official formats to figures and tables, with the paper's own networks."""

import pyarrow.parquet as pq
import pytest

from scalarization.config import load_config
from scalarization.plan import artifacts, load_plan

from ..archives import write_all


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("archives")
    write_all(directory)
    return directory


def run(checkout, data_dir, *targets, cores, **only):
    """Run a part of the preset, and return the plan of this part with the paths of the checkout."""
    part = "{" + ", ".join(f"{key}: [{', '.join(map(str, values))}]" for key, values in only.items()) + "}"
    checkout.snakemake(
        *targets, "--config", "preset=paper_tiny", f"data_dir={data_dir}", f"only={part}", cores=cores, seconds=3600
    )
    places = {name: str(checkout.directory / name) for name in ("results", "reports")}
    knobs = {"preset": "paper_tiny", "data_dir": str(data_dir), "only": only, **places}
    return load_plan(load_config(checkout.directory / "config.yaml", knobs))


def check(plan, names):
    for artifact in names:
        assert pq.read_table(plan.paths.summary_file(artifact)).num_rows > 0
        for file in artifacts.files_of(plan, artifact).values():
            assert file.stat().st_size > 0


def test_it_has_everything_of_paper(root):
    """The same artifacts, experiments, methods, variants and searches, with the extreme capacities of each family."""
    tiny, paper = (load_plan(load_config(root / "config.yaml", {"preset": p})) for p in ("paper_tiny", "paper"))
    assert artifacts.selected(tiny) == artifacts.selected(paper)
    assert {c.benchmark for c in tiny.cells.values()} == {c.benchmark for c in paper.cells.values()}
    for section in ("experiments", "conflicts"):
        small, large = getattr(tiny, section), getattr(paper, section)
        assert list(small) == list(large)
        for name in small:
            assert {(c.task_set, c.method, c.variant) for c in small[name]} == {
                (c.task_set, c.method, c.variant) for c in large[name]
            }
    assert {s.key for s in tiny.searches.values()} == {s.key for s in paper.searches.values()}
    names = {c.architecture.name for c in (*tiny.cells.values(), *tiny.counted.values())}
    assert names >= {
        "vit_d3_w48",
        "vit_d9_w192",
        "resnet26_w16",
        "resnet101_w64",
        "dense26_w16_shr0",
        "dense26_w64_shr4",
    }
    assert any(len(tiny.shards(c)) > 1 for c in tiny.cells.values())
    assert max(c.steps for c in (*tiny.cells.values(), *tiny.counted.values())) <= 6


def test_one_capacity_from_archives_to_figures(make_checkout, tmp_path, data_dir):
    checkout = make_checkout(tmp_path / "checkout")
    targets = ("figure_b", "figure_3")
    only = {"benchmarks": ["cifar_stl"], "capacities": ["vit_d3_w48"], "seeds": [0]}
    plan = run(checkout, data_dir, *targets, cores=1, **only)
    check(plan, targets)
    summary = pq.read_table(plan.paths.summary_file("figure_b")).to_pandas()
    assert set(summary.groupby("architecture")["present"].first().items()) == {
        ("vit_d3_w48", True),
        *((name, False) for name in ("vit_d3_w192", "vit_d9_w48", "vit_d9_w192")),
    }


@pytest.mark.whole
def test_all_of_it(make_checkout, tmp_path, data_dir):
    checkout = make_checkout(tmp_path / "checkout")
    plan = run(checkout, data_dir, cores=2)
    check(plan, artifacts.selected(plan))
    assert checkout.planned("--config", "preset=paper_tiny", f"data_dir={data_dir}") == {}
