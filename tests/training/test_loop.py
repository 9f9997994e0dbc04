"""One run: against a loop written by hand, its metrics, and resuming bit for bit from any step."""

import copy
import io
import math

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from scalarization import seeds
from scalarization.training.loop import Trainer
from scalarization.training.objectives import DomainObjective
from scalarization.weights import WeightSchedule

from .conftest import parameters

NO_AUGMENTATION = {"crop_padding": 0, "flip": False, "randaugment": None}


def assert_same(first, second, path="state"):
    """Bit for bit, whatever is nested in what."""
    assert type(first) is type(second), path
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first:
            assert_same(first[key], second[key], f"{path}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), path
        for number, (a, b) in enumerate(zip(first, second, strict=True)):
            assert_same(a, b, f"{path}.{number}")
    else:
        assert first == second, path


def state_of(trainer):
    return {
        "network": trainer.network.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "rows": trainer.rows,
        "step": trainer.step,
        "saved": torch.load(io.BytesIO(trainer.state()), weights_only=True),
    }


# --- Against a loop written by hand ---


@pytest.mark.parametrize("number", [0, 1])
def test_trainer_equals_a_plain_loop(tiny, trainer_of, train, digits_store, number):
    tiny["benchmarks"]["digits"]["model"]["drop_path"] = 0.0
    trainer = trainer_of(tiny, number=number, augmentation=NO_AUGMENTATION, weight_decay=0.3)
    weights = ((0.3, 0.7), (0.7, 0.3))[number]

    with torch.random.fork_rng():
        torch.manual_seed(seeds.integers(0, 0, "initialisation", size=1)[0])
        network = VisionTransformer(
            img_size=16, patch_size=8, in_chans=1, num_classes=10, embed_dim=8, depth=2, num_heads=2, mlp_ratio=2
        )
    assert_same(dict(network.state_dict()), dict(trainer.network.state_dict()))
    for block, other in zip(network.blocks, trainer.network.blocks, strict=True):
        block.attn.fused_attn = other.attn.fused_attn  # two ways to compute the same, which differ in the last bit

    plain = [p for n, p in network.named_parameters() if p.ndim < 2 or n in ("cls_token", "pos_embed")]
    decayed = [p for p in network.parameters() if not any(p is q for q in plain)]
    groups = [{"params": plain, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.3}]
    optimizer = torch.optim.AdamW(groups, fused=True)
    normalisation = digits_store.metadata["normalisation"]
    mean, std = (torch.tensor(normalisation[k])[:, None, None] for k in ("mean", "std"))
    domains, rows, _ = trainer.sampler.epoch(0, 4, weights, [0, 0])  # 800 images of optdigits / 200
    network.train()
    for step in range(3):
        places = [("mnist", "optdigits")[d] for d in domains[step]]
        images = [torch.tensor(digits_store.images(d, "train")[r]) for d, r in zip(places, rows[step], strict=True)]
        labels = [int(digits_store.labels(d, "train")[r]) for d, r in zip(places, rows[step], strict=True)]
        batch = torch.addcmul(-mean / std, torch.stack(images).permute(0, 3, 1, 2).float(), 1 / (255 * std))
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (step + 1) / 4  # one epoch of warm-up: four steps
        optimizer.zero_grad()
        torch.nn.CrossEntropyLoss()(network(batch.contiguous()), torch.tensor(labels)).backward()
        optimizer.step()

    train(trainer, until=3)
    assert trainer.step == 3
    assert_same(dict(network.state_dict()), dict(trainer.network.state_dict()))


def test_loss_falls(tiny, trainer_of, train):
    trainer = trainer_of(tiny, epochs=8, eval_every=1, lr=0.01, augmentation=NO_AUGMENTATION)
    train(trainer)
    losses = [r["value"] for r in trainer.rows if r["split"] == "batches"]
    assert losses[0] == pytest.approx(math.log(10), abs=0.5) and losses[-1] < losses[0] - 0.3


def test_runs_of_a_seed_start_alike_and_seeds_differ(tiny, trainer_of):
    tiny["experiments"]["pair"]["seeds"] = 2
    first, second_seed, other_weights = (trainer_of(tiny, number=n).network.state_dict() for n in (0, 1, 2))
    assert_same(dict(first), dict(other_weights))
    assert not torch.equal(first["head.weight"], second_seed["head.weight"])


def test_building_and_training_leave_the_global_state_alone(tiny, trainer_of, train):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    train(trainer_of(tiny), until=6)
    assert torch.equal(torch.get_rng_state(), before)


def test_schedule_determines_the_weights_of_each_epoch(tiny, trainer_of, train):
    """Sampling probabilities of 0 and 1 show which weights an epoch was trained with."""
    trainer = trainer_of(tiny, epochs=3)
    assert trainer.schedule == WeightSchedule.constant((0.3, 0.7))
    trainer.set_schedule(WeightSchedule(((1.0, 0.0), (0.0, 1.0), (1.0, 0.0))))
    drawn = []
    trainer.objective.counts = lambda labels, domains: drawn.append(set(domains.tolist())) or torch.ones(2)
    train(trainer)
    assert drawn == [{0}] * 4 + [{1}] * 4 + [{0}] * 4


def test_schedule_may_be_handed_in(tiny, trainer_of, digits_data):
    trainer = trainer_of(tiny)
    schedule = WeightSchedule.constant((0.9, 0.1))
    other = Trainer(trainer.cell, trainer.run, digits_data, trainer.device, schedule)
    assert other.schedule is schedule


def test_loss_is_taken_once(tiny, trainer_of):
    trainer = trainer_of(tiny)
    trainer.train_epoch(lambda: None)
    loss = trainer.mean_loss
    assert loss > 1 and trainer.take_mean_loss() == loss and trainer.take_mean_loss() == 0
    trainer.train_epoch(lambda: None)
    assert trainer.take_mean_loss() != loss


def test_rewound_trainer_repeats_the_schedule_with_its_parameters(tiny, trainer_of):
    trainer = trainer_of(tiny)
    trainer.train_epoch(lambda: None)
    trained = parameters(trainer)
    trainer.rewind()
    assert (trainer.step, trainer.epoch) == (0, 0) and torch.equal(parameters(trainer), trained)
    trainer.train_epoch(lambda: None)
    assert trainer.epoch == 1 and not torch.equal(parameters(trainer), trained)


# --- Metrics ---


@pytest.mark.parametrize(("split", "domain"), [("test", "optdigits"), ("test", "mnist"), ("validation", "optdigits")])
def test_evaluation_equals_one_image_at_a_time_in_double_precision(tiny, trainer_of, train, digits_data, split, domain):
    trainer = trainer_of(tiny, lr=0.02, epochs=10, eval_every=10, augmentation=NO_AUGMENTATION)
    train(trainer)
    network = trainer.network.eval()
    start, size = digits_data.start(domain, split), digits_data.size(domain, split)
    metrics = DomainObjective(["mnist"], 10).evaluate(network, digits_data, "mnist", start, size).metrics["mnist"]
    exact = copy.deepcopy(network).double()
    losses, right = [], 0
    with torch.no_grad():
        for row in range(start, start + size):
            logits = exact(digits_data.normalise(digits_data.images[row : row + 1]).double())[0].tolist()
            label = int(digits_data.labels[row])
            right += max(range(10), key=logits.__getitem__) == label
            losses.append(math.log(sum(math.exp(x) for x in logits)) - logits[label])
    assert metrics["accuracy"] == pytest.approx(100 * right / size)
    assert metrics["loss"] == pytest.approx(sum(losses) / size, rel=1e-5)
    assert 30 < metrics["accuracy"] < 100  # trained far enough that errors of a few images would show


def keys(rows):
    keys = [(r["epoch"], r["split"], r["task"], r["metric"]) for r in rows]
    assert len(keys) == len(set(keys))
    return set(keys)


def both(epoch, splits, tasks):
    return {(epoch, split, task, metric) for split in splits for task in tasks for metric in ("accuracy", "loss")}


def test_rows_of_a_joint_run(tiny, trainer_of, train):
    trainer = trainer_of(tiny)  # 3 epochs, eval_every 2
    train(trainer)
    tasks = ["mnist", "optdigits"]
    assert keys(trainer.rows) == (
        {(2, "batches", "average", "loss"), (3, "batches", "average", "loss")}
        | both(2, ["train_subset", "validation"], tasks)
        | both(3, ["train_subset", "train", "validation", "test"], tasks)
    )


def test_rows_of_a_baseline(tiny, trainer_of, train, single):
    tiny["benchmarks"]["digits"]["domains"] = ["mnist", "optdigits", "mfeat"]
    trainer = trainer_of(tiny, single)
    train(trainer)
    assert keys(trainer.rows) == (
        {(2, "batches", "average", "loss"), (3, "batches", "average", "loss")}
        | both(2, ["train_subset", "validation"], ["mnist"])
        | both(3, ["train_subset"], ["mnist"])
        | both(3, ["train", "validation", "test"], ["mnist", "optdigits", "mfeat"])
    )


def test_mean_loss_is_that_of_the_batches_since_the_last_evaluation(tiny, trainer_of, train, monkeypatch):
    losses = []
    cross_entropy = torch.nn.functional.cross_entropy

    def recorded(logits, labels, **options):
        loss = cross_entropy(logits, labels, **options)
        if loss.requires_grad:
            losses.append(loss.item())
        return loss

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", recorded)
    trainer = trainer_of(tiny)
    train(trainer)
    reported = [r["value"] for r in trainer.rows if r["split"] == "batches"]
    assert len(losses) == 12  # 3 epochs of 4 steps
    assert reported == pytest.approx([sum(losses[:8]) / 8, sum(losses[8:]) / 4], rel=1e-6)


def test_training_subset_is_the_beginning_of_the_shuffled_split(tiny, trainer_of, train, digits_data):
    trainer = trainer_of(tiny)
    train(trainer)
    for domain, size in (("mnist", 1000), ("optdigits", 300)):  # as many as in validation
        start = digits_data.start(domain, "train")
        network = trainer.network.eval()
        expected = trainer.objective.evaluate(network, digits_data, domain, start, size).metrics[domain]
        (row,) = [
            r["value"]
            for r in trainer.rows
            if (r["epoch"], r["split"], r["task"], r["metric"]) == (3, "train_subset", domain, "accuracy")
        ]
        assert row == expected["accuracy"]


def test_metrics_do_not_depend_on_when_they_are_taken(tiny, trainer_of, train):
    seldom, often = trainer_of(copy.deepcopy(tiny)), trainer_of(tiny, eval_every=1)
    train(seldom)
    train(often)
    assert_same(dict(seldom.network.state_dict()), dict(often.network.state_dict()))
    last = [[r for r in t.rows if r["epoch"] == 3 and r["split"] != "batches"] for t in (seldom, often)]
    assert last[0] == last[1]


# --- Resuming ---


@pytest.fixture(params=["grid", "single"])
def run(request, tiny, trainer_of, single):
    """(**recipe) -> fresh trainer of a run with stochastic depth, crops and RandAugment."""
    tiny["benchmarks"]["digits"]["model"]["drop_path"] = 0.5
    cell = {"cell": single} if request.param == "single" else {}
    return lambda **recipe: trainer_of(tiny, **cell, **recipe)


def test_resumed_at_any_step_equals_uninterrupted(run, train):
    whole = run()
    train(whole)
    assert whole.step == whole.cell.steps == 12
    for step in range(1, 12) if len(whole.cell.tasks) > 1 else (3, 4, 5, 11):
        left = run()
        train(left, until=step)
        assert left.step == step
        resumed = run()
        resumed.load_state(left.state())
        assert_same(state_of(resumed), state_of(left))
        train(resumed)
        assert_same(state_of(resumed), state_of(whole))


def test_resumed_again_and_again_equals_uninterrupted(run, train):
    whole = run(optimizer="sgd")
    train(whole)
    payload = None
    for step in range(1, 13):
        trainer = run()
        if payload:
            trainer.load_state(payload)
        train(trainer, until=step)
        payload = trainer.state()
    assert_same(state_of(trainer), state_of(whole))


def test_drop_path_and_augmentation_do_something(tiny, trainer_of, train):
    """Or the tests above would compare nothing."""
    ends = []
    for drop_path, recipe in ((0.5, {}), (0.0, {}), (0.5, {"augmentation": NO_AUGMENTATION})):
        preset = copy.deepcopy(tiny)
        preset["benchmarks"]["digits"]["model"]["drop_path"] = drop_path
        trainer = trainer_of(preset, **recipe)
        train(trainer, until=2)
        ends.append(trainer.network.state_dict()["head.weight"])
    assert not torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])


def test_state_of_another_network_is_refused(tiny, trainer_of, train):
    other = copy.deepcopy(tiny)
    other["experiments"]["pair"]["architectures"]["depth"] = [1]
    foreign = trainer_of(other, cell="digits/mnist+optdigits/vit_d1_w8/grid/base").state()
    with pytest.raises(ValueError):
        trainer_of(tiny).load_state(foreign)


# --- Options ---


def test_bfloat16_trains(tiny, trainer_of, train):
    exact, mixed = trainer_of(copy.deepcopy(tiny)), trainer_of(tiny, precision="bfloat16")
    seen = []
    mixed.network.head.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    train(exact)
    train(mixed)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in mixed.network.parameters()} == {torch.float32}
    assert not torch.equal(exact.network.head.weight, mixed.network.head.weight)
    assert torch.allclose(exact.network.head.weight, mixed.network.head.weight, atol=0.02)
    assert all(math.isfinite(r["value"]) for r in mixed.rows)


def test_float32_is_the_default_on_a_cpu(tiny, trainer_of, train):
    trainer = trainer_of(tiny)
    assert trainer.recipe.precision == "auto" and trainer.forward is trainer.network  # not compiled either
    seen = []
    trainer.network.head.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    train(trainer, until=1)
    assert set(seen) == {torch.float32}


@pytest.mark.parametrize("given", [True, "auto"])
def test_compiled_run_trains_the_same_model(given, tiny, trainer_of, train, monkeypatch):
    """Traced by torch.compile as in a real run, executed op by op: generating code takes a minute on a CPU."""
    real, compiled = torch.compile, []

    def compile_quickly(network):
        compiled.append(network)
        return real(network, backend="eager")

    monkeypatch.setattr(torch, "compile", compile_quickly)
    tiny["benchmarks"]["digits"]["model"]["drop_path"] = 0.0
    plain = trainer_of(copy.deepcopy(tiny))
    trainer = trainer_of(tiny, compile=given)
    assert compiled == ([trainer.network] if given is True else [])
    train(plain)
    train(trainer, until=7)
    left = trainer.state()
    trainer = trainer_of(tiny)
    trainer.load_state(left)  # the state of a compiled run fits a network that is not compiled
    train(trainer)
    assert trainer.rows[-1]["value"] == pytest.approx(plain.rows[-1]["value"], rel=1e-4)
