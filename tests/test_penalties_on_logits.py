"""Penalties on what the critic answers: drift, LeCam, and the consistency of answers."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import dropout
from torch.nn.utils import parametrizations

from equipoise import norms, penalties
from equipoise.critic import Critic
from equipoise.penalties.on_logits import shifted_and_flipped


def total(images):
    return images.flatten(1).sum(1)


def logits(*values):
    return torch.tensor(values)[:, None]


def test_drift_is_the_mean_square_of_real_logits():
    assert penalties.drift(0.5)(total, logits(1.0, 3.0), logits(99.0, 99.0)).item() == 0.5 * (1 + 9) / 2


def test_lecam_follows_the_authors_code():
    """The averages are the present means while warming up, then decay; max(0, .) on both sides (Tseng 2021)."""
    penalty, (a_real, a_fake) = penalties.lecam(weight=0.3, decay=0.9, warm_up=3), (0.0, 0.0)
    for step in range(8):
        real, fake = torch.randn(2, 5).double()
        decay = 0.0 if step < 3 else 0.9
        a_real = decay * a_real + (1 - decay) * real.mean().item()
        a_fake = decay * a_fake + (1 - decay) * fake.mean().item()
        near = np.maximum(real.numpy() - a_fake, 0) ** 2
        far = np.maximum(a_real - fake.numpy(), 0) ** 2
        expected = 0.3 * (near.mean() + far.mean()) if step >= 3 else 0.0
        assert penalty(total, real[:, None], fake[:, None]).item() == pytest.approx(expected, rel=1e-5)
    assert (penalty.real.item(), penalty.fake.item()) == pytest.approx((a_real, a_fake), rel=1e-5)


def test_lecam_draws_reals_to_the_mean_of_fakes_and_fakes_to_that_of_reals():
    penalty = penalties.lecam(weight=1.0, warm_up=0, decay=0.0)
    real, fake = (logits(*x).requires_grad_() for x in ([2.0, 4.0], [-1.0, -3.0]))
    real_slope, fake_slope = torch.autograd.grad(penalty(total, real, fake), (real, fake))
    assert real_slope[:, 0].tolist() == [2.0 + 2.0, 4.0 + 2.0]  # x + 2, the mean of fakes being -2
    assert fake_slope[:, 0].tolist() == [-(3.0 + 1.0), -(3.0 + 3.0)]  # -(3 - G), the mean of reals being 3


def test_lecam_begins_after_a_thousand_steps():
    penalty = penalties.lecam()
    penalty.calls.fill_(999)
    values = [penalty(total, logits(1.0), logits(0.0)).item() for _ in range(2)]
    assert values[0] == 0 < values[1]


class Judge(nn.Module):
    """Logit x_0 and features (x_1, x_2), both with dropout."""

    def __init__(self, p=0.5):
        super().__init__()
        self.features, self.p, self.runs = nn.Identity(), p, []

    def forward(self, images):
        noisy = dropout(images, self.p, self.training)
        self.runs.append(noisy.detach())
        self.features(noisy[:, 1:])
        return noisy[:, 0]


@pytest.mark.parametrize(("features", "margin"), [(0.1, 0.0), (0.0, 0.0), (2.0, 0.5)])
def test_the_consistency_term_against_the_authors_code(features, margin):
    D, real = Judge(), torch.randn(40, 3, dtype=torch.float64)
    value = penalties.consistency_term(3.0, features, margin)(Critic(D), real, real)
    first, second = (run.numpy() for run in D.runs)
    change = (first - second) ** 2
    terms = np.maximum(3 * change[:, 0] + 3 * features * change[:, 1:].mean(1) - margin, 0)
    assert value.item() == pytest.approx(terms.mean(), rel=1e-12) != 0


def test_the_consistency_term_shares_one_of_its_runs_with_the_loss():
    D, real = Judge(), torch.randn(40, 3)
    critic = Critic(D)
    critic(real)
    penalties.consistency_term()(critic, real, real)
    assert len(D.runs) == 2


@pytest.mark.parametrize("D", [Judge(p=0.0), Judge().eval(), total], ids=["no dropout", "eval mode", "function"])
def test_the_consistency_term_refuses_a_discriminator_that_answers_alike_twice(D):
    with pytest.raises(ValueError, match="a D with dropout, but this D draws nothing"):
        penalties.consistency_term(features=0.0)(D, torch.ones(4, 3), torch.ones(4, 3))


def test_the_consistency_term_needs_features_unless_they_have_no_weight():
    D = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1), nn.Flatten(0))
    assert penalties.consistency_term(features=0.0)(D, torch.ones(40, 3), torch.ones(40, 3)) > 0
    with pytest.raises(ValueError, match="this needs the discriminator's features"):
        penalties.consistency_term()(D, torch.ones(40, 3), torch.ones(40, 3))


def moved(image, down, right, flipped):
    """The pixel (y, x) of an image moved by a step, with what is at its edge repeated: a numpy reference."""
    _, height, width = image.shape
    y = np.clip(np.arange(height) + down, 0, height - 1)
    x = np.arange(width)[::-1] if flipped else np.arange(width)
    return image[:, y][:, :, np.clip(x + right, 0, width - 1)]


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 17), st.integers(1, 17)),
    seed=st.integers(0, 99),
)
def test_images_are_shifted_and_flipped_as_in_numpy(shape, seed):
    torch.manual_seed(seed)
    images = torch.randn(shape)
    rows, columns = round(shape[2] / 8), round(shape[3] / 8)
    for image, changed in zip(images.numpy(), shifted_and_flipped(images, 0.125).numpy(), strict=True):
        choices = [
            moved(image, down, right, flipped)
            for down in range(-rows, rows + 1)
            for right in range(-columns, columns + 1)
            for flipped in (False, True)
        ]
        assert any(np.array_equal(changed, choice) for choice in choices)


def test_all_shifts_and_both_sides_occur_and_each_sample_has_its_own():
    image = torch.arange(64.0).view(1, 1, 8, 8)
    seen = {tuple(x.flatten().tolist()) for x in shifted_and_flipped(image.expand(400, 1, 8, 8), 0.125)}
    assert len(seen) == 3 * 3 * 2


def test_flips_are_half_of_all():
    image = torch.tensor([[[[0.0, 1.0]]]])
    share = shifted_and_flipped(image.expand(1000, 1, 1, 2), 0.0)[:, 0, 0, 0].mean()
    assert share.item() == pytest.approx(0.5, abs=0.06)


class Recorder:
    """A critic of images by their first pixel that remembers what it was shown."""

    def __init__(self):
        self.shown = []

    def __call__(self, images):
        self.shown.append(images)
        return images[:, 0, 0, 0]


@pytest.mark.parametrize(("kind", "sides"), [("cr", 1), ("bcr", 2)])
def test_consistency_compares_each_image_with_its_changed_self(kind, sides):
    (real, fake), seen = torch.randn(2, 6, 1, 8, 8), Recorder()
    value = penalties.consistency(kind=kind, weight=3.0)(seen, real, fake)
    assert len(seen.shown) == 2 * sides
    expected = 0.0
    for image, (plain, changed) in zip((real, fake), zip(seen.shown[::2], seen.shown[1::2], strict=True), strict=False):
        assert torch.equal(plain, image)
        expected += (changed - image)[:, 0, 0, 0].square().mean()
    torch.testing.assert_close(value, 3 * expected)
    assert value > 0


def test_the_default_weight_of_consistency_is_10():
    (real, fake), values = torch.randn(2, 6, 1, 8, 8), []
    for weight in (None, 10.0):
        torch.manual_seed(0)
        values.append(penalties.consistency(weight=weight)(Recorder(), real, fake))
    assert values[0] == values[1]


def latent_scene(learner=None):
    """G doubles its latents, D is a sum; what each is made of."""
    G, z = nn.Linear(1, 1, bias=False), torch.randn(5, 1)
    nn.init.constant_(G.weight, 2.0)
    critic = Critic(total, generator=G, latents=z, learner=G if learner == "G" else None)
    torch.manual_seed(4)
    noise = torch.randn_like(z)
    torch.manual_seed(4)
    return critic, G, G(z), noise


def test_zcr_asks_the_discriminator_for_like_answers_to_neighbouring_latents():
    critic, _, fake, noise = latent_scene()
    value = penalties.consistency(kind="zcr", noise=0.5)(critic, fake.detach(), fake)
    torch.testing.assert_close(value, 5 * (2 * 0.5 * noise).square().mean())
    assert not value.requires_grad  # nothing here but G has weights


def test_zcr_asks_the_generator_for_unlike_images():
    critic, G, fake, noise = latent_scene("G")
    value = penalties.consistency(kind="zcr", noise=0.5)(critic, fake.detach(), fake)
    torch.testing.assert_close(value, -0.5 * (2 * 0.5 * noise).square().mean())
    value.backward()
    torch.testing.assert_close(G.weight.grad, (-0.5 * 2 * 2 * (0.5 * noise).square().mean()).view(1, 1))


def test_zcr_has_one_weight_for_either_player_and_a_small_step():
    critic, _, fake, noise = latent_scene("G")
    value = penalties.consistency(kind="zcr", weight=7.0)(critic, fake.detach(), fake)
    torch.testing.assert_close(value, -7 * (2 * 0.03 * noise).square().mean())


def test_zcr_needs_latents_and_the_generator():
    penalty, images = penalties.consistency(kind="zcr"), torch.zeros(2, 1)
    with pytest.raises(ValueError, match=r"it needs Critic\(D, latents=z\)"):
        penalty(total, images, images)
    with pytest.raises(ValueError, match=r"it needs Critic\(D, generator=G, latents=z\)"):
        penalty(Critic(total, latents=images), images, images)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: penalties.lecam(decay=1.0), r"decay must be at least 0 and below 1, not 1.0"),
        (lambda: penalties.consistency(weight=-1.0), r"weight must be at least 0, not -1.0"),
        (lambda: penalties.consistency(kind="zcr", weight=-1.0), r"weight must be at least 0, not -1.0"),
    ],
)
def test_wrong_hyper_parameters_are_refused(make, problem):
    with pytest.raises(ValueError, match=problem):
        make()


def test_the_consistency_term_does_not_take_power_iteration_for_dropout():
    D = norms.apply(norms.spectral(), nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0)))
    x = torch.randn(5, 4)
    assert not torch.equal(D(x), D(x))
    with pytest.raises(ValueError, match="a D with dropout, but this D draws nothing"):
        penalties.consistency_term(features=0.0)(D, x, x)


def smooth():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()


@pytest.mark.parametrize(("name", "exact"), [("approximate_r1", "r1"), ("approximate_r2", "r2")])
def test_the_approximate_penalties_tend_to_the_exact_ones_in_their_units(name, exact):
    """Of the value and of the gradient, as the noise becomes small; one point many times, for the mean over noise."""
    D, sides = smooth(), (torch.randn(2, 1, 3).double() * torch.tensor([1.0, 2.0])[:, None, None]).expand(2, 50_000, 3)
    found = {}
    for scale in (1.0, 1e-3):
        for penalty in (getattr(penalties, exact)(weight=3.0), getattr(penalties, name)(weight=3.0, scale=scale)):
            value = penalty(D, *sides)
            slopes = torch.autograd.grad(value, [*D.parameters()][:3])
            found[penalty.__qualname__, scale] = torch.cat([value.detach()[None], *(s.flatten() for s in slopes)])
    (wanted, near), (_, far) = ([v for (_, s), v in found.items() if s == scale] for scale in (1e-3, 1.0))
    close = lambda got: (got - wanted).norm() / wanted.norm()
    assert close(near) < 0.02 < close(far)


def test_an_approximate_penalty_sees_the_same_network_twice():
    """Without that, dropout, augmentation and power iteration would be a million times what the noise is."""
    dropping = lambda x: dropout(x, 0.5).sum(1)
    x, y = torch.ones(500, 4), torch.zeros(1, 4)
    dropped = Critic(dropping, augment=lambda x: x * torch.randint(1, 3, (len(x), 1)))
    for critic in (Critic(dropping), dropped):
        assert penalties.approximate_r1(weight=2.0)(critic, x, y) < 100  # at most 4 |mask|^2 <= 64 on average
    D = norms.apply(norms.spectral(), nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1)))
    of_torch = [
        nn.Sequential(norm(nn.Linear(4, 1))) for norm in (parametrizations.spectral_norm, nn.utils.spectral_norm)
    ]
    for module in (D, *of_torch):
        kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
        before = [buffer for _, buffer in module.named_buffers()]
        value = penalties.approximate_r1(weight=2.0, scale=1e-4)(Critic(module), x[:, :4], y)
        after = dict(module.named_buffers())
        assert value < 10
        assert all(torch.equal(kept[name], after[name]) for name in kept)
        assert before
        assert all(part.training for part in module.modules())


def test_an_approximate_penalty_runs_a_network_once_more_and_not_on_fakes():
    runs, D = [], smooth().float()
    D.register_forward_pre_hook(lambda module, inputs: runs.append(inputs[0].requires_grad))
    critic, real, fake = Critic(D), torch.randn(5, 3), torch.randn(7, 3, requires_grad=True)
    critic(real)
    penalties.approximate_r1()(critic, real, fake).backward()
    assert len(runs) == 2
    penalties.approximate_r2()(Critic(D), real, 1 * fake).backward()
    assert fake.grad is None
    assert len(runs) == 4


IN_FLOAT32 = {
    "drift": penalties.drift(),
    "lecam": penalties.lecam(warm_up=0, decay=0.0),
    "approximate_r1": penalties.approximate_r1(),
    "approximate_r2": penalties.approximate_r2(),
    "consistency": penalties.consistency(),
    "zcr": penalties.consistency(kind="zcr"),
    "consistency_term": penalties.consistency_term(),
}


@pytest.mark.parametrize("name", IN_FLOAT32)
def test_penalties_on_logits_are_in_float32_whatever_the_loss_is_in(name):
    """At 2^-8 the rounding of D(x) alone would be worth thousands of an approximate penalty."""
    D = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Dropout(), nn.Identity(), nn.Linear(8, 1))
    G, (x, y) = nn.Sequential(nn.Linear(4, 12), nn.Unflatten(1, (3, 2, 2))), torch.randn(2, 4, 3, 2, 2)
    found, around = [], torch.autocast("cpu", torch.bfloat16, enabled=name != "zcr")  # G is asked by zcr
    for dtype, context in ((None, nullcontext()), (torch.bfloat16, nullcontext()), (None, around)):
        with context:
            critic = Critic(D, generator=G, latents=torch.ones(4, 4), features="3", dtype=dtype)
            if found:  # the loss has asked, in bfloat16
                critic(x)
            torch.manual_seed(0)
            found.append(IN_FLOAT32[name](critic, x, y))
    assert found[0] == found[1] == found[2] > 0


def test_drift_is_not_lost_beside_a_loss_in_bfloat16():
    """The loss of D gives a bias no gradient, since it is in both logits, and what is left is that of drift alone."""
    D, (x, y) = nn.Linear(4, 1), torch.randn(2, 8, 4)
    gradients = []
    for dtype in (None, torch.bfloat16):
        critic = Critic(D, dtype=dtype)
        (critic(y).mean() - critic(x).mean() + penalties.drift()(critic, x, y)).backward()
        gradients.append(D.bias.grad.item())
        D.zero_grad()
    assert gradients[1] == pytest.approx(gradients[0], rel=1e-3) != 0
