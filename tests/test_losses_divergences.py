"""What is best on points whose densities are known, and the divergences that the best discriminator measures."""

from itertools import product
from math import log

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar

from equipoise import losses, spec
from equipoise.losses.divergences import FORMS

Q, P = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.6, 0.3])  # densities of reals and fakes on three points
LOGITS = torch.linspace(-4, 4, 8001, dtype=torch.float64)


def best_logit(loss):
    """The best logit of a point that holds 3 of 4 reals and 1 of 4 fakes, on a grid; a second point holds the rest."""
    here, there = LOGITS[:, None], torch.full((len(LOGITS), 1), 0.1, dtype=torch.float64)
    real, fake = torch.cat([here, here, here, there], 1), torch.cat([here, there, there, there], 1)
    return LOGITS[torch.vmap(loss.d)(real, fake).argmin()].item()


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("minimax", log(3)),
        ("non_saturating", log(3)),
        ("non_saturating(real_target=0.8)", log(0.6 / 0.4)),
        ("least_squares", 0.75),
        ("least_squares(a=-1.0, b=1.0, c=0.0)", 0.5),
        ("hinge", 1.0),
        ("hinge(margin=2.0)", 2.0),
        ("f_gan(divergence='gan')", log(3)),
        ("f_gan(divergence='jensen_shannon')", log(3)),
        ("f_gan(divergence='kl')", 1 + log(3)),
        ("f_gan(divergence='reverse_kl')", log(3)),
        ("f_gan(divergence='pearson')", 2 * (3 - 1)),
        ("f_gan(divergence='squared_hellinger')", log(3) / 2),
        ("f_gan(divergence='total_variation')", 4.0),
    ],
)
def test_the_best_discriminator_is_the_known_function_of_the_ratio_of_densities(name, best):
    assert best_logit(spec.build(name, losses)) == pytest.approx(best, abs=1e-3)


def test_the_best_relativistic_discriminator_differs_by_the_log_ratios():
    """All 16 pairs of 4 reals (3 here) and 4 fakes (1 here); D(here) - D(there) = log 3 - log 1/3."""
    real, fake = torch.tensor([1, 1, 1, 0]).repeat_interleave(4), torch.tensor([1, 0, 0, 0]).repeat(4)
    loss = torch.vmap(losses.relativistic().d)(LOGITS[:, None] * real, LOGITS[:, None] * fake)
    assert LOGITS[loss.argmin()].item() == pytest.approx(2 * log(3), abs=1e-3)


def test_an_energy_is_zero_on_data_and_the_margin_elsewhere():
    """Zhao 2017, Lemma 1, for energies, which are not negative."""
    energies, margin = torch.arange(0, 801).double() / 100, 5.0
    loss, rest = losses.energy(margin), torch.full((3,), -2.0).double()
    on_data = [loss.d(torch.cat([-x.expand(3), rest[:1]]), torch.cat([-x[None], rest])) for x in energies]
    elsewhere = [loss.d(torch.cat([-x[None], rest]), torch.cat([-x.expand(3), rest[:1]])) for x in energies]
    assert energies[torch.stack(on_data).argmin()] == 0
    assert energies[torch.stack(elsewhere).argmin()] == margin


def expectation(function, density):
    """A logit a point, to what the loss would be with these shares of samples: ten in all."""
    return np.repeat(function, np.rint(10 * density).astype(int))


def value(loss, function):
    """L_D of a discriminator with these logits on the three points."""
    return loss.d(torch.from_numpy(expectation(function, Q)), torch.from_numpy(expectation(function, P))).item()


def value_at_best(loss):
    """The least L_D over all discriminators of the three points."""
    found = minimize(
        lambda f: value(loss, f),
        np.zeros(3),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12, "maxfev": 4000},
    )
    return found.fun


def js(q, p):
    """Jensen-Shannon, with 0 log 0 = 0."""
    kl = lambda a, b: sum(x * log(x / y) for x, y in zip(a, b, strict=True) if x)
    return (kl(q, (q + p) / 2) + kl(p, (q + p) / 2)) / 2


def test_the_minimax_value_is_the_jensen_shannon_divergence():
    assert value_at_best(losses.minimax()) == pytest.approx(2 * log(2) - 2 * js(Q, P), abs=1e-8)


def test_the_hinge_value_is_the_total_variation():
    """The loss is linear between its kinks at -1 and 1, so one of these corners is its least value."""
    corners = [np.array(corner) for corner in product([-1.0, 1.0], repeat=3)]
    assert min(value(losses.hinge(), corner) for corner in corners) == pytest.approx(2 - np.abs(Q - P).sum(), abs=1e-12)


def test_disjoint_supports_are_log_2_apart_and_leave_the_minimax_generator_no_gradient():
    sure = torch.full((4,), 40.0, dtype=torch.float64)
    fake = (-sure).requires_grad_()
    distance = (-losses.minimax().d(sure, fake).item() + 2 * log(2)) / 2
    assert distance == pytest.approx(js(np.array([1.0, 0.0]), np.array([0.0, 1.0])), abs=1e-12)
    assert distance == pytest.approx(log(2), abs=1e-12)
    assert torch.autograd.grad(losses.minimax().g(sure, fake), fake)[0].abs().max() < 1e-12


def test_least_squares_at_its_best_is_pearsons_chi_square():
    """2 C(G) = chi^2(q + p || 2 p) for b - c = 1, b - a = 2 (Mao 2017, Eq. 5-8)."""
    loss, best = losses.least_squares(a=-1.0, b=1.0, c=0.0), (Q - P) / (Q + P)
    side = lambda density: loss.g(torch.zeros(1), torch.from_numpy(expectation(best, density))).item()
    assert 2 * (side(Q) + side(P)) == pytest.approx(((2 * P - (Q + P)) ** 2 / (Q + P)).sum(), rel=1e-9)


GENERATORS = {  # f of each divergence, on u > 0
    "gan": lambda u: u * np.log(u) - (u + 1) * np.log(u + 1),
    "jensen_shannon": lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2),
    "kl": lambda u: u * np.log(u),
    "reverse_kl": lambda u: -np.log(u),
    "pearson": lambda u: (u - 1) ** 2,
    "squared_hellinger": lambda u: (np.sqrt(u) - 1) ** 2,
    "total_variation": lambda u: np.abs(u - 1) / 2,
}
over_divergences = pytest.mark.parametrize("name", FORMS)


def test_the_seven_divergences():
    assert GENERATORS.keys() == FORMS.keys()


@over_divergences
@pytest.mark.parametrize("v", [-0.9, 0.0, 0.4, 1.3])
def test_the_conjugate_is_the_largest_ut_minus_f(name, v):
    activation, conjugate = FORMS[name]
    t = activation(torch.tensor(v, dtype=torch.float64)).item()
    gap = lambda log_u: GENERATORS[name](np.exp(log_u)) - np.exp(log_u) * t
    found = minimize_scalar(gap, bounds=(-12, 8), method="bounded", options={"xatol": 1e-10})
    assert conjugate(torch.tensor(v, dtype=torch.float64)).item() == pytest.approx(-found.fun, abs=2e-5)


@over_divergences
def test_the_value_at_the_best_discriminator_is_the_divergence(name):
    """Total variation needs infinite logits, which the search approaches."""
    divergence = (P * GENERATORS[name](Q / P)).sum()
    assert -value_at_best(losses.f_gan(name)) == pytest.approx(divergence, abs=1e-6)


@over_divergences
def test_output_activations_increase_within_the_domain_of_the_conjugate(name):
    ends = {"gan": 0, "jensen_shannon": log(2), "reverse_kl": 0, "squared_hellinger": 1, "total_variation": 0.5}
    t = FORMS[name].activation(torch.linspace(-8, 8, 201, dtype=torch.float64))
    assert (t.diff() > 0).all()
    assert t.max() < ends.get(name, torch.inf)


def test_f_gan_of_gan_is_the_original_game():
    real, fake = torch.randn(2, 6)
    for player in ("d", "g"):
        ours, original = (getattr(loss, player) for loss in (losses.f_gan("gan"), losses.non_saturating()))
        torch.testing.assert_close(ours(real, fake), original(real, fake))
    saturating = losses.f_gan("gan", saturating=True)
    torch.testing.assert_close(saturating.g(real, fake), losses.minimax().g(real, fake))
