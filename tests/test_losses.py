"""Laws of all losses, and their closed forms."""

from math import log

import pytest
import torch
from torch.nn.functional import softplus

from equipoise import losses, spec

ALL = spec.names(losses)
SOFT = log(1 + 2.718281828459045)  # softplus(1)


@pytest.mark.parametrize("name", ALL)
def test_the_right_order_of_logits_is_preferred(name):
    loss, high, low = spec.build(name, losses), torch.full((4,), 0.5), torch.full((4,), -0.5)
    assert loss.d(high, low) < loss.d(low, high)
    assert loss.g(high, high) < loss.g(high, low)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("batch", [1, 5])
def test_gradients_agree_with_finite_differences(name, batch):
    loss = spec.build(name, losses)
    real, fake = (torch.randn(2, batch, dtype=torch.float64)).requires_grad_().unbind()
    assert torch.autograd.gradcheck(loss.d, (real, fake))
    assert torch.autograd.gradcheck(loss.g, (real, fake))


@pytest.mark.parametrize("name", ALL)
def test_only_paired_losses_read_the_real_logits_for_the_generator(name):
    loss, fake = spec.build(name, losses), torch.randn(4)
    differs = loss.g(torch.zeros(4), fake) != loss.g(torch.ones(4), fake)
    assert differs == loss.paired


@pytest.mark.parametrize(
    ("spec_string", "real", "fake", "d", "g"),
    [
        ("minimax", 0.0, 0.0, 2 * log(2), -log(2)),
        ("non_saturating", 0.0, 0.0, 2 * log(2), log(2)),
        ("non_saturating", 1.0, -1.0, 2 * (SOFT - 1), SOFT),
        ("non_saturating(real_target=0.9)", 1.0, 0.0, SOFT - 0.9 + log(2), log(2)),
        ("least_squares", 0.0, 0.0, 0.5, 0.5),
        ("least_squares(a=-1.0, b=1.0, c=0.0)", 0.5, 0.5, (0.25 + 2.25) / 2, 0.125),
        ("wasserstein", 3.0, 1.0, -2.0, -1.0),
        ("hinge", 1.0, -1.0, 0.0, 1.0),
        ("hinge", 0.0, 0.0, 2.0, 0.0),
        ("hinge(margin=2.0)", 1.0, 0.0, 3.0, 0.0),
        ("relativistic", 2.0, 2.0, log(2), log(2)),
        ("relativistic", 1.0, 0.0, SOFT - 1, SOFT),
    ],
)
def test_closed_forms(spec_string, real, fake, d, g):
    loss = spec.build(spec_string, losses)
    logits = torch.full((3,), real, dtype=torch.float64), torch.full((3,), fake, dtype=torch.float64)
    torch.testing.assert_close(loss.d(*logits).item(), d)
    torch.testing.assert_close(loss.g(*logits).item(), g)


def test_wasserstein_is_antisymmetric():
    loss, (a, b) = losses.wasserstein(), torch.randn(2, 6)
    torch.testing.assert_close(loss.d(a, b), -loss.d(b, a))


def test_relativistic_swaps_the_players():
    loss, (a, b) = losses.relativistic(), torch.randn(2, 6)
    torch.testing.assert_close(loss.d(a, b), loss.g(b, a))


def test_relativistic_compares_in_pairs_not_means():
    loss, real, fake = losses.relativistic(), torch.tensor([2.0, -2.0]), torch.tensor([-2.0, 2.0])
    torch.testing.assert_close(loss.d(real, fake), softplus(torch.tensor([-4.0, 4.0])).mean())


def test_optimal_discriminator_of_the_minimax_game_is_the_log_ratio():
    """Three reals for every fake at the same point: f* = log q/p = log 3."""
    loss, logits = losses.minimax(), torch.linspace(-6, 6, 12001, dtype=torch.float64)
    values = torch.stack(
        [loss.d(f.expand(3), f[None]) + 2 * loss.d(f.expand(3), torch.tensor([-99.0]).double()) for f in logits[::10]]
    )
    assert logits[::10][values.argmin()].item() == pytest.approx(log(3), abs=1e-2)


@pytest.mark.parametrize("smoothing", [1.0, 0.9])
def test_optimal_discriminator_under_one_sided_smoothing(smoothing):
    """D* = a q / (q + p) on the density of reals and fakes (Salimans 2016, Sec. 3.4)."""
    loss = losses.non_saturating(real_target=smoothing)
    logit = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logit], max_iter=100, tolerance_grad=1e-12)

    def closure():
        optimizer.zero_grad()
        value = loss.d(logit, logit)
        value.backward()
        return value

    optimizer.step(closure)
    assert torch.sigmoid(logit).item() == pytest.approx(smoothing / 2, abs=1e-6)


def test_saturating_generator_has_no_gradient_where_the_discriminator_is_sure():
    fake = torch.full((1,), -20.0, requires_grad=True)
    (minimax,) = torch.autograd.grad(losses.minimax().g(fake, fake), fake)
    (other,) = torch.autograd.grad(losses.non_saturating().g(fake, fake), fake)
    assert abs(minimax) < 1e-8
    assert other == pytest.approx(-1, abs=1e-6)


def test_smoothing_must_be_a_probability():
    with pytest.raises(ValueError, match=r"real_target must be between 0.0 and 1.0, not 1.1"):
        losses.non_saturating(real_target=1.1)
