"""Other presets than the shipped ones, invalid presets, and the published scale as a plan."""

import pyarrow.parquet as pq
import pytest

from scalarization.config import load_config
from scalarization.plan import artifacts, load_plan, packing

from .conftest import jobs


@pytest.fixture(scope="module")
def fresh(make_checkout, tmp_path_factory):
    """A checkout without results."""
    return make_checkout(tmp_path_factory.mktemp("fresh") / "checkout")


def test_three_domains_one_seed_another_grid_and_patch(fresh, preset):
    """From the data to the figures; --config gives the path of the preset."""
    preset["jobs"] = {}
    preset["benchmarks"]["digits"] |= {
        "domains": ["mfeat", "mnist", "optdigits"],
        "reference": "mfeat",
        "model": {"patch": 8, "heads": 3, "mlp_ratio": 1.5, "drop_path": 0.0},
    }
    preset["benchmarks"]["digits"]["recipe"] |= {"optimizer": "sgd", "batch_size": 80, "schedule": "constant"}
    preset["experiments"] = {
        "trio": {
            "benchmark": "digits",
            "task_sets": {"all3": ["optdigits", "mfeat", "mnist"]},
            "architectures": {"family": "vit", "depth": [2], "width": [12]},
            "methods": {"single": {}, "grid": {"simplex_step": 0.25}, "uniform": {}},
            "variants": {"slow": {"recipe": {"lr": 1e-4}}},
            "seeds": 1,
        }
    }
    kinds = ("figure_b", "figure_d", "affinity")  # the others are drawn in test_run.py
    preset["artifacts"] = {kind: {"experiment": "trio"} for kind in kinds}
    fresh.write(preset, "theirs")
    output = fresh.snakemake("--config", "preset=theirs.yaml")
    assert jobs(output)["all"] == 1
    results = fresh.directory / "results" / "theirs"
    for kind in kinds:
        assert (fresh.directory / "reports/theirs/figures" / f"{kind}.pdf").read_bytes().startswith(b"%PDF-")
        assert pq.read_table(results / "summary" / f"{kind}.parquet").num_rows > 0
    rows = pq.read_table(results / "runs/digits/all3/vit_d2_w12/grid/slow.parquet").to_pylist()
    # Three positive multiples of 1/4 with sum 1: one of them is 1/2.
    weights = {tuple(r["weights"]) for r in rows}
    assert weights == {(0.5, 0.25, 0.25), (0.25, 0.5, 0.25), (0.25, 0.25, 0.5)}
    assert {r["seed"] for r in rows} == {0}
    assert {r["task"] for r in rows if r["split"] == "test"} == {"optdigits", "mfeat", "mnist"}
    assert fresh.planned("--config", "preset=theirs.yaml") == {}


def bad_schema(preset):
    preset["experiments"]["pair"] |= {"seed": 3, "seeds": 0}
    return ["experiments.pair.seed = 3: unknown key, did you mean 'seeds'", "experiments.pair.seeds = 0"]


def bad_plan(preset):
    preset["experiments"]["pair"]["methods"]["gird"] = {}
    preset["benchmarks"]["digits"]["model"]["heads"] = 3
    return ["did you mean 'grid'", "width 8 is not divisible by heads = 3"]


@pytest.mark.parametrize("spoil", [bad_schema, bad_plan])
def test_bad_preset_stops_before_any_job(spoil, fresh, preset):
    words = spoil(preset)
    fresh.write(preset, "bad")
    output = fresh.snakemake("--config", "preset=bad.yaml", status=1)
    assert output.count("bad.yaml: ") >= len(words) and all(w in output for w in words)
    assert "Traceback" not in output and "Job stats" not in output
    assert not (fresh.directory / "results" / "bad").exists()


def test_bad_knob_stops_before_any_job(fresh):
    output = fresh.snakemake("--config", "preset=smoke", "thread=2", status=1)
    assert "thread = 2: unknown key" in output and "did you mean 'threads'" in output and "Job stats" not in output


def test_missing_caption_stops_before_any_job(fresh, preset):
    caption = fresh.directory / "workflow" / "report" / "figure_b.rst"
    text = caption.read_text()
    caption.unlink()
    try:
        fresh.write(preset, "captions")
        output = fresh.snakemake("--config", "preset=captions.yaml", status=1)
    finally:
        caption.write_text(text)
    assert "write workflow/report/figure_b.rst" in output and "Job stats" not in output


def test_dry_run_of_the_published_scale(fresh, root):
    plan = load_plan(load_config(root / "config.yaml", {"preset": "paper"}))
    planned = fresh.planned("--config", "preset=paper")
    assert sum(count for rule, count in planned.items() if rule.startswith("train_")) == len(
        packing.training_jobs(plan)
    )
    split = [c for c in plan.cells.values() if len(plan.shards(c)) > 1]
    assert sum(count for rule, count in planned.items() if rule.startswith("merge_")) == len(split)
    assert {f"prepare_{benchmark}" for benchmark in plan.benchmarks} <= set(planned)
    # Taskonomy's files cannot be downloaded without a registration.
    downloaded = {rule.removeprefix("download_") for rule in planned if rule.startswith("download_")}
    assert downloaded == set(plan.benchmarks) - {"taskonomy"}
    assert set(artifacts.selected(plan)) <= set(planned)
