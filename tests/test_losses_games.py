"""Losses of energies, pairs of images, features and classes."""

from math import log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from equipoise import losses
from equipoise.critic import Critic
from equipoise.labels import LabelSpace


class Judge(nn.Module):
    """The logit, the features and the class logits are parts of the image itself: [logit, 2 features, 3 classes]."""

    def __init__(self):
        super().__init__()
        self.features, self.class_logits = nn.Identity(), nn.Identity()

    def forward(self, images, labels=None):
        self.features(images[:, 1:3])
        self.class_logits(images[:, 3:])
        return images[:, 0]


LABELS = torch.tensor([0, 2, 1, 1])


def scene():
    """A critic, reals and fakes."""
    return Critic(Judge(), LABELS), *torch.randn(2, 4, 6, dtype=torch.float64)


def balanced(gamma=0.5, rate=0.1, k=0.0):
    loss = losses.boundary_equilibrium(gamma=gamma, rate=rate)
    loss.state.k.fill_(k)
    return loss


def step(loss, real, fake):
    """One step of both players with these energies."""
    loss.d(torch.tensor([-real]), torch.tensor([-fake]))
    loss.g(torch.tensor([-real]), torch.tensor([-fake]))
    return loss.state.k.item()


ENERGIES = st.floats(0, 100, width=32)


@given(steps=st.lists(st.tuples(ENERGIES, ENERGIES), max_size=8), gamma=st.floats(0, 1), rate=st.floats(0, 10))
def test_k_starts_at_0_and_stays_within_0_and_1(steps, gamma, rate):
    """A benchmark's version does not clip it."""
    loss = losses.boundary_equilibrium(gamma=gamma, rate=rate)
    assert loss.state.k == 0
    for real, fake in steps:
        assert 0 <= step(loss, real, fake) <= 1


def test_k_is_clipped_at_both_ends():
    assert step(balanced(rate=10.0, k=0.5), 9.0, 0.0) == 1
    assert step(balanced(rate=10.0, k=0.5), 0.0, 9.0) == 0


@given(real=st.floats(0.125, 4, width=16), fake=st.floats(0.125, 4, width=16), gamma=st.sampled_from([0.25, 0.5, 0.75]))
def test_k_rises_exactly_where_fakes_are_reconstructed_too_well(real, fake, gamma):
    change = step(balanced(gamma, rate=0.01, k=0.5), real, fake) - 0.5
    assert (change > 0) == (fake < gamma * real)
    assert change == pytest.approx(0.01 * (gamma * real - fake), abs=1e-6)


def test_k_weighs_the_fakes_of_the_next_step():
    loss, logits = balanced(rate=0.05, k=0.25), (torch.tensor([-3.0, -1.0]), torch.tensor([-5.0, -3.0]))
    assert loss.d(*logits) == 2.0 - 0.25 * 4.0
    assert loss.g(*logits) == 4.0
    assert loss.state.k.item() == pytest.approx(0.25 + 0.05 * (0.5 * 2.0 - 4.0), abs=1e-7)


def test_k_is_no_way_for_a_gradient():
    loss, logits = balanced(k=0.25), torch.full((2,), -2.0, requires_grad=True)
    value = loss.d(logits, logits)
    loss.g(logits, logits)  # moves k before the gradient of d is taken
    (slope,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(slope, torch.full((2,), (0.25 - 1) / 2))
    assert not loss.state.k.requires_grad


def test_the_global_measure_of_convergence():
    loss = balanced(gamma=0.5)
    step(loss, 3.0, 4.0)
    assert loss.state.convergence == 3.0 + abs(1.5 - 4.0)
    step(loss, 3.0, 1.5)
    assert loss.state.convergence == 3.0


def test_k_brings_the_energies_to_their_ratio():
    """A caricature: the more D minds fakes, the larger their energy. E(G) settles at gamma E(x)."""
    loss, fake = balanced(gamma=0.5, rate=0.1), 0.0
    for _ in range(400):
        fake = 2 * step(loss, 2.0, fake)
    assert fake == pytest.approx(0.5 * 2.0, abs=1e-3)


def test_what_began_remembers_survives_in_a_fresh_object():
    loss, fresh = balanced(), balanced()
    step(loss, 3.0, 0.5)
    fresh.state.load_state_dict(loss.state.state_dict())
    assert fresh.state.k == loss.state.k > 0
    assert fresh.state.convergence == loss.state.convergence > 0
    logits = torch.tensor([-1.0]), torch.tensor([-0.25])
    assert fresh.g(*logits) == loss.g(*logits)  # before d: the remembered energy of reals moves k
    assert fresh.state.k == loss.state.k == pytest.approx(0.1 * (1.0 + 1.25), abs=1e-6)


def test_evaluation_moves_nothing():
    loss = balanced(k=0.5)
    step(loss, 1.0, 0.5)
    before = {name: x.clone() for name, x in loss.state.state_dict().items()}
    loss.state.eval()
    step(loss, 7.0, 0.0)
    assert before == loss.state.state_dict()
    assert before.keys() == {"k", "real", "convergence"}


def test_fakes_above_the_margin_of_energy_are_left_alone():
    fake = torch.tensor([-3.0, -1.0], requires_grad=True)
    losses.energy(margin=2.0).d(torch.zeros(2), fake).backward()
    assert fake.grad.tolist() == [0.0, 0.5]


def test_loss_sensitive_against_its_definition():
    critic, real, fake = scene()
    d = losses.loss_sensitive(margin=0.3, real_weight=0.7).d(critic, real, fake)
    x, y = real.numpy(), fake.numpy()
    gaps = [0.3 * np.abs(a - b).sum() - a[0] + b[0] for a, b in zip(x, y, strict=True)]
    assert min(gaps) < 0 < max(gaps)
    assert d.item() == pytest.approx(0.7 * -x[:, 0].mean() + np.mean(np.maximum(gaps, 0)), rel=1e-12)
    assert losses.loss_sensitive().g(critic, real, fake).item() == pytest.approx(-y[:, 0].mean(), rel=1e-12)


def test_the_margin_of_loss_sensitive_is_a_sum_over_all_values():
    flat = lambda images: 0 * images.flatten(1).sum(1)
    d = losses.loss_sensitive(margin=2e-4).d(flat, torch.ones(2, 3, 64, 64), -torch.ones(2, 3, 64, 64))
    assert d.item() == pytest.approx(2e-4 * 2 * 3 * 64 * 64, rel=1e-5)


def test_no_gradient_reaches_images_by_the_margin_of_loss_sensitive():
    flat = lambda images: 0 * images.sum(1)
    real, fake = torch.randn(2, 4, 3).requires_grad_().unbind()
    slopes = torch.autograd.grad(losses.loss_sensitive().d(flat, real, fake), (real, fake))
    assert all((slope == 0).all() for slope in slopes)


def test_the_generalised_form_is_a_leaky_one_and_at_slope_1_the_wasserstein_loss():
    critic, real, fake = scene()
    both = losses.loss_sensitive(margin=0.0, slope=1.0).d(critic, real, fake)
    torch.testing.assert_close(both, losses.wasserstein().d(critic(real), critic(fake)))
    gaps = critic(fake) - critic(real)
    leaky = losses.loss_sensitive(margin=0.0, slope=0.25).d(critic, real, fake)
    torch.testing.assert_close(leaky, torch.where(gaps > 0, gaps, gaps / 4).mean())


def test_feature_matching_is_about_means_of_features():
    critic, real, fake = scene()
    difference = real[:, 1:3].mean(0) - fake[:, 1:3].mean(0)
    torch.testing.assert_close(losses.feature_matching().g(critic, real, fake), difference.abs().mean())
    torch.testing.assert_close(losses.feature_matching(norm="l2").g(critic, real, fake), difference.square().sum())
    assert losses.feature_matching(losses.hinge()).d(critic, real, fake) == losses.hinge().d(critic(real), critic(fake))


def test_feature_matching_moves_fakes_alone():
    critic, real, fake = scene()
    real.requires_grad_(), fake.requires_grad_()
    losses.feature_matching().g(critic, real, fake).backward()
    assert real.grad is None
    assert fake.grad[:, 1:3].abs().min() > 0


def cross_entropy(images):
    scores = images[:, 3:].numpy()
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return -np.log(shares[np.arange(4), LABELS.numpy()]).mean()


def test_auxiliary_classifier_adds_cross_entropies():
    critic, real, fake = scene()
    base, game = losses.hinge(), losses.auxiliary_classifier(losses.hinge(), d_weight=2.0, g_weight=0.1)
    d, g = base.d(critic(real), critic(fake)).item(), base.g(critic(real), critic(fake)).item()
    both = cross_entropy(real) + cross_entropy(fake)
    assert game.d(critic, real, fake).item() == pytest.approx(d + 2.0 * both, rel=1e-12)
    assert game.g(critic, real, fake).item() == pytest.approx(g + 0.1 * cross_entropy(fake), rel=1e-12)
    reals = losses.auxiliary_classifier(losses.hinge(), fakes=False)
    assert reals.d(critic, real, fake).item() == pytest.approx(d + cross_entropy(real), rel=1e-12)


def test_an_undecided_classifier_costs_log_classes():
    images = torch.zeros(4, 6)
    game, critic = losses.auxiliary_classifier(losses.wasserstein()), Critic(Judge(), LABELS)
    assert game.d(critic, images, images.clone()).item() == pytest.approx(2 * log(3), rel=1e-6)
    assert game.g(critic, images, images.clone()).item() == pytest.approx(log(3), rel=1e-6)


def crammer_singer(images, right, margin):
    """The multi-class hinge over three classes and the fake class 3, whose score is minus the logit."""
    terms = []
    for image, y in zip(images.tolist(), right, strict=True):
        scores = [*image[3:], -image[0]]
        terms.append(max(0.0, margin - scores[y] + max(s for i, s in enumerate(scores) if i != y)))
    return np.mean(terms)


@pytest.mark.parametrize("margin", [1.0, 0.2])
def test_multi_hinge_against_its_definition(margin):
    (critic, real, fake), game, y = scene(), losses.multi_hinge(margin), LABELS.tolist()
    d = crammer_singer(real, y, margin) + crammer_singer(fake, [3] * 4, margin)
    assert game.d(critic, real, fake).item() == pytest.approx(d, rel=1e-12)
    assert game.g(critic, real, fake).item() == pytest.approx(crammer_singer(fake, y, margin), rel=1e-12)


def test_multi_hinge_leaves_nothing_to_learn_beyond_the_margins():
    real = torch.tensor([[5.0, 0, 0, 9, 0, 0], [5.0, 0, 0, 0, 0, 9]])
    fake = torch.tensor([[-5.0, 0, 0, 1, 2, 3], [-5.0, 0, 0, 3, 2, 1]])
    assert losses.multi_hinge().d(Critic(Judge(), torch.tensor([0, 2])), real, fake) == 0


@pytest.mark.parametrize("name", ["auxiliary_classifier", "multi_hinge"])
def test_losses_about_classes_need_labels_and_class_logits(name):
    game, (_, real, fake) = getattr(losses, name)(), scene()
    with pytest.raises(ValueError, match=r"needs data with some, and a critic with them: Critic\(D, labels\)"):
        game.d(Critic(Judge()), real, fake)
    with pytest.raises(ValueError, match="this needs the discriminator's class logits"):
        game.g(Critic(lambda images, labels: images[:, 0], LABELS), real, fake)


def test_feature_matching_needs_features():
    with pytest.raises(ValueError, match=r"discriminator's features, but Flatten has no submodule 'features'"):
        losses.feature_matching().g(nn.Flatten(0), torch.ones(4, 1), torch.ones(4, 1))


@pytest.mark.parametrize("kind", ["attributes", "vectors"])
def test_an_auxiliary_classifier_of_other_labels_against_its_definition(kind):
    """A mean over attributes of binary cross entropies; of vectors the mean squared error."""
    (_, real, fake), labels = scene(), LabelSpace(kind, 3).example(4)
    game, critic = losses.auxiliary_classifier(losses.hinge(), d_weight=2.0, g_weight=0.1), Critic(Judge(), labels)
    y = labels.double().numpy()

    def expected(images):
        scores = images[:, 3:].numpy()
        if kind == "vectors":
            return ((scores - y) ** 2).mean()
        shares = 1 / (1 + np.exp(-scores))
        return -(y * np.log(shares) + (1 - y) * np.log(1 - shares)).mean()

    base = losses.hinge()
    d, g = base.d(critic(real), critic(fake)).item(), base.g(critic(real), critic(fake)).item()
    assert game.d(critic, real, fake).item() == pytest.approx(d + 2.0 * (expected(real) + expected(fake)), rel=1e-6)
    assert game.g(critic, real, fake).item() == pytest.approx(g + 0.1 * expected(fake), rel=1e-6)


@pytest.mark.parametrize("kind", ["attributes", "vectors"])
def test_multi_hinge_takes_classes_alone(kind):
    (_, real, fake), critic = scene(), Critic(Judge(), LabelSpace(kind, 3).example(4))
    with pytest.raises(ValueError, match=f"multi_hinge is about classes, one per image, not {kind}; auxiliary_classi"):
        losses.multi_hinge().d(critic, real, fake)
    with pytest.raises(ValueError, match=f"not {kind}"):
        losses.multi_hinge().g(critic, real, fake)


def energies(images):
    """The energy of an image is its first value."""
    return -images[:, 0]


def rounds(loss, count, batch=4):
    """Both players' objectives in so many rounds of so many images."""
    images = torch.arange(1.0, batch + 1)[:, None], torch.full((batch, 1), 3.0)
    critics = (Critic(energies, seen=number * batch) for number in range(count))
    return [(loss.d(critic, *images).item(), loss.g(critic, *images).item()) for critic in critics]


@pytest.mark.parametrize(("images", "alone"), [(1, 1), (4, 1), (5, 2), (8, 2)])
def test_first_the_discriminator_reconstructs_reals_alone(images, alone):
    base = losses.energy()
    played = base.d(-torch.arange(1.0, 5), torch.full((4,), -3.0)).item(), 3.0
    assert rounds(losses.pretrained(images=images), 4) == [(2.5, 0.0)] * alone + [played] * (4 - alone)


def test_the_generators_objective_does_not_depend_on_it_in_pretraining():
    loss, fake = losses.pretrained(images=1), torch.ones(4, 1, requires_grad=True)
    assert not loss.g(Critic(energies, seen=0), torch.ones(4, 1), fake).requires_grad
    assert loss.g(Critic(energies, seen=4), torch.ones(4, 1), fake).requires_grad


def test_pretraining_follows_the_images_seen():
    with pytest.raises(ValueError, match=r"how many images were seen: Critic\(D, seen=...\)"):
        losses.pretrained().d(energies, torch.ones(4, 1), torch.ones(4, 1))
    loss = losses.pretrained(images=8)
    assert rounds(loss, 4)[2:] == rounds(losses.of_critic(losses.energy()), 2) == rounds(loss, 4)[2:]


def test_the_equilibrium_does_not_move_before_it_is_played_for():
    loss = losses.pretrained(losses.boundary_equilibrium(rate=0.1), images=8)
    rounds(loss, 2)
    assert loss.state.k == loss.state.convergence == 0
    rounds(loss, 3)
    assert loss.state.convergence > 0


def test_pretraining_is_of_energies_alone_and_keeps_what_its_loss_needs():
    for loss in (losses.hinge(), losses.wasserstein(), losses.feature_matching()):
        with pytest.raises(ValueError, match="pretrained takes energy, boundary_equilibrium and what is built on them"):
            losses.pretrained(loss)
    with pytest.raises(ValueError, match="images must be at least 1, not 0"):
        losses.pretrained(images=0)
    assert losses.pretrained(losses.feature_matching(losses.energy())).paired
    assert not losses.pretrained().paired
    assert losses.pretrained().energy
