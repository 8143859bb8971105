"""Losses of logits: closed forms and symmetries."""

from math import e, exp, log

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from equipoise import losses, spec
from equipoise.losses.divergences import FORMS

SOFT = log(1 + e)  # softplus(1)


@pytest.mark.parametrize(
    ("spec_string", "real", "fake", "d", "g"),
    [
        ("minimax", 0.0, 0.0, 2 * log(2), -log(2)),
        ("minimax", 1.0, -1.0, 2 * (SOFT - 1), -(SOFT - 1)),
        ("non_saturating", 0.0, 0.0, 2 * log(2), log(2)),
        ("non_saturating", 1.0, -1.0, 2 * (SOFT - 1), SOFT),
        ("non_saturating(real_target=0.9)", 1.0, 0.0, SOFT - 0.9 + log(2), log(2)),
        ("non_saturating(real_target=0.9)", 0.0, 1.0, log(2) + SOFT, SOFT - 1),
        ("least_squares", 0.0, 0.0, 0.5, 0.5),
        ("least_squares", 1.0, 0.0, 0.0, 0.5),
        ("least_squares(a=-1.0, b=1.0, c=0.0)", 0.5, 0.5, (0.25 + 2.25) / 2, 0.125),
        ("wasserstein", 3.0, 1.0, -2.0, -1.0),
        ("hinge", 1.0, -1.0, 0.0, 1.0),
        ("hinge", 0.0, 0.0, 2.0, 0.0),
        ("hinge", -2.0, 3.0, 3.0 + 4.0, -3.0),
        ("hinge(margin=2.0)", 1.0, 0.0, 3.0, 0.0),
        ("relativistic", 2.0, 2.0, log(2), log(2)),
        ("relativistic", 1.0, 0.0, SOFT - 1, SOFT),
        ("relativistic_average", 2.0, 2.0, 2 * log(2), 2 * log(2)),
        ("relativistic_average", 1.0, 0.0, 2 * (SOFT - 1), 2 * SOFT),
        ("dual_contrastive", 2.0, 2.0, 2 * log(4), 2 * log(4)),
        ("dual_contrastive", 1.0, 0.0, 2 * log(1 + 3 / e), 2 * log(1 + 3 * e)),
        ("f_gan(divergence='kl')", 2.0, 1.0, 1.0 - 2.0, -1.0),
        ("f_gan(divergence='reverse_kl')", 0.0, 3.0, 2.0 + 1.0, exp(-3)),
        ("f_gan(divergence='pearson')", 1.0, 2.0, 3.0 - 1.0, -2.0),
        ("f_gan(divergence='squared_hellinger')", 0.0, 1.0, e - 1, exp(-1) - 1),
        ("f_gan(divergence='squared_hellinger', saturating=True)", 0.0, 1.0, e - 1, 1 - e),
        ("f_gan(divergence='total_variation')", 0.0, 30.0, 0.5, -0.5),
        ("f_gan(divergence='jensen_shannon')", 0.0, 1.0, SOFT - log(2), SOFT - 1 - log(2)),
        ("energy", -2.0, -4.0, 2.0 + 6.0, 4.0),
        ("energy(margin=3.0)", -2.0, -4.0, 2.0, 4.0),
    ],
)
def test_closed_forms_of_equal_logits(spec_string, real, fake, d, g):
    loss = spec.build(spec_string, losses)
    logits = torch.full((3,), real, dtype=torch.float64), torch.full((3,), fake, dtype=torch.float64)
    torch.testing.assert_close(loss.d(*logits).item(), d)
    torch.testing.assert_close(loss.g(*logits).item(), g)


def test_least_squares_is_a_mean_of_squares():
    """pro_gan_pytorch took the square of the mean (its issue 13), which any spread around the target satisfies."""
    spread = torch.tensor([0.0, 2.0])
    assert losses.least_squares().d(spread, torch.zeros(2)) == 0.5
    assert losses.least_squares().g(spread, spread) == 0.5


def test_least_squares_pulls_reals_to_b_and_fakes_to_a():
    """PyTorch-StudioGAN had the targets wrong (its pull request 173)."""
    loss = losses.least_squares(a=2.0, b=5.0, c=7.0)
    assert loss.d(torch.tensor([5.0]), torch.tensor([2.0])) == 0
    assert loss.g(torch.tensor([2.0]), torch.tensor([7.0])) == 0


def test_relativistic_compares_in_pairs_not_means():
    loss, real, fake = losses.relativistic(), torch.tensor([2.0, -2.0]), torch.tensor([-2.0, 2.0])
    torch.testing.assert_close(loss.d(real, fake), softplus(torch.tensor([-4.0, 4.0])).mean())


def test_relativistic_average_compares_both_sides_with_the_others_mean():
    """PyTorch-GAN's version was found to be nonsense (its pull request 210)."""
    real, fake = torch.randn(2, 7).numpy()
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    d = -np.log(sigmoid(real - fake.mean())).mean() - np.log(1 - sigmoid(fake - real.mean())).mean()
    g = -np.log(1 - sigmoid(real - fake.mean())).mean() - np.log(sigmoid(fake - real.mean())).mean()
    loss, logits = losses.relativistic_average(), (torch.from_numpy(real), torch.from_numpy(fake))
    assert loss.d(*logits).item() == pytest.approx(d, rel=1e-5)
    assert loss.g(*logits).item() == pytest.approx(g, rel=1e-5)


def test_dual_contrastive_against_its_definition():
    real, fake = torch.randn(2, 6, dtype=torch.float64).numpy()
    reals = [-np.log(np.exp(r) / (np.exp(r) + np.exp(fake).sum())) for r in real]
    fakes = [-np.log(np.exp(-f) / (np.exp(-f) + np.exp(-real).sum())) for f in fake]
    found = losses.dual_contrastive().d(torch.from_numpy(real), torch.from_numpy(fake))
    assert found.item() == pytest.approx(np.mean(reals) + np.mean(fakes), rel=1e-12)


def test_only_reals_are_smoothed():
    """A smoothed fake target would reward samples where there are no data (Salimans 2016, Sec. 3.4)."""
    fake, plain, smooth = torch.randn(5), losses.non_saturating(), losses.non_saturating(real_target=0.8)
    slope = lambda loss, x: torch.autograd.functional.jacobian(lambda x: loss.d(torch.zeros(5), x), x)
    torch.testing.assert_close(slope(smooth, fake), slope(plain, fake))
    sure = torch.full((1,), 50.0)
    assert smooth.d(sure, -sure) == pytest.approx(0.2 * 50, rel=1e-6)


MIRRORED = ("minimax", "non_saturating", "least_squares(a=-1.0, b=1.0, c=0.0)", "wasserstein", "hinge", "relativistic")
MIRRORED += ("relativistic_average", "dual_contrastive", "f_gan(divergence='total_variation')")


@pytest.mark.parametrize("name", MIRRORED)
def test_reals_and_fakes_change_places_under_the_opposite_logit(name):
    loss, (real, fake) = spec.build(name, losses), torch.randn(2, 6)
    torch.testing.assert_close(loss.d(real, fake), loss.d(-fake, -real))


@pytest.mark.parametrize("name", ["relativistic", "relativistic_average", "dual_contrastive"])
def test_the_players_change_places_with_the_batches(name):
    loss, (real, fake) = spec.build(name, losses), torch.randn(2, 6)
    torch.testing.assert_close(loss.g(real, fake), loss.d(fake, real))


@pytest.mark.parametrize("name", ["wasserstein", "f_gan(divergence='total_variation')"])
def test_antisymmetry(name):
    loss, (real, fake) = spec.build(name, losses), torch.randn(2, 6)
    torch.testing.assert_close(loss.d(real, fake), -loss.d(fake, real))


SADDLES = ["minimax", "wasserstein", *(f"f_gan(divergence='{name}', saturating=True)" for name in FORMS)]


@pytest.mark.parametrize("name", SADDLES)
def test_what_one_player_of_a_saddle_gains_the_other_loses(name):
    loss, (real, fake) = spec.build(name, losses), torch.randn(2, 6, dtype=torch.float64).requires_grad_()
    (d,), (g,) = (torch.autograd.grad(player(real, fake), fake) for player in (loss.d, loss.g))
    torch.testing.assert_close(d, -g)


def test_saturating_generator_has_no_gradient_where_the_discriminator_is_sure():
    fake = torch.full((1,), -20.0, requires_grad=True)
    (minimax,) = torch.autograd.grad(losses.minimax().g(fake, fake), fake)
    (other,) = torch.autograd.grad(losses.non_saturating().g(fake, fake), fake)
    assert abs(minimax) < 1e-8
    assert other == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("non_saturating(real_target=1.1)", r"real_target must be at least 0 and at most 1, not 1.1"),
        ("f_gan(divergence='hellinger')", "squared_hellinger"),
        ("energy(margin=0.0)", r"margin must be above 0, not 0.0"),
        ("boundary_equilibrium(gamma=1.5)", r"gamma must be at least 0 and at most 1, not 1.5"),
        ("boundary_equilibrium(rate=-1.0)", r"rate must be at least 0, not -1.0"),
        ("loss_sensitive(margin=-1.0)", r"margin must be at least 0"),
        ("loss_sensitive(slope=2.0)", r"slope must be at least 0 and at most 1, not 2.0"),
        ("feature_matching(norm='l3')", "'l1'.*'l2'"),
        ("feature_matching(loss=hinges)", r"did you mean 'hinge'"),
        ("auxiliary_classifier(d_weight=-1.0)", r"d_weight must be at least 0, not -1.0"),
    ],
)
def test_wrong_hyper_parameters_are_refused(call, problem):
    with pytest.raises(ValueError, match=problem):
        spec.build(call, losses)


def test_maps_of_logits_are_taken_as_patch_discriminators_give_them():
    real, fake = torch.randn(2, 4, 1, 3, 3)
    for name in (
        "hinge",
        "non_saturating",
        "least_squares",
        "relativistic",
        "relativistic_average",
        "dual_contrastive",
    ):
        loss = spec.build(name, losses)
        torch.testing.assert_close(loss.d(real, fake), loss.d(real.flatten(), fake.flatten()))
        torch.testing.assert_close(loss.g(real, fake), loss.g(real.flatten(), fake.flatten()))


def test_pairs_of_different_shapes_are_refused_before_they_broadcast():
    with pytest.raises(ValueError, match=r"logits of \[4\] and \[4, 1\]"):
        losses.relativistic().d(torch.randn(4), torch.randn(4, 1))
