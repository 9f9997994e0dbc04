"""Requests of jobs, by hand."""

import math

import pytest

from scalarization.cluster import resources
from scalarization.config import load_config
from scalarization.plan import load_plan, packing


def test_time_is_the_estimate_with_a_margin(tiny, make_plan):
    tiny["jobs"] = {"minutes": 100, "time_factor": 2, "max_minutes": 1000}
    tiny["throughput"] = {"hardware": "x", "flops_per_second": 1e30, "seconds_per_step": 5, "seconds_per_job": 30}
    (job,) = packing.training_jobs(plan := make_plan(tiny))
    # Four runs of 3 epochs of 800 images in batches of 200.
    assert job.seconds == pytest.approx(4 * 12 * 5, rel=1e-3)
    request = resources.of_job(plan, job)
    assert request.minutes == 10 + math.ceil(2 * (240 + 30) / 60) == 19
    assert [request.runtime(attempt) for attempt in (1, 2, 60)] == [19, 38, 1000]


def test_no_attempt_requests_more_time_than_a_partition_allows(tiny, make_plan):
    tiny["jobs"] = {"max_minutes": 7}
    (job,) = packing.training_jobs(plan := make_plan(tiny))
    assert [resources.of_job(plan, job).runtime(attempt) for attempt in (1, 2)] == [7, 7]


def test_memory_grows_with_the_attempt_and_the_images(tiny, make_plan):
    tiny["jobs"] = {"memory_mb": 500, "minutes": 100}
    (job,) = packing.training_jobs(plan := make_plan(tiny))
    request = resources.of_job(plan, job)
    info = plan.benchmarks["digits"]
    images = (info.train_sizes["mnist"] + info.train_sizes["optdigits"]) * 16 * 16
    assert 2 * images <= (request.memory_mb - 500) * 2**20 <= 2 * images + 2**20
    assert request.memory(3) == 3 * request.memory_mb


def test_no_attempt_requests_more_memory_than_a_node_has(tiny, make_plan):
    tiny["jobs"] = {"memory_mb": 500, "max_memory_mb": 1200}
    (job,) = packing.training_jobs(plan := make_plan(tiny))
    memory = [resources.of_job(plan, job).memory(attempt) for attempt in (1, 2, 3)]
    assert memory[0] < 600 and memory[1] == 2 * memory[0] and memory[2] == 1200


def test_memory_of_dense_data_is_that_of_their_maps_up_to_a_limit(root):
    """122 tiles of 64 x 64 pixels: image and autoencoding target of 3 bytes each, 8 maps of 2 bytes; twice that."""
    smoke = load_plan(load_config(root / "config.yaml", {"preset": "smoke"}))
    (job,) = [job for job in packing.training_jobs(smoke) if job.benchmark == "motorcycle"]
    megabytes = 2 * 122 * 64**2 * (3 + 3 + 8 * 2) / 2**20
    assert resources.of_job(smoke, job).memory_mb == 1500 + math.ceil(megabytes)
    paper = load_plan(load_config(root / "config.yaml", {"preset": "paper", "only": {"benchmarks": ["taskonomy"]}}))
    assert resources.of_job(paper, packing.training_jobs(paper)[0]).memory_mb == 4000 + 4096


@pytest.mark.parametrize(("device", "gpus"), [("auto", 1), ("cuda", 1), ("cpu", 0)])
def test_a_gpu_unless_the_device_is_the_cpu(tiny, make_plan, device, gpus):
    (job,) = packing.training_jobs(plan := make_plan(tiny, device=device, threads=3))
    request = resources.of_job(plan, job)
    assert (request.gpu, request.cpus) == (gpus, 3)


SEARCH = {
    "benchmark": "digits",
    "task_set": {"mnist+optdigits": ["mnist", "optdigits"]},
    "architectures": {"family": "vit", "depth": [1, 2], "width": [8]},
    "method": "pbt",
    "population": 6,
    "epochs_ready": 1,
    "quantile": 0.25,
    "session": "both",
}


@pytest.mark.parametrize(
    ("device", "jobs", "workers", "nodes"),
    [
        ("cpu", {}, 8, 1),
        ("cpu", {"search_workers": 3}, 3, 1),
        ("cpu", {"search_workers": 50}, 12, 1),
        ("cpu", {"search_workers": 3, "search_nodes": 2}, 3, 2),
        ("cpu", {"search_nodes": 50}, 6, 2),  # 12 members need no more than two nodes of 8
        ("auto", {}, 1, 1),
        ("auto", {"gpus_per_member": 0.25}, 4, 1),
        ("auto", {"gpus_per_member": 0.25, "search_nodes": 3}, 4, 3),
    ],
)
def test_searches_of_a_session_share_a_job(tiny, make_plan, device, jobs, workers, nodes):
    tiny["jobs"], tiny["searches"] = {**jobs, "max_minutes": 10**6}, {"pbt": SEARCH}
    tiny["throughput"] = {"hardware": "x", "flops_per_second": 1e30, "seconds_per_step": 60, "seconds_per_job": 0}
    plan = make_plan(tiny, device=device, threads=2)
    (searches,) = packing.search_sessions(plan).values()
    request = resources.of_session(plan, searches)
    assert (request.cpus, request.nodes) == (2 * workers, nodes)
    minutes = sum(s.population * s.cell.steps for s in searches)
    # Three times the estimate; members on one GPU are assumed to share its time.
    assert request.minutes == 10 + math.ceil(3 * minutes / nodes / (workers if device == "cpu" else 1))
