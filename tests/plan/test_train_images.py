"""Fewer training images in a plan: proportional weights, the length of an epoch, what is refused."""

import pytest

from scalarization.errors import ConfigError
from scalarization.plan import fingerprints


@pytest.fixture
def limited(tiny, make_plan):
    def plan(limit, methods=None):
        tiny["benchmarks"]["digits"]["train_images"] = limit
        tiny["benchmarks"]["digits"]["recipe"]["batch_size"] = 50
        tiny["experiments"]["pair"]["methods"] = methods or {"single": {}, "grid": {"p1": [0.5]}, "proportional": {}}
        return make_plan(tiny)

    return plan


def test_proportional_weights_are_those_of_the_images_that_are_used(limited):
    plan = limited({"optdigits": 100, "mnist": 300})
    (cell,) = [cell for cell in plan.cells.values() if cell.method == "proportional"]
    weights = dict(zip(cell.tasks, cell.runs[0].weights, strict=True))
    assert weights == {"mnist": pytest.approx(0.75), "optdigits": pytest.approx(0.25)}
    assert cell.specification.describe()["train_images"] == {"optdigits": 100, "mnist": 300}


def test_what_is_not_limited_keeps_its_identity(tiny, make_plan, limited):
    before = next(iter(make_plan(tiny).cells.values())).describe()
    assert "train_images" not in before
    plan = limited({"mnist": 300})
    options = plan.preset.benchmarks["digits"]
    assert fingerprints.of_store("digits", options) != fingerprints.of_store(
        "digits", options.model_copy(update={"train_images": None})
    )


def test_one_number_is_that_of_every_domain(limited):
    assert {plan.train_images for plan in limited(200).benchmarks["digits"].domains.values()} >= {200}


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"optdigits": 10**6}, r"train_images = 1e\+06: optdigits has [\d,]+ training images"),
        ({"optdigits": 9}, "leaves 9 training images of optdigits, which has 10 classes"),
        (1.0, "leaves 1 training images"),
        ({"optdigit": 90}, "'optdigit' is not among its domains; did you mean 'optdigits'?"),
        (0, "train_images"),
        (100.5, "whole number of images, or a fraction below 1"),
        (float("nan"), "train_images"),
        ({}, "train_images"),
    ],
)
def test_impossible_numbers(limited, limit, message):
    with pytest.raises(ConfigError, match=message):
        limited(limit)
