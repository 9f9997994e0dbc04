"""A search on two nodes: Ray's head and a worker of it inside one Slurm job, cancelled on the way."""

import time

import pyarrow.parquet as pq
import pytest

from scalarization.config import load_config
from scalarization.experiments import Plan

PRESET = {
    "description": "One search.",
    "jobs": {"search_nodes": 2, "memory_mb": 1000},
    "benchmarks": {
        "digits": {
            "domains": ["mnist", "optdigits"],
            "reference": "optdigits",
            "model": {"patch": 8, "heads": 2, "mlp_ratio": 2, "drop_path": 0.1},
            "recipe": {"lr": 3e-3, "batch_size": 100, "epochs": 12, "warmup_epochs": 1, "eval_every": 6},
        }
    },
    "experiments": {
        "pair": {
            "benchmark": "digits",
            "task_sets": {"mnist+optdigits": ["mnist", "optdigits"]},
            "architectures": {"family": "vit", "depth": [1], "width": [16]},
            "methods": {"pbt": {"search": "evolved"}},
            "seeds": 1,
        }
    },
    "searches": {
        "evolved": {
            "benchmark": "digits",
            "task_set": {"mnist+optdigits": ["mnist", "optdigits"]},
            "architectures": {"family": "vit", "depth": [1], "width": [16]},
            "method": "pbt",
            "population": 4,
            "epochs_ready": 2,
            "quantile": 0.25,
        }
    },
    "artifacts": {"figure_e": {"searches": ["evolved"]}},
}


@pytest.fixture(scope="module")
def search(make_checkout):
    """A checkout in which a search was cancelled on its way; its plan, and Slurm's jobs."""
    checkout = make_checkout()
    checkout.write(PRESET)
    overrides = {"preset": str(checkout.directory / "mine.yaml"), "results": str(checkout.directory / "results")}
    plan = Plan(load_config(checkout.directory / "config.yaml", overrides))
    (target,) = map(plan.search_file, plan.searches.values())
    before = set(checkout.slurm.jobs())
    process = checkout.snakemake(
        *("--slurm-init-seconds-before-status-checks=40", "--seconds-between-status-checks=2"),
        *("--config", "preset=mine.yaml"),
        *("--", str(target.relative_to(checkout.directory))),
    )
    end = time.monotonic() + 600
    while len(list(plan.config.results.glob("checkpoints/**/0001_*.json"))) < 2:
        assert process.poll() is None and time.monotonic() < end, process.said()
        time.sleep(0.2)
    (number,) = set(checkout.slurm.jobs()) - before
    checkout.slurm.ask("scancel", number)
    checkout.finish(process)
    return checkout, plan, [facts for number, facts in checkout.slurm.jobs().items() if number not in before]


def test_goes_on_in_another_job_on_two_nodes(search):
    _, plan, jobs = search
    assert [facts["NumNodes"] for facts in jobs] == ["2", "2"]
    assert jobs[0]["JobState"] in ("CANCELLED", "FAILED") and jobs[1]["JobState"] == "COMPLETED"


def test_ends_with_the_history_of_a_local_search(search):
    checkout, plan, _ = search
    (found,) = plan.searches.values()
    local = checkout.locally("mine", searches=[("--search", found.name, "--workers", "2")])
    file = plan.search_file(found)
    expected, made = (pq.read_table(f) for f in (local / file.relative_to(plan.config.results), file))
    assert expected.num_rows == 24 and made.drop_columns("seconds").equals(expected.drop_columns("seconds"))
