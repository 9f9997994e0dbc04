"""Counted conflicts against a naive count; training as without counting; resuming; files."""

import copy
import io
import itertools
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from timm.models.resnet import BasicBlock

from scalarization import benchmarks, models
from scalarization.architectures import Architecture
from scalarization.config import ViTOptions
from scalarization.data.device import DeviceData
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.errors import StoppedError
from scalarization.methods.jacobian import gramian
from scalarization.models.resnet import ChannelsLastResNet
from scalarization.specification import AttributeOutputs, DomainOutputs
from scalarization.storage import CONFLICT_SCHEMA, read_metadata
from scalarization.training.conflicts import ConflictCounts, CountingTrainer, stochastic_depth_of
from scalarization.training.job import count_conflicts
from scalarization.training.loop import Trainer
from scalarization.training.steps import ConstantStep

from ..conftest import recipe, train
from .conftest import make_cell, uniform_run

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
GROUPS = {"gender": ("male", "female"), "role": ("job", "fantasy"), "subject": ("portrait", "hand", "body_part")}
ATTRIBUTES = benchmarks.load("emoji_people").labels.attributes
DIGITS = ("mnist", "optdigits", "mfeat")
RECIPE = {"augmentation": {"crop_padding": 1}}
#: Cosines nearer to 0 than this are within rounding of it.
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Setting -> images."""
    directory = tmp_path_factory.mktemp("stores")
    stores = {"mtl": ("emoji_people", ["people"]), "mdl": ("digits", list(DIGITS))}
    for setting, (benchmark, domains) in stores.items():
        prepare(directory / setting, benchmark, domains, directory)
    return {s: DeviceData(Store(directory / s / "dataset.json"), d, CPU) for s, (_, d) in stores.items()}


@pytest.fixture
def batchnorm(monkeypatch):
    """Networks with BatchNorm and stochastic depth in place of ViTs."""

    def build(architecture, options, image_shape, outputs):
        network = ChannelsLastResNet(
            BasicBlock,
            (1, 1, 1, 1),
            num_classes=outputs,
            in_chans=image_shape[2],
            stem_type="deep",
            stem_width=2,
            channels=(4, 8, 8, 8),
            drop_path_rate=options.drop_path,
        )
        assert any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
        return network

    monkeypatch.setattr(models, "build", build)


def cell_of(setting, *, every=None, domains=DIGITS, **changes):
    """Two epochs of five steps; without counting if ``every`` is not given."""
    model = ViTOptions(patch=16 if setting == "mtl" else 8, heads=2, mlp_ratio=2, drop_path=0.4)
    if setting == "mtl":
        tasks, outputs = tuple(GROUPS), AttributeOutputs(tuple(ATTRIBUTES), GROUPS, ("people",))
    else:
        tasks, outputs = domains, DomainOutputs(10, DIGITS)
    settings = recipe(**RECIPE | changes)
    return make_cell(tasks, Architecture("vit", 2, 8), model, outputs, settings, "uniform", 5, count_every=every)


def trainer_of(kind, cell, data):
    return kind(cell, uniform_run(cell), data[cell.specification.outputs.setting], CPU)


class NaiveStep(ConstantStep):
    """As well as the training step, T separate passes in float64 over its images through its stochastic depth."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.cosines, self.norms = [], []

    def __call__(self, batch, weights, index, seed):
        random = torch.get_rng_state()
        network = copy.deepcopy(self.network).double()
        domains = len(batch.counts) > 1
        head = set(network.get_classifier().parameters())
        shared = [p for p in network.parameters() if domains or p not in head]
        rows = []
        for task in range(self.num_tasks):
            torch.set_rng_state(random)
            row = np.zeros(sum(p.numel() for p in shared))
            for part in batch.micro_batches(self.num_micro_batches):
                logits = network(part.images.double())
                if domains:
                    each = torch.nn.functional.cross_entropy(logits, part.labels.long(), reduction="none")
                    loss = each[part.domains == task].sum()
                else:
                    columns = self.objective.columns(task)
                    labels = [ATTRIBUTES.index(a) for a in list(GROUPS.values())[task]]
                    loss = torch.nn.functional.binary_cross_entropy_with_logits(
                        logits[:, columns], part.labels[:, labels].double(), reduction="sum"
                    )
                gradients = torch.autograd.grad(loss, shared, materialize_grads=True)
                row += np.concatenate([g.flatten().numpy() for g in gradients])
            rows.append(row)
        torch.set_rng_state(random)
        jacobian = np.stack(rows)
        norms = np.sqrt((jacobian**2).sum(1))
        with np.errstate(invalid="ignore"):
            self.cosines.append(jacobian @ jacobian.T / np.outer(norms, norms))
        self.norms.append(norms)
        return super().__call__(batch, weights, index, seed)


class NaiveTrainer(Trainer):
    def build_step(self):
        arguments = (self.network, self.forward, self.objective, None, self.recipe, self.device, self.autocast)
        return NaiveStep(*arguments)


#: Setting, counted steps, recipe, networks.
CASES = {
    "attributes": ("mtl", 1, {}, None),
    "attributes in micro-batches": ("mtl", 2, {"accumulate": 3}, None),
    "domains": ("mdl", 2, {}, None),
    "domains in micro-batches": ("mdl", 1, {"accumulate": 3}, None),
    "domains, some absent": ("mdl", 1, {"batch_size": 3}, None),
    "attributes, BatchNorm": ("mtl", 2, {}, "batchnorm"),
    "domains in micro-batches, BatchNorm": ("mdl", 1, {"accumulate": 3}, "batchnorm"),
}


@pytest.fixture(params=CASES)
def case(request):
    """Setting, every how many steps are counted, recipe."""
    *case, fixture = CASES[request.param]
    if fixture:
        request.getfixturevalue(fixture)
    return case


def test_counts_equal_a_naive_count(data, case):
    setting, every, recipe = case
    trainer = train(trainer_of(CountingTrainer, cell_of(setting, every=every, **recipe), data))
    naive = train(trainer_of(NaiveTrainer, cell_of(setting, **recipe), data)).method_step
    first, second = np.triu_indices(3, 1)
    for epoch, row in enumerate(trainer.rows):
        steps = range(5 * epoch, 5 * epoch + 5)[::every]
        cosines = np.stack([naive.cosines[s][first, second] for s in steps])
        both = np.isfinite(cosines)
        assert row["epoch"] == epoch + 1
        assert row["steps"] == both.sum(0).tolist() and row["zero"] == (~both).sum(0).tolist()
        fewest = (both & (cosines < -ROUNDING)).sum(0)
        most = (both & (cosines < ROUNDING)).sum(0)
        assert (fewest <= row["conflicts"]).all() and (row["conflicts"] <= most).all()
        mean = [c[t].mean() if t.any() else None for c, t in zip(cosines.T, both.T, strict=True)]
        assert row["mean_cosine"] == pytest.approx(mean, abs=2e-4)
        norms = np.stack([naive.norms[s] for s in steps])
        present = norms > 0
        # A domain's loss is the mean over its images, the naive one the sum: only the direction is compared there.
        if setting == "mtl":
            expected = norms.sum(0) / present.sum(0) * 3 / (7 * 24)
            assert row["norm"] == pytest.approx(expected.tolist(), rel=2e-3)
    assert (np.stack([row["zero"] for row in trainer.rows]).sum() > 0) == (recipe.get("batch_size") == 3)
    # Or the test would compare nothing but zeros.
    assert 0 < sum(sum(row["conflicts"]) for row in trainer.rows) < sum(sum(row["steps"]) for row in trainer.rows)


def whole_state(trainer):
    optimizer = [v for s in trainer.optimizer.state_dict()["state"].values() for v in s.values()]
    loss = torch.load(io.BytesIO(trainer.state()), weights_only=True)["loss"]["sum"]
    return [*trainer.network.state_dict().values(), *optimizer, loss]


def test_training_is_as_without_counting(data, case):
    setting, _, recipe = case
    before = torch.get_rng_state()
    for until in (4, None):
        counting = train(trainer_of(CountingTrainer, cell_of(setting, every=1, **recipe), data), until)
        plain = train(trainer_of(Trainer, cell_of(setting, **recipe), data), until)
        assert counting.step == plain.step
        for ours, theirs in zip(whole_state(counting), whole_state(plain), strict=True):
            assert torch.equal(ours, theirs)
    assert torch.equal(torch.get_rng_state(), before)
    losses = [r["value"] for r in plain.rows if r["split"] == "batches"]
    assert [r["train_loss"] for r in counting.rows] == losses
    for row in counting.rows:
        values = [
            r["value"]
            for r in plain.rows
            if (r["epoch"], r["split"], r["metric"]) == (row["epoch"], "validation", "accuracy")
        ]
        assert row["metric"] == "accuracy" and row["validation"] == pytest.approx(np.mean(values), rel=1e-12)


def test_resumed_at_any_step_counts_the_same(data, case):
    setting, _, recipe = case
    cell = cell_of(setting, every=2, **recipe)
    whole = train(trainer_of(CountingTrainer, cell, data))
    payload = None
    for step in range(1, 11):
        trainer = trainer_of(CountingTrainer, cell, data)
        if payload:
            trainer.load_state(payload)
        payload = train(trainer, until=step).state()
    assert trainer.rows == whole.rows
    assert all(torch.equal(a, b) for a, b in zip(whole_state(trainer), whole_state(whole), strict=True))


def test_state_of_another_number_of_tasks_is_refused(data):
    foreign = trainer_of(CountingTrainer, cell_of("mdl", every=1), data).state()
    fewer = cell_of("mdl", every=1, domains=DIGITS[:2])
    with pytest.raises(ValueError, match=r"3 entries, not 2|3 tasks"):
        trainer_of(CountingTrainer, fewer, data).load_state(foreign)
    with pytest.raises(ValueError):
        trainer_of(CountingTrainer, fewer, data).load_state(trainer_of(Trainer, cell_of("mdl"), data).state())


# --- Counting itself ---

several_jacobians = st.integers(2, 5).flatmap(
    lambda tasks: st.lists(
        arrays(np.float32, (tasks, 4), elements=st.sampled_from([-2, -1, 0, 0.5, 1, 3])), min_size=1, max_size=4
    )
)


@given(several_jacobians)
@settings(max_examples=50)
def test_counts_follow_the_definition(jacobians):
    tasks = len(jacobians[0])
    counts = ConflictCounts(tasks, CPU)
    for jacobian in jacobians:
        counts.add(gramian(torch.from_numpy(jacobian)))
    row = counts.row()
    for number, (i, j) in enumerate(itertools.combinations(range(tasks), 2)):
        pairs = [(m[i].astype(float), m[j].astype(float)) for m in jacobians]
        pairs = [(a, b) for a, b in pairs if a.any() and b.any()]
        cosines = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in pairs]
        assert row["conflicts"][number] == sum(c < 0 for c in cosines)
        assert row["steps"][number] == len(pairs)
        assert row["zero"][number] == len(jacobians) - len(pairs)
        assert row["mean_cosine"][number] == (pytest.approx(np.mean(cosines), abs=1e-12) if pairs else None)
    for task in range(tasks):
        norms = [n for n in (np.linalg.norm(m[task].astype(float)) for m in jacobians) if n]
        assert row["norm"][task] == (pytest.approx(np.mean(norms)) if norms else None)
    counts.reset()
    assert counts.row()["zero"] == [0] * len(row["zero"])


def test_published_pair_conflicts_and_gradients_that_are_not_finite_do_not():
    counts = ConflictCounts(3, CPU)
    counts.add(gramian(torch.tensor([[-4.0, 1, 1], [6, 1, 1], [float("nan"), 1, 1]])))
    counts.add(gramian(torch.tensor([[-4.0, 1, 1], [6, 1, 1], [float("inf"), 1, 1]])))
    row = counts.row()
    assert (row["conflicts"], row["steps"], row["zero"]) == ([2, 0, 0], [2, 0, 0], [0, 2, 2])
    assert row["mean_cosine"] == [pytest.approx(-0.8412, abs=5e-5), None, None]


def test_products_are_summed_in_float64():
    """In float32 the small opposed part would be lost next to the large orthogonal ones."""
    jacobian = torch.zeros(2, 40000)
    jacobian[0, :100], jacobian[1, 100:200] = 1e4, 1e4
    jacobian[0, -1], jacobian[1, -1] = 1e-3, -1e-3
    assert gramian(jacobian)[0, 1].item() == pytest.approx(-1e-6, rel=1e-6)


def test_stochastic_depth_of_a_part_is_that_of_the_whole(data):
    trainer = trainer_of(Trainer, cell_of("mdl"), data)
    images, rows = torch.randn(30, 1, 16, 16), torch.arange(30) % 3 == 1
    network = trainer.network.train()
    torch.manual_seed(5)
    whole = network(images)
    torch.manual_seed(5)
    with stochastic_depth_of(network, 30, rows):
        part = network(images[rows])
    torch.testing.assert_close(part, whole[rows])
    torch.manual_seed(5)
    assert torch.equal(network(images), whole)
    torch.manual_seed(5)
    assert not torch.allclose(network(images[rows]), whole[rows])


# --- Jobs ---

CELL = "digits/mnist+optdigits/vit_d2_w8/uniform/base"


@pytest.fixture
def signals():
    """A job replaces the process's signal handlers; restore them."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def plan_in(tiny, write_config, tmp_path):
    """(name of a folder) -> plan that counts in two seeds, with a prepared store."""
    from scalarization.config import load_config
    from scalarization.plan import load_plan

    pair = tiny["experiments"]["pair"]
    tiny["benchmarks"]["digits"]["recipe"]["epochs"] = 2
    tiny["conflicts"] = {
        "pair": {k: pair[k] for k in ("benchmark", "task_sets", "architectures")} | {"seeds": 2, "every": 3}
    }

    def plan_in(name):
        plan = load_plan(load_config(write_config(tmp_path / name, tiny)))
        prepare(plan.paths.store_file("digits").parent, "digits", ["mnist", "optdigits"], tmp_path)
        return plan

    return plan_in


def test_job_stopped_at_every_step_writes_the_same_file(plan_in, signals):
    plan, stopped = plan_in("whole"), plan_in("stopped")
    count_conflicts(plan, [plan.counted_cell(CELL)], None)
    calls = 1
    while True:
        try:
            count_conflicts(stopped, [stopped.counted_cell(CELL)], 0)
            break
        except StoppedError:
            calls += 1
    assert calls == 2 * 7 + 1  # after every step but a run's last
    file, other = (p.paths.run_file(p.counted_cell(CELL)) for p in (plan, stopped))
    table = pq.read_table(file)
    assert table.schema.equals(CONFLICT_SCHEMA, check_metadata=False)
    assert table.to_pylist() == pq.read_table(other).to_pylist()
    rows = table.to_pylist()
    assert [(r["seed"], r["epoch"]) for r in rows] == [(s, e) for s in (0, 1) for e in (1, 2)]
    assert {(r["task_i"], r["task_j"], r["metric"], r["method"]) for r in rows} == {
        ("mnist", "optdigits", "accuracy", "uniform")
    }
    # Four steps in an epoch, of which the first and the fourth are counted.
    assert {r["steps"] + r["zero"] for r in rows} == {2}
    assert all(0 <= r["conflicts"] <= r["steps"] and r["norm_i"] > 0 and 0 < r["validation"] < 100 for r in rows)
    metadata = read_metadata(file)
    assert metadata["specification"]["conflicts"] == {"every": 3} and metadata["code"] and metadata["data"]
    assert not list(file.parent.rglob("*.part")) and not list(plan.config.results.rglob("*.ckpt"))


def test_finished_counts_are_taken_from_their_record(plan_in, signals):
    plan = plan_in("once")
    cell = plan.counted_cell(CELL)
    count_conflicts(plan, [cell], None)
    file = plan.paths.run_file(cell)
    rows, records = pq.read_table(file).to_pylist(), sorted(plan.config.results.rglob("finished.json"))
    times = [r.stat().st_mtime_ns for r in records]
    file.unlink()
    count_conflicts(plan, [cell], None)
    assert pq.read_table(file).to_pylist() == rows
    assert [r.stat().st_mtime_ns for r in records] == times and len(records) == 2
