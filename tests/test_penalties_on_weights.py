"""Penalties on weights: closed forms, an SVD, and a history in numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from equipoise import penalties
from equipoise.critic import Critic

NOTHING = torch.zeros(1, 1)


def net():
    """Layers of all kinds; the embedding is no filter."""
    return nn.ModuleDict(
        {
            "linear": nn.Linear(5, 3),
            "wide": nn.Linear(3, 5),
            "conv": nn.Conv2d(2, 4, 3),
            "grouped": nn.Conv2d(4, 4, 3, groups=2),
            "transposed": nn.ConvTranspose2d(3, 2, 2),
            "grouped transposed": nn.ConvTranspose2d(4, 6, 2, groups=2),
            "embedding": nn.Embedding(6, 3),
            "norm": nn.BatchNorm2d(4),
        }
    ).double()


def matrix(name, layer):
    """The weight [outputs, rest] in numpy, one row an output."""
    weight = layer.weight.detach().numpy()
    if "transposed" not in name:
        return weight.reshape(len(weight), -1)
    groups = np.split(weight, layer.groups)
    return np.concatenate([group.swapaxes(0, 1).reshape(group.shape[1], -1) for group in groups])


def matrices(D, skip=("norm",)):
    return {name: matrix(name, layer) for name, layer in D.items() if name not in skip}


def weights(D):
    return [layer.weight for name, layer in D.items() if name != "norm"]


def converged(penalty, D):
    for _ in range(600):
        penalty(D, NOTHING, NOTHING)
    return penalty


def test_spectral_regularization_is_half_the_sum_of_largest_singular_values_squared():
    D = net()
    value = converged(penalties.spectral_regularization(weight=0.3), D)(D, NOTHING, NOTHING)
    expected = sum(np.linalg.svd(m)[1][0] ** 2 for m in matrices(D).values())
    assert value.item() == pytest.approx(0.15 * expected, rel=1e-6)


def test_the_gradient_of_spectral_regularization_is_w_sigma_u_v():
    D = net()
    converged(penalties.spectral_regularization(weight=0.3), D)(D, NOTHING, NOTHING).backward()
    for name in ("linear", "wide", "conv", "embedding"):
        u, sigma, v = np.linalg.svd(matrices(D)[name])
        expected = 0.3 * sigma[0] * np.outer(u[:, 0], v[0])
        found = D[name].weight.grad.flatten(1).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_one_call_is_one_step_of_power_iteration():
    D = nn.Sequential(nn.Linear(6, 4))
    penalty, W = penalties.spectral_regularization(weight=2.0), D[0].weight.detach()
    penalty(D, NOTHING, NOTHING)
    (u,) = (x.clone() for x in penalty.state_dict().values())
    value = penalty(D, NOTHING, NOTHING)
    v = nn.functional.normalize(W.T @ u, dim=0)
    torch.testing.assert_close(value.detach(), (W @ v).norm().square())
    (after,) = penalty.state_dict().values()
    torch.testing.assert_close(after, nn.functional.normalize(W @ v, dim=0))
    assert not torch.allclose(after, u)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
def test_orthonormal_of_one_layer(shape):
    """|W'W - I|^2 up to a constant, with the gradient 4 w W (W'W - I)."""
    D = nn.Linear(shape[1], shape[0], bias=False).double()
    W = D.weight.detach().clone()
    value = penalties.orthonormal(weight=0.3)(D, NOTHING, NOTHING)
    difference = W.T @ W - torch.eye(shape[1]).double()
    surplus = max(shape[1] - shape[0], 0)  # of the longer identity: what no weight can reach
    torch.testing.assert_close(value.detach(), 0.3 * (difference.square().sum() - surplus))
    value.backward()
    torch.testing.assert_close(D.weight.grad, 0.3 * 4 * W @ difference)


def test_orthonormal_is_a_sum_over_all_layers():
    D = net()
    grams = [m.T @ m - np.eye(m.shape[1]) for m in matrices(D).values()]
    surplus = sum(max(m.shape[1] - m.shape[0], 0) for m in matrices(D).values())
    expected = sum((g**2).sum() for g in grams) - surplus
    assert penalties.orthonormal(weight=1.0)(D, NOTHING, NOTHING).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("names", [("sigma", "weight"), ("mean", "count"), ("0", "0.0")])
@pytest.mark.parametrize("factory", [penalties.spectral_regularization, penalties.historical_averaging])
def test_layers_may_have_any_name(factory, names):
    D = nn.Module()
    for name in names:
        holder = D
        for part in name.split(".")[:-1]:
            holder = holder.get_submodule(part)
        holder.add_module(name.split(".")[-1], nn.Linear(3, 2))
    penalty, fresh = factory(), factory()
    penalty(D, NOTHING, NOTHING)
    with torch.no_grad():
        D.get_parameter(f"{names[0]}.weight").add_(1.0)
    fresh.load_state_dict(penalty.state_dict())
    assert fresh(D, NOTHING, NOTHING) == penalty(D, NOTHING, NOTHING) > 0


@pytest.mark.parametrize("penalty", [penalties.orthonormal, penalties.orthogonal_offdiagonal])
def test_orthogonal_rows_cost_nothing(penalty):
    D = nn.Conv2d(2, 4, 3).double()
    nn.init.orthogonal_(D.weight)
    assert penalty(weight=1.0)(D, NOTHING, NOTHING).item() == pytest.approx(0, abs=1e-20)
    with torch.no_grad():
        D.weight *= 2.0
    assert (penalty(weight=1.0)(D, NOTHING, NOTHING) > 1) == (penalty is penalties.orthonormal)  # lengths


def test_orthogonal_offdiagonal_is_about_pairs_of_filters():
    """The gradient is 4 w (WW' * (1 - I)) W, the exact one: BigGAN-PyTorch adds half of it. Embeddings are left out."""
    D = net()
    value = penalties.orthogonal_offdiagonal(weight=0.3)(D, NOTHING, NOTHING)
    off = {name: m @ m.T * (1 - np.eye(len(m))) for name, m in matrices(D, ("norm", "embedding")).items()}
    assert value.item() == pytest.approx(0.3 * sum((x**2).sum() for x in off.values()), rel=1e-9)
    value.backward()
    for name in ("linear", "conv"):
        expected = 0.3 * 4 * off[name] @ matrices(D)[name]
        np.testing.assert_allclose(D[name].weight.grad.flatten(1).numpy(), expected, rtol=1e-9, atol=1e-12)
    assert D["embedding"].weight.grad is None


def test_historical_averaging_is_the_distance_from_the_mean_of_the_past():
    D = net()
    penalty, past = penalties.historical_averaging(weight=0.3), []
    for _ in range(5):
        now = np.concatenate([w.detach().numpy().ravel() for w in D.parameters()])
        expected = 0.3 * ((now - np.mean(past, axis=0)) ** 2).sum() if past else 0.0
        value = penalty(D, NOTHING, NOTHING)
        assert value.item() == pytest.approx(expected, rel=1e-6, abs=1e-12)
        past.append(now)
        with torch.no_grad():
            for w in D.parameters():
                w += torch.randn_like(w)
    penalty(D, NOTHING, NOTHING).backward()
    mean = np.mean([p[:15].reshape(3, 5) for p in past], axis=0)
    expected = 0.3 * 2 * (D["linear"].weight.detach().numpy() - mean)
    np.testing.assert_allclose(D["linear"].weight.grad.numpy(), expected, rtol=1e-6)


ALL = [
    penalties.spectral_regularization,
    penalties.orthonormal,
    penalties.orthogonal_offdiagonal,
    penalties.historical_averaging,
]


@pytest.mark.parametrize("factory", ALL)
def test_it_is_the_network_that_learns_whose_weights_count(factory):
    D, G = nn.Linear(3, 2), nn.Linear(4, 5)
    for critic, learner, other in ((Critic(D, generator=G), D, G), (Critic(D, generator=G, learner=G), G, D)):
        penalty = factory()
        penalty(critic, NOTHING, NOTHING)
        with torch.no_grad():
            learner.weight += 0.1
        penalty(critic, NOTHING, NOTHING).backward()
        assert learner.weight.grad.any()
        assert other.weight.grad is None
        learner.weight.grad = None


@pytest.mark.parametrize("factory", ALL)
def test_a_function_has_no_weights(factory):
    with pytest.raises(ValueError, match="a penalty on weights needs the network itself, not a function"):
        factory()(lambda x: x, NOTHING, NOTHING)


@pytest.mark.parametrize("factory", ALL[:3])
def test_a_reparametrized_weight_is_taken_as_the_layer_uses_it(factory):
    D = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    plain = nn.Linear(4, 3)
    plain.weight.data.copy_(D.weight)
    values = []
    for layer in (D, plain):
        torch.manual_seed(0)
        values.append(factory()(layer, NOTHING, NOTHING))
    torch.testing.assert_close(*values)
    values[0].backward()
    assert all(weight.grad.any() for name, weight in D.named_parameters() if name != "bias" and "0" not in name)
