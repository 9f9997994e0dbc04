"""Expected values for the Jacobian of TorchJD's documentation, and for three losses."""

import pytest
import torch

J = torch.tensor([[-4.0, 1, 1], [6, 1, 1]])
L = torch.tensor([1.0, 2, 4])

GRADIENTS = [
    ("pcgrad", {"reduction": "sum"}, [0.5848, 3.8012, 3.8012]),
    ("pcgrad", {}, [0.2924, 1.9006, 1.9006]),
    ("cagrad", {"rescale": False}, [0.1835, 1.2041, 1.2041]),
    ("cagrad", {}, [0.1468, 0.9633, 0.9633]),
    ("imtl_g", {}, [0.0767, 1, 1]),
    ("mgda", {}, [0, 1, 1]),
    ("nash_mtl", {}, [0.0542, 0.7061, 0.7061]),
    ("aligned_mtl", {}, [0.2133, 0.9673, 0.9673]),
    # TorchJD has [0.2929, 1.9004, 1.9004]: its solver adds 1e-4 to the diagonal. Of two tasks it is PCGrad's mean.
    ("upgrad", {}, [0.2924, 1.9006, 1.9006]),
]


@pytest.mark.parametrize(("name", "options", "expected"), GRADIENTS)
def test_gradient_methods(build, name, options, expected):
    torch.testing.assert_close(build(name, 2, **options)(J), torch.tensor(expected).float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("name", "expected"), [("uncertainty", 3.5), ("imtl_l", 7.0)])
def test_loss_methods(build, name, expected):
    assert build(name, 3)(L).item() == expected


def test_rlw_weights_sum_to_one(build):
    losses = torch.ones(3, requires_grad=True)
    for seed in range(5):
        torch.manual_seed(seed)
        (weights,) = torch.autograd.grad(build("rlw", 3)(losses), losses)
        assert weights.min() > 0
        torch.testing.assert_close(weights.sum(), torch.tensor(1.0))


def test_graddrop_keeps_one_sign_with_the_purity_as_probability(build):
    method = build("graddrop", 2, reduction="sum")
    torch.manual_seed(0)
    coordinates = method(J[:, :1].expand(2, 20_000))
    assert set(coordinates.tolist()) == {6.0, -4.0}
    assert (coordinates == 6).float().mean().item() == pytest.approx(0.6, abs=0.015)
    assert method(J)[1:].tolist() == [2, 2]
    assert build("graddrop", 2)(J)[1:].tolist() == [1, 1]
