"""Penalties on gradients: closed forms of critics whose gradient is known, and the points where it is taken."""

from math import sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from equipoise import networks, penalties, spec
from equipoise.critic import Critic
from equipoise.networks import ImageShape
from equipoise.penalties import gradient

FORMS = {  # of a critic whose gradient has the norm n everywhere
    "wgan_gp": lambda n: 10 * (n - 1) ** 2,
    "wgan_gp(weight=2.0, target=0.0)": lambda n: 2 * n**2,
    "wgan_gp(sided='one')": lambda n: 10 * max(n - 1, 0) ** 2,
    "wgan_gp(sided='one_unsquared', weight=3.0)": lambda n: 3 * max(n - 1, 0),
    "wgan_gp(target=2.0, weight=2.5)": lambda n: 10 * (n / 2 - 1) ** 2,  # progressive growing's
    "zero_centered": lambda n: 10 * n**2,
    "max_gradient(weight=3.0)": lambda n: 3 * n**2,
    "r1(weight=4.0)": lambda n: 2 * n**2,
    "r2(weight=4.0)": lambda n: 2 * n**2,
    "dragan": lambda n: 10 * (n - 1) ** 2,
    "dragan(target=0.5, weight=2.0)": lambda n: 2 * (n - 0.5) ** 2,
}
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))


def linear(norm, values):
    w = torch.randn(values, dtype=torch.float64)
    return lambda x: x.flatten(1) @ (w * norm / w.norm())


def bowl(x):
    """Its gradient at x is x."""
    return x.flatten(1).square().sum(1) / 2


def points(penalty, real, fake):
    """Where the penalty takes its gradient."""
    asked = []

    def critic(x):
        asked.append(x.detach())
        return x.flatten(1).sum(1)

    penalty(critic, real, fake)
    return torch.cat(asked)


def test_the_forms_are_of_all_penalties_on_gradients():
    lazy = {name for name in spec.names(penalties) if "every=1)" in f"{spec.parameters(getattr(penalties, name))})"}
    estimates = {"approximate_r1", "approximate_r2"}  # in test_penalties_on_logits.py
    assert {name.partition("(")[0] for name in FORMS} == lazy - estimates


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=10, deadline=None)
@given(shape=SHAPES, norm=st.floats(0.1, 5))
def test_closed_form_of_a_linear_critic(name, shape, norm):
    """One norm over all values of a sample: norms over channels are a common error (Zeleni9/pytorch-wgan 40, 48)."""
    real, fake = torch.randn(2, *shape, dtype=torch.float64)
    value = spec.build(name, penalties)(linear(norm, real[0].numel()), real, fake)
    assert value.item() == pytest.approx(FORMS[name](norm), rel=1e-9, abs=1e-12)


def test_r1_looks_at_reals_and_r2_at_fakes_with_half_the_weight():
    real, fake = torch.full((2, 4), 3.0), torch.full((2, 4), 5.0)
    assert penalties.r1(weight=2.0)(bowl, real, fake).item() == 4 * 9
    assert penalties.r2(weight=2.0)(bowl, real, fake).item() == 4 * 25


def test_each_sample_has_its_own_norm():
    real = torch.tensor([[3.0, 4.0], [0.0, 0.0]])  # norms 5 and 0
    fake = real.clone()  # then every interpolate is the sample itself
    assert penalties.wgan_gp(weight=1.0)(bowl, real, fake).item() == pytest.approx((16 + 1) / 2)
    assert penalties.wgan_gp(weight=1.0, sided="one")(bowl, real, fake).item() == pytest.approx(16 / 2)
    assert penalties.wgan_gp(weight=1.0, sided="one_unsquared")(bowl, real, fake).item() == pytest.approx(4 / 2)
    assert penalties.r1(weight=2.0)(bowl, real, fake).item() == pytest.approx(25 / 2)
    assert penalties.max_gradient(weight=2.0)(bowl, real, fake).item() == pytest.approx(2 * 25)


INTERPOLATING = ["wgan_gp", "zero_centered", "max_gradient"]


@pytest.mark.parametrize("name", INTERPOLATING)
def test_interpolates_lie_between_pairs_with_one_share_a_sample(name):
    """PyTorch-GAN's shares had the wrong shape (its pull request 174)."""
    real, fake = torch.zeros(64, 3, 2, 2), torch.ones(64, 3, 2, 2)
    shares = points(spec.build(name, penalties), real, fake).flatten(1)
    torch.testing.assert_close(shares, shares[:, :1].expand_as(shares))
    assert 0 <= shares.min() < 0.2
    assert 0.8 < shares.max() <= 1
    assert shares[:, 0].unique().numel() == 64
    assert shares.mean() == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("name", INTERPOLATING)
def test_interpolates_are_of_the_sample_and_its_fake(name):
    real, fake = torch.arange(5.0)[:, None].expand(5, 3), 10 + torch.arange(5.0)[:, None].expand(5, 3)
    near = points(spec.build(name, penalties), real, fake)
    assert ((near >= real) & (near <= fake)).all()


def test_dragan_goes_from_each_real_up_by_at_most_half_a_deviation_of_the_batch():
    real = torch.randn(256, 3, 2, 2) * torch.tensor([1.0, 4.0, 9.0]).view(3, 1, 1) + 1  # not each channel's deviation
    reach = 0.5 * real.numpy().std()
    moved = points(penalties.dragan(), real, torch.full_like(real, 1e6)) - real
    assert 0 <= moved.min() < 0.02 * reach
    assert 0.95 * reach < moved.max() <= reach
    assert moved.mean() == pytest.approx(reach / 4, rel=0.05)  # the mean of a product of two uniforms
    assert moved[0].unique().numel() == 12
    largest = moved.flatten(1).amax(1) / reach  # a share for each sample: some move little as a whole
    assert largest.min() < 0.05
    torch.manual_seed(1)
    once = points(penalties.dragan(scale=0.1), real, real) - real
    torch.manual_seed(1)
    torch.testing.assert_close(points(penalties.dragan(scale=0.3), real, real) - real, 3 * once, atol=1e-5, rtol=1e-4)


def test_dragan_is_about_logits_not_their_sigmoid():
    """Released versions penalise the sigmoid's gradient, up to a quarter of the logit's."""
    real = torch.zeros(3, 4)
    assert penalties.dragan(weight=1.0)(lambda x: x.sum(1) / 2, real, real).item() == pytest.approx(0, abs=1e-12)


def test_the_gradient_is_of_each_logit_in_its_own_image():
    images = torch.randn(3, 2, 2)
    torch.testing.assert_close(gradient(bowl, images), images)
    slope = gradient(lambda x: x.flatten(1).pow(3).sum(1), images)
    torch.testing.assert_close(slope, 3 * images**2)
    assert slope.requires_grad


def test_a_detached_gradient_would_teach_nothing():
    """A frequent error: without create_graph the penalty is a constant."""
    D = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    penalties.wgan_gp()(D, torch.randn(3, 4), torch.randn(3, 4)).backward()
    norm = D[0].weight.norm()
    torch.testing.assert_close(D[0].weight.grad, (20 * (norm - 1) * D[0].weight / norm).detach())


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_a_critic_that_remembers_is_not_run_again_on_images_that_require_a_gradient(name):
    runs, D = [], nn.Sequential(nn.Linear(3, 1), nn.Flatten(0))
    D.register_forward_pre_hook(lambda module, inputs: runs.append(inputs[0]))
    critic, (real, fake) = Critic(D), (torch.randn(2, 3, requires_grad=True) for _ in range(2))
    critic(real), critic(fake)
    spec.build(name, penalties)(critic, real, fake).backward()
    assert len(runs) == 2
    assert D[0].weight.grad.any()


@pytest.mark.parametrize("every", [1, 4])
def test_r1_makes_the_dirac_game_converge(every):
    """Real point 0, fake point t, D(x) = p x: plain descent moves away, R1 spirals in (Mescheder 2018)."""
    final = {}
    for weight in (0.0, 1.0):
        p, t = torch.ones((), requires_grad=True), torch.ones((), requires_grad=True)
        penalty = penalties.r1(weight=weight, every=every)
        D = lambda x, p=p: (p * x)[:, 0]
        for _ in range(240):
            real, fake = torch.zeros(1, 1), t.reshape(1, 1)
            value = nn.functional.softplus(D(fake)).sum()
            (slope_t,) = torch.autograd.grad(-value, t, retain_graph=True)
            (slope_p,) = torch.autograd.grad(value + penalty(D, real, fake), p)
            with torch.no_grad():
                p -= 0.15 * slope_p
                t -= 0.15 * slope_t
        final[weight] = (p * p + t * t).sqrt().item()
    assert final[0.0] > sqrt(2)
    assert final[1.0] < 0.05


def test_wrong_sides_are_refused():
    with pytest.raises(ValueError, match="one_unsquared"):
        spec.build("wgan_gp(sided='both')", penalties)


@pytest.mark.parametrize("name", ["dragan", "max_gradient", "r1", "r2", "wgan_gp", "zero_centered"])
def test_a_discriminator_in_bfloat16_is_penalised_as_in_float32_but_for_rounding(name):
    """The value and its gradient with respect to the weights, also where penalties are without autocast around."""
    torch.manual_seed(0)
    D = spec.build("r3(g_width=16, d_width=16)", networks)(ImageShape(3, 16, 16))[1]
    x, y = torch.randn(2, 16, 3, 16, 16)
    values, gradients = [], []
    for dtype in (None, torch.bfloat16):
        torch.manual_seed(1)
        value = getattr(penalties, name)()(Critic(D, dtype=dtype), x, y)
        found = torch.autograd.grad(value, [*D.parameters()], allow_unused=True)  # of the last bias there is none
        values.append(value.item())
        gradients.append(torch.cat([part.flatten() for part in found if part is not None]))
    assert values[0] != values[1] == pytest.approx(values[0], rel=0.02)
    assert (gradients[1] - gradients[0]).norm() < 0.05 * gradients[0].norm()
