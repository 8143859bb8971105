"""Penalties for the generator: pulling away, and the length of paths."""

import pytest
import torch
from torch import nn

from equipoise import penalties
from equipoise.critic import Critic


class Codes(nn.Module):
    """The image is its code."""

    def __init__(self):
        super().__init__()
        self.features = nn.Identity()

    def forward(self, images):
        return self.features(images).sum(1)


def pull(codes, weight=1.0):
    return penalties.pulling_away(weight)(Critic(Codes()), torch.zeros_like(codes), codes)


def test_equal_codes_are_pulled_with_1_and_orthogonal_ones_not_at_all():
    torch.testing.assert_close(pull(torch.randn(1, 6).expand(5, 6)), torch.tensor(1.0))
    assert pull(3 * torch.eye(6)).item() == 0
    assert pull(torch.randn(1, 6)).item() == 0


def test_lengths_and_signs_of_codes_do_not_matter():
    codes = torch.randn(4, 6)
    torch.testing.assert_close(pull(codes * torch.tensor([[2.0], [-0.1], [5.0], [-7.0]])), pull(codes))


@pytest.mark.parametrize("size", [4, 32])
def test_random_codes_are_pulled_with_about_one_over_their_size(size):
    assert pull(torch.randn(500, size)).item() == pytest.approx(1 / size, rel=0.05)


def test_pulling_away_against_its_definition():
    codes = torch.randn(5, 3, dtype=torch.float64)
    cosines = [
        torch.cosine_similarity(a, b, dim=0).item() ** 2
        for i, a in enumerate(codes)
        for j, b in enumerate(codes)
        if i != j
    ]
    assert pull(codes, 0.3).item() == pytest.approx(0.3 * sum(cosines) / 20, rel=1e-12)


def test_pulling_away_pushes_codes_apart():
    codes = torch.tensor([[1.0, 0.1], [1.0, -0.1]], requires_grad=True)
    pull(codes).backward()
    assert pull((codes - 0.01 * codes.grad).detach()) < pull(codes)


def linear_generator(kind):
    """G(z) = A z as an image of 3 values, 2 x 2 of them; what |J' y| is for J = A."""
    A = torch.randn(12, 5, dtype=torch.float64, requires_grad=True)
    return A, lambda z: (z @ A.mT).unflatten(1, (3, 2, 2)) if kind == "image" else z @ A.mT


@pytest.mark.parametrize("kind", ["image", "vector"])
def test_the_path_length_of_a_linear_generator(kind):
    A, G = linear_generator(kind)
    z = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    penalty, fake = penalties.path_length(weight=3.0, decay=0.25, every=1), G(z)
    torch.manual_seed(7)
    value = penalty(Critic(Codes(), latents=z), fake.detach(), fake)
    torch.manual_seed(7)
    noise = torch.randn_like(fake).flatten(1) / (2.0 if kind == "image" else 1.0)  # sqrt(2 * 2)
    lengths = (noise @ A).norm(dim=1)
    mean = 0.25 * lengths.mean()
    torch.testing.assert_close(value, 3 * (lengths - mean.detach()).square().mean())
    assert penalty.mean.item() == pytest.approx(mean.item(), rel=1e-6)
    (slope,) = torch.autograd.grad(value, A)
    torch.testing.assert_close(slope, torch.autograd.grad(3 * (lengths - mean.detach()).square().mean(), A)[0])


def test_the_mean_of_path_lengths_is_a_running_one():
    """With orthonormal columns and square images of one value, |J' y| is that of y: its mean square is its size."""
    z = torch.randn(2000, 6, requires_grad=True)
    penalty, fake = penalties.path_length(decay=0.5, every=1), z * 1.0
    means = []
    for _ in range(12):
        penalty(Critic(Codes(), latents=z), fake.detach(), fake)
        means.append(penalty.mean.item())
    assert means[0] == pytest.approx(means[-1] / 2, rel=0.05)
    assert means[-1] == pytest.approx(6**0.5 * (1 - 1 / 24), rel=0.02)  # the mean of a chi distribution


def test_path_length_is_evaluated_on_every_fourth_call_unless_told_otherwise():
    z = torch.randn(2, 6, requires_grad=True)
    penalty, fake = penalties.path_length(), z * 1.0
    values = [penalty(Critic(Codes(), latents=z), fake.detach(), fake).item() for _ in range(8)]
    assert [value > 0 for value in values] == [True, False, False, False] * 2


@pytest.mark.parametrize(
    ("critic", "problem"),
    [
        (Codes(), r"it needs Critic\(D, latents=z\)"),
        (Critic(Codes(), latents=torch.zeros(2, 3)), r"latents that require a gradient: z.requires_grad_"),
    ],
)
def test_path_length_needs_latents_with_a_gradient(critic, problem):
    with pytest.raises(ValueError, match=problem):
        penalties.path_length(every=1)(critic, torch.zeros(2, 3), torch.zeros(2, 3))


@pytest.mark.parametrize("decay", [0.0, 1.5])
def test_decay_of_path_length_must_be_a_share(decay):
    with pytest.raises(ValueError, match=r"decay must be above 0 and at most 1"):
        penalties.path_length(decay=decay)


def test_pulling_away_needs_codes():
    with pytest.raises(ValueError, match="this needs the discriminator's features"):
        penalties.pulling_away()(nn.Flatten(0), torch.zeros(2, 1), torch.zeros(2, 1))


def test_pulling_away_in_the_discriminators_step_is_refused():
    D, G, codes = Codes(), nn.Linear(6, 6), torch.randn(4, 6)
    penalty = penalties.pulling_away()
    with pytest.raises(ValueError, match="for what the generator makes: it is one of its --g-penalties"):
        penalty(Critic(D, generator=G, latents=codes, learner=D), codes, codes)
    assert penalty(Critic(D, generator=G, latents=codes, learner=G), codes, codes) > 0
