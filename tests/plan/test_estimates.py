"""What counting conflicts and task gradients are estimated to take."""

from dataclasses import replace

import pytest

from scalarization.plan import estimates
from scalarization.specification import AttributeOutputs, DomainOutputs


@pytest.mark.parametrize("every", [1, 4])
def test_counting_conflicts(shipped_plan, with_changed, every):
    """(3 + 2 T) / 3 steps of attributes, the batch once more of domains; a k-th of that for every k-th step."""
    plan = with_changed(shipped_plan("demo"), "throughput", seconds_per_step=0.0)
    for cell in plan.counted.values():
        counting = replace(cell, specification=replace(cell.specification, count_every=every))
        seconds = estimates.flops(plan, cell) / plan.preset.throughput.flops_per_second
        attributes = isinstance(cell.specification.outputs, AttributeOutputs)
        more = 2 * len(cell.tasks) / 3 if attributes else 1
        assert estimates.seconds(plan, counting) == pytest.approx(seconds * (1 + more / every))
    assert {type(cell.specification.outputs) for cell in plan.counted.values()} == {AttributeOutputs, DomainOutputs}


def test_task_gradients(shipped_plan):
    """T backward passes instead of one, except for domains without BatchNorm, where the batch is split."""
    plan = shipped_plan("paper")

    def factor(cell, of="uniform"):
        plain = replace(cell, method=of)
        return estimates.seconds(plan, cell) / estimates.seconds(plan, plain)

    assert factor(plan.cell("celeba/groups8/vit_d6_w48/pcgrad/base")) == pytest.approx((1 + 2 * 8) / 3)
    assert factor(plan.cell("celeba/groups8/vit_d6_w48/uncertainty/base")) == 1
    assert factor(plan.cell("domainnet/all6/resnet26_w16/cagrad/base")) == pytest.approx((1 + 2 * 6) / 3)
    cell = plan.cell("cifar_stl/stl10+cifar10/vit_d3_w48/grid/base")
    assert factor(replace(cell, method="pcgrad")) == 1


def test_measured_images_per_second_replace_the_estimate(shipped_plan, with_changed):
    name = "cifar_stl/stl10+cifar10/vit_d3_w48/grid/base"
    plan = with_changed(shipped_plan("paper"), "throughput", images_per_second={"vit_d3_w48": 1000})
    assert estimates.seconds(plan, plan.cell(name)) == 6000 * 256 / 1000


def test_searches(shipped_plan):
    plan = shipped_plan("paper")
    search = plan.search("celeba_pbt/vit_d9_w192")
    assert estimates.search_seconds(plan, search) == 12 * estimates.seconds(plan, search.cell)
