"""Laws of all gradient penalties, and their closed forms."""

import pytest
import torch
from torch import nn

from equipoise import penalties, spec

ALL = spec.names(penalties)


def linear(w):
    return lambda x: x.flatten(1) @ w


def small_net():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0))


@pytest.mark.parametrize(
    ("spec_string", "of_norm"),
    [
        ("wgan_gp", lambda n: 10 * (n - 1) ** 2),
        ("wgan_gp(weight=2.0, target=0.0)", lambda n: 2 * n**2),
        ("wgan_gp(sided='one')", lambda n: 10 * (n - 1).clamp(min=0) ** 2),
        ("r1(weight=4.0)", lambda n: 2 * n**2),
        ("r2(weight=4.0)", lambda n: 2 * n**2),
    ],
)
@pytest.mark.parametrize("norm", [0.3, 2.5])
def test_closed_form_of_a_linear_critic(spec_string, of_norm, norm):
    w = torch.randn(18, dtype=torch.float64)
    w = w * norm / w.norm()
    real, fake = torch.randn(2, 5, 2, 3, 3, dtype=torch.float64)
    value = spec.build(spec_string, penalties)(linear(w), real, fake)
    torch.testing.assert_close(value, of_norm(w.norm()))


@pytest.mark.parametrize("name", ALL)
def test_norms_are_per_sample(name):
    """Twice the samples, the same mean; a norm over the batch would grow by the root of two."""
    critic, real, fake = small_net().double(), *torch.randn(2, 1, 2, 6, 6, dtype=torch.float64)[:, :1]
    penalty = spec.build(name, penalties)
    real, fake = real.reshape(1, 2, 6, 6), fake.reshape(1, 2, 6, 6)
    if name == "wgan_gp":
        fake = real  # then every interpolate is the sample itself
    once = penalty(critic, real, fake)
    torch.testing.assert_close(penalty(critic, real.repeat(2, 1, 1, 1), fake.repeat(2, 1, 1, 1)), once)


@pytest.mark.parametrize("name", ALL)
def test_every_weight_gets_a_gradient_that_agrees_with_finite_differences(name):
    critic = small_net().double()
    real, fake = torch.randn(2, 3, 2, 6, 6, dtype=torch.float64)
    penalty = spec.build(name, penalties)

    def value():
        torch.manual_seed(1)  # the same interpolates
        return penalty(critic, real, fake)

    value().backward()
    for parameter_name, weight in critic.named_parameters():
        if parameter_name == "3.bias":  # a constant has no slope
            continue
        assert weight.grad.abs().max() > 0, parameter_name
        index = tuple(int(i) for i in (weight.grad.abs() == weight.grad.abs().max()).nonzero()[0])
        values = []
        for step in (1e-5, -2e-5, 1e-5):
            values.append(value().item())
            weight.data[index] += step
        _, above, below = values
        torch.testing.assert_close((above - below) / 2e-5, weight.grad[index].item(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_finite_where_the_critic_is_flat(name):
    critic = nn.Sequential(nn.Flatten(), nn.Linear(8, 1), nn.Flatten(0))
    nn.init.zeros_(critic[1].weight)
    value = spec.build(name, penalties)(critic, torch.ones(4, 2, 2, 2), torch.zeros(4, 2, 2, 2))
    value.backward()
    assert value.isfinite()
    assert critic[1].weight.grad.isfinite().all()


@pytest.mark.parametrize("name", ALL)
def test_inputs_of_any_rank_are_accepted(name):
    w = torch.randn(7)
    value = spec.build(name, penalties)(linear(w), torch.randn(3, 7), torch.randn(3, 7))
    assert value.shape == ()


def test_r1_looks_at_reals_and_r2_at_fakes():
    critic = lambda x: x.flatten(1).square().sum(1) / 2  # its gradient at x is x
    real, fake = torch.full((2, 4), 3.0), torch.full((2, 4), 5.0)
    assert penalties.r1(weight=2.0)(critic, real, fake).item() == 4 * 9
    assert penalties.r2(weight=2.0)(critic, real, fake).item() == 4 * 25


def test_interpolates_lie_between_pairs_with_one_share_a_sample():
    asked = []

    def critic(x):
        asked.append(x.detach())
        return x.flatten(1).sum(1)

    real, fake = torch.zeros(64, 3, 2, 2), torch.ones(64, 3, 2, 2)
    penalties.wgan_gp()(critic, real, fake)
    shares = asked[0].flatten(1)
    torch.testing.assert_close(shares, shares[:, :1].expand_as(shares))
    assert 0 <= shares.min() < 0.2
    assert 0.8 < shares.max() <= 1
    assert shares[:, 0].unique().numel() == 64


def test_images_that_require_a_gradient_are_not_run_again():
    runs = []

    def critic(x):
        runs.append(x)
        return x.flatten(1).sum(1)

    real = torch.randn(2, 3, requires_grad=True)
    penalties.r1()(critic, real, torch.randn(2, 3))
    assert runs[0] is real


def test_dirac_gan_converges_only_with_r1():
    """Real point 0, fake point t, D(x) = p x: plain descent moves away, R1 spirals in (Mescheder 2018)."""
    final = {}
    for weight in (0.0, 1.0):
        p, t = 1.0, 1.0
        for _ in range(400):
            slope = -torch.sigmoid(torch.tensor(p * t)).item()  # of log(1 - D(t))
            p, t = p + 0.1 * (slope * t - weight * p), t - 0.1 * slope * p
        final[weight] = (p * p + t * t) ** 0.5
    assert final[0.0] > 2**0.5
    assert final[1.0] < 1e-2


@pytest.mark.parametrize("name", ALL)
def test_no_gradient_reaches_the_generator(name):
    weight = torch.ones(6, requires_grad=True)
    fake = torch.randn(4, 6) * weight
    D = nn.Sequential(nn.Linear(6, 4), nn.Softplus(), nn.Linear(4, 1), nn.Flatten(0))
    spec.build(name, penalties)(D, torch.randn(4, 6), fake).backward()
    assert weight.grad is None
    assert D[0].weight.grad is not None


@pytest.mark.parametrize("name", ALL)
def test_a_penalty_is_no_reward(name):
    with pytest.raises(ValueError, match=r"weight must be at least 0, not -1.0"):
        spec.build(f"{name}(weight=-1.0)", penalties)
