"""RotoGrad against its published equations, written out in NumPy (float64)."""

import numpy as np
import pytest
import scipy.linalg
import torch

T, N, M = 3, 7, 5


@pytest.fixture(params=["cayley", "matrix_exp"])
def method(build, request):
    """RotoGrad in float64, with rotations that are not the identity."""
    method = build("rotograd", T, orthogonal_map=request.param, reduction="sum")
    method.set_features(M)
    method.double()
    method.generator.data = 0.5 * torch.randn(T, M, M, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return method


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def frobenius(gradients):
    return np.array([np.linalg.norm(g) for g in gradients])


def test_starts_at_the_identity(build):
    for kind in ("cayley", "matrix_exp"):
        method = build("rotograd", T, orthogonal_map=kind)
        method.set_features(M)
        rotations = method.rotations()
        assert torch.equal(rotations, torch.eye(M).expand(T, M, M))
        features = torch.randn(N, M)
        assert torch.equal(method.rotate(features, rotations), features.expand(T, N, M))


def test_rotations_are_the_published_map_of_a_skew_matrix(build):
    method = build("rotograd", T, orthogonal_map="matrix_exp")
    method.set_features(M)
    method.double()
    method.generator.data = draw(0, T, M, M)
    for actual, generator in zip(method.rotations().detach().numpy(), method.generator.detach().numpy(), strict=True):
        upper = np.triu(generator, 1)
        np.testing.assert_allclose(actual, scipy.linalg.expm(upper - upper.T), atol=1e-12)


def test_rotate(method):
    rotations = method.rotations()
    features = draw(1, N, M).requires_grad_()
    rotated = method.rotate(features, rotations)
    for t in range(T):
        for n in range(N):
            expected = rotations[t].detach().numpy() @ features[n].detach().numpy()
            np.testing.assert_allclose(rotated[t, n].detach().numpy(), expected)
    # Losses reach the features, never the rotations.
    rotated.sum().backward()
    assert features.grad is not None
    assert method.generator.grad is None


def test_combined_gradient(method):
    first = None
    for seed in range(3):
        gradients = draw(seed, T, N, M) * torch.tensor([1.0, 5.0, 0.2])[:, None, None]
        rotations = method.rotations()
        actual = method.combine(gradients, rotations).numpy()
        on_features = np.stack([gradients[t].numpy() @ rotations[t].detach().numpy() for t in range(T)])
        norms = frobenius(on_features)
        first = norms if first is None else first
        alphas = norms / first / (norms / first).sum()
        common = (alphas * norms).sum()
        expected = common * sum(g / n for g, n in zip(on_features, norms, strict=True))
        np.testing.assert_allclose(actual, expected, rtol=1e-10)
    np.testing.assert_allclose(method.first_norms, first)


def test_gradient_on_features_is_that_of_the_losses(method):
    """combine() computes the gradient on z that autograd computes through the rotation."""
    features = draw(1, N, M).requires_grad_()
    rotations = method.rotations()
    rotated = method.rotate(features, rotations)
    losses = (rotated.sin() * draw(2, T, N, M)).sum((1, 2))
    through = torch.stack([torch.autograd.grad(loss, features, retain_graph=True)[0] for loss in losses])
    (gradients,) = torch.autograd.grad(losses.sum(), rotated)
    torch.testing.assert_close(method._on_features(gradients, rotations)[0], through)


def test_rotation_loss_and_its_gradient(method):
    gradients = draw(3, T, N, M) * torch.tensor([1.0, 5.0, 0.2])[:, None, None]
    start = method.generator.detach().clone()
    start_rotations = method.rotations().detach().numpy()
    on_features = np.stack([gradients[t].numpy() @ start_rotations[t] for t in range(T)])
    units = on_features / frobenius(on_features)[:, None, None]

    def loss(rotations, own=True):
        # The task's own part of v changes the loss, but not its gradient.
        target = units.mean(0) - (0 if own else units / T)
        return -sum(
            (rotations[t].T @ gradients[t, n].numpy()) @ np.broadcast_to(target, units.shape)[t, n]
            for t in range(T)
            for n in range(N)
        )

    rotations = method.rotations()
    value = method.rotation_loss(gradients, rotations)
    np.testing.assert_allclose(value.item(), loss(start_rotations, own=False))
    value.backward()
    eps = 1e-6
    for index in [(0, 0, 1), (0, 2, 4), (1, 1, 3), (2, 0, 4), (2, 3, 1)]:
        values = []
        for sign in (1, -1):
            method.generator.data = start.clone()
            method.generator.data[index] += sign * eps
            values.append(loss(method.rotations().detach().numpy()))
        assert method.generator.grad[index].item() == pytest.approx((values[0] - values[1]) / (2 * eps), abs=1e-7)


def test_training_aligns_directions_and_stays_orthogonal(build):
    """Two heads with opposite gradients on the features agree after their rotations are trained."""
    method = build("rotograd", 2)
    method.set_features(M)
    optimizer = torch.optim.Adam(method.parameters(), lr=0.05)
    direction = draw(0, N, M).float()
    gradients = torch.stack([direction, -direction + 0.1 * draw(1, N, M).float()])
    cosines = []
    for _ in range(80):
        rotations = method.rotations()
        first, second = method._on_features(gradients, rotations)[0]
        cosines.append(torch.cosine_similarity(first.flatten(), second.flatten(), dim=0).item())
        optimizer.zero_grad()
        method.rotation_loss(gradients, rotations).backward()
        optimizer.step()
    assert cosines[0] < -0.9
    # A rotation of SO(5) cannot reverse all five directions, but four of them.
    assert cosines[-1] > 0.5
    rotations = method.rotations().detach()
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(M).expand(2, M, M), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(2), rtol=0, atol=1e-4)


def test_one_task_is_plain_training(build):
    method = build("rotograd", 1)
    method.set_features(M)
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.1)
    for seed in range(4):
        gradients = draw(seed, 1, N, M).float()
        rotations = method.rotations()
        assert torch.equal(method.combine(gradients, rotations), gradients[0])
        method.rotation_loss(gradients, rotations).backward()
        optimizer.step()
        optimizer.zero_grad()
        assert torch.equal(method.rotations(), torch.eye(M)[None])


def test_order_of_tasks_scale_and_reduction(build):
    gradients = draw(0, T, N, M).float()
    results = {}
    for name, given, reduction in [
        ("mean", gradients, "mean"),
        ("sum", gradients, "sum"),
        ("order", gradients.flip(0), "mean"),
        ("scale", 1e-3 * gradients, "mean"),
    ]:
        method = build("rotograd", T, reduction=reduction)
        method.set_features(M)
        results[name] = method.combine(given, method.rotations())
    torch.testing.assert_close(results["sum"], T * results["mean"])
    torch.testing.assert_close(results["order"], results["mean"])
    torch.testing.assert_close(results["scale"], 1e-3 * results["mean"])


def test_equal_tasks_get_the_mean(build):
    gradients = draw(0, 1, N, M).float().expand(T, N, M)
    method = build("rotograd", T)
    method.set_features(M)
    torch.testing.assert_close(method.combine(gradients, method.rotations()), gradients[0])


def test_an_absent_task_is_left_out(build):
    gradients = draw(0, T, N, M).float()
    gradients[1] = 0
    three, two = build("rotograd", 3), build("rotograd", 2)
    three.set_features(M)
    two.set_features(M)
    rotations = three.rotations()
    combined = three.combine(gradients, rotations)
    torch.testing.assert_close(combined, two.combine(gradients[[0, 2]], two.rotations()))
    three.rotation_loss(gradients, rotations).backward()
    assert three.generator.grad.isfinite().all()
    assert not three.generator.grad[1].any()
    # Its norms are compared with those of the first step at which it is present.
    assert three.first_norms[1] == 0
    gradients[1] = 1
    three.combine(gradients, rotations)
    assert three.first_norms[1] == pytest.approx((N * M) ** 0.5)
    assert not three.combine(torch.zeros(T, N, M), rotations).any()
    assert three.combine(gradients * torch.nan, rotations).isnan().all()


@pytest.mark.parametrize("kind", ["cayley", "matrix_exp"])
def test_domains_with_disjoint_samples_keep_the_rotations(build, kind):
    """Adam would make whole steps of rounding, so the gradient is exactly 0: in float32, wherever the rotations are."""
    method = build("rotograd", T, orthogonal_map=kind)
    method.set_features(M)
    method.generator.data = torch.randn(T, M, M, generator=torch.Generator().manual_seed(0))
    before = method.generator.detach().clone()
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.1, weight_decay=0)
    for seed in range(4):
        gradients = draw(seed, T, N, M).float()
        for t in range(T):
            gradients[t, torch.arange(N) % T != t] = 0
        method.rotation_loss(gradients, method.rotations()).backward()
        assert not method.generator.grad.any()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(method.generator, before)


@pytest.mark.parametrize("scale", [1e-25, 1e-8, 1e8])
def test_small_and_large_gradients_keep_their_digits(build, scale):
    """Squares of float32 numbers below 1e-23 are 0."""
    gradients = draw(0, T, N, M).float()
    expected, actual = build("rotograd", T), build("rotograd", T)
    for method in (expected, actual):
        method.set_features(M)
    rotations = expected.rotations()
    torch.testing.assert_close(
        actual.combine(scale * gradients, rotations) / scale,
        expected.combine(gradients, rotations),
        rtol=1e-5,
        atol=1e-6,
    )


def test_half_precision(build):
    method = build("rotograd", T)
    method.set_features(M)
    features = torch.randn(N, M, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        rotations = method.rotations()
        rotated = method.rotate(features, rotations)
    assert rotations.dtype == torch.float32
    assert rotated.dtype == torch.bfloat16
    assert method.combine(rotated, rotations).dtype == torch.bfloat16


def test_rotation_lr_is_the_scale_of_the_learning_rate(build):
    assert build("rotograd", T).lr_scale == 0.1
    assert build("rotograd", T, rotation_lr=0.5).lr_scale == 0.5
    assert build("uncertainty", T).lr_scale == 1
