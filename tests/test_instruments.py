"""Laws of instruments: dense SVDs, closed forms, and that measuring leaves no trace."""

import math
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from test_norms_operator import OPERATORS, dense
from torch import nn

from equipoise import instruments, norms, spec
from equipoise.critic import Critic
from equipoise.instruments.linear_maps import operator
from equipoise.layers import Affine, VirtualBatchNorm, with_reference

NAMES = spec.names(instruments)
OF_CRITICS = ["gradient_norms", "js_estimate", "lipschitz_estimate", "transport_gap"]


def critic(norm=None):
    """A discriminator of 2 x 8 x 8 images with all that could be disturbed: u and v, dropout, running statistics."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.LeakyReLU(0.2), nn.Dropout(0.3)),
        *(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0)),
    )
    return norms.apply(norms.spectral() if norm is None else norm, net)


def sides(count=12):
    images = torch.rand(2, count, 2, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return images[0], images[1] * 0.5 + 0.3


def test_instruments_of_critics_are_those():
    assert [name for name in NAMES if spec.build(name, instruments).of == "critics"] == OF_CRITICS


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (nn.LSTM(3, 2), {"0.weight_ih_l0": 3, "0.weight_hh_l0": 2}),
        (nn.Bilinear(2, 3, 4), {"0.weight": 4}),
        (nn.MultiheadAttention(4, 2), {"0.in_proj_weight": 4, "0.out_proj": 4}),
    ],
)
def test_layers_with_several_weights_have_a_spectrum_of_each(layer, shapes):
    found = instruments.spectrum(nn.Sequential(layer))
    assert {name.removesuffix(".reshaped"): len(values) for name, values in found.items()} == shapes
    assert instruments.effective_rank(nn.Sequential(layer)).keys() == shapes.keys()
    weight = dict(nn.Sequential(layer).named_parameters())[next(iter(shapes))]
    values = found[f"{next(iter(shapes))}.reshaped"]
    np.testing.assert_allclose(values, np.linalg.svd(weight.detach().flatten(1).numpy())[1], rtol=1e-5)


def test_an_instrument_to_keep_measures_what_its_function_does():
    D, (real, fake) = critic(), sides()
    assert instruments.spectrum(D, real, top=2) == instruments.spectrum(top=2)(D, real)
    assert instruments.js_estimate(D, real, fake, calibrated=True) == instruments.js_estimate(calibrated=True)(
        D, real, fake
    )


@pytest.mark.parametrize("name", NAMES)
def test_measuring_leaves_no_trace(name):
    D, (real, fake) = critic(norms.spectral(update="step")).train(), sides()
    D[3].eval()  # a mode of its own
    D(real).sum().backward()
    D(real)
    before = deepcopy(D.state_dict()), [w.grad.clone() for w in D.parameters()], [m.training for m in D.modules()]
    buffers, state = dict(D.named_buffers()), torch.get_rng_state()
    spec.build(name, instruments)(D, real, fake)
    after = D.state_dict(), [w.grad for w in D.parameters()], [m.training for m in D.modules()]
    assert all(torch.equal(value, after[0][key]) for key, value in before[0].items())
    assert all(torch.equal(one, other) for one, other in zip(before[1], after[1], strict=True))
    assert before[2] == after[2]
    assert all(buffer is buffers[key] for key, buffer in D.named_buffers())
    assert torch.equal(state, torch.get_rng_state())
    assert not real.requires_grad
    assert not any(m._forward_pre_hooks for m in D.children())


@pytest.mark.parametrize("name", NAMES)
def test_the_same_twice_also_without_gradients(name):
    D, (real, fake) = critic(), sides()
    instrument = spec.build(name, instruments)
    with torch.no_grad():
        again = instrument(D, real, fake)
    torch.rand(3)
    assert again == instrument(D, real, fake)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_spectrum_of_an_operator_is_that_of_its_dense_matrix(name):
    layer = OPERATORS[name]()
    size = [6] * (layer.weight.ndim - 2)
    inputs = torch.randn(1, layer.in_channels, *size)
    found = instruments.spectrum(nn.Sequential(layer), inputs, top=5)
    exact = torch.linalg.svdvals(dense(layer.double(), inputs.shape[1:]))
    np.testing.assert_allclose(found["0.operator"], exact[:5], rtol=1e-4)
    matrix = layer.weight.transpose(0, 1).flatten(1) if "transposed" in name else layer.weight.flatten(1)
    np.testing.assert_allclose(found["0.reshaped"], torch.linalg.svdvals(matrix).tolist(), rtol=1e-4)


@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
def test_above_the_dense_limit_lanczos_finds_the_values_from_below(padding_mode):
    """With circular padding values come in pairs, and both of a pair are found."""
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 3, padding=1, padding_mode=padding_mode)
    exact = torch.linalg.svdvals(dense(deepcopy(layer).double(), (4, 12, 12)))[:6].tolist()
    found = operator(layer, [12, 12], 6, 16).tolist()
    np.testing.assert_allclose(found, exact, rtol=0.01)
    np.testing.assert_allclose(found[0], exact[0], rtol=1e-3)
    assert all(value <= true * (1 + 1e-5) for value, true in zip(found, exact, strict=True))


def test_with_circular_padding_the_spectrum_is_the_ffts():
    """Singular values of the kernel's transform at each frequency (Sedghi, Gupta and Long 2019, arXiv:1805.10408)."""
    layer = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular", bias=False)
    transform = torch.fft.fft2(layer.weight.detach(), (8, 8)).permute(2, 3, 0, 1)
    every = torch.linalg.svdvals(transform).flatten().sort(descending=True).values
    found = instruments.spectrum(nn.Sequential(layer), torch.zeros(1, 3, 8, 8), top=20)["0.operator"]
    np.testing.assert_allclose(found, every[:20], rtol=1e-4)


def test_sizes_are_those_of_the_run_and_sixteen_without_one():
    D, (real, _) = critic(norms.none()), sides()
    first, second = (instruments.spectrum(D, images, top=1) for images in (real, torch.zeros(1, 2, 8, 8)))
    assert first == second
    exact = torch.linalg.svdvals(dense(D[4].double(), (4, 4, 4)))[0].item()
    assert first["4.operator"][0] == pytest.approx(exact, rel=1e-4)
    D[4].float()
    assert instruments.spectrum(D, top=1)["4.operator"][0] > exact


def test_a_spectrum_is_that_of_the_normalised_weight():
    found = instruments.spectrum(norms.apply(norms.spectral(iterations=100), nn.Sequential(nn.Linear(6, 4))).train())
    assert len(found["0.reshaped"]) == 4
    net = norms.apply(norms.orthogonal(), nn.Sequential(nn.Linear(6, 4)))
    np.testing.assert_allclose(instruments.spectrum(net)["0.reshaped"], [1.0] * 4, rtol=1e-4)


def test_the_bound_is_the_product_and_the_estimate_below_it():
    D, (real, fake) = critic(norms.none()).eval(), sides()
    D[1].running_var.fill_(0.25)
    bound, estimate = (
        getattr(instruments, f"lipschitz_{kind}")()(D, real, fake)[f"lipschitz_{kind}"]
        for kind in ("bound", "estimate")
    )
    shapes = {0: (2, 8, 8), 4: (4, 4, 4)}
    operators = [torch.linalg.svdvals(dense(deepcopy(D[at]).double(), shape))[0].item() for at, shape in shapes.items()]
    expected = math.prod(operators) * D[7].weight.norm().item() / (0.25 + 1e-5) ** 0.5
    assert bound == pytest.approx(expected, rel=1e-3)
    assert 0 < estimate <= bound
    assert instruments.lipschitz_bound(D, kind="reshaped")["lipschitz_bound"] < bound


GIVING_ON = [
    *(nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=(2, 3), mode="bilinear")),
    *(nn.Upsample(scale_factor=3, mode="bicubic"), nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(3, 2, dilation=2)),
    *(nn.LPPool2d(1, 2), nn.LPPool2d(2, 3, 1), nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
    *(nn.ReflectionPad2d(3), nn.CircularPad2d((3, 0, 0, 0)), nn.ReplicationPad2d(2), nn.Unfold(3), nn.RReLU(2.0, 2.0)),
]


@pytest.mark.parametrize("module", GIVING_ON, ids=str)
def test_what_gives_a_pixel_on_several_times_counts(module):
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 2, 1)
    net = nn.Sequential(layer, module)
    bound = instruments.lipschitz_bound(net, torch.zeros(1, 2, 6, 6))["lipschitz_bound"]
    maps = [torch.autograd.functional.jacobian(net, torch.randn(1, 2, 6, 6)) for _ in range(3)]
    largest = max(torch.linalg.matrix_norm(found.reshape(-1, 72), 2).item() for found in maps)
    assert largest <= bound * (1 + 1e-5)
    assert bound <= 4 * largest


def test_a_layer_that_stands_twice_counts_twice():
    layer, act = nn.Linear(3, 3), nn.SELU()
    layer.weight.data = 3 * torch.eye(3)
    found = instruments.lipschitz_bound(nn.Sequential(layer, act, layer, act))["lipschitz_bound"]
    assert found == pytest.approx((3 * 1.7581) ** 2, rel=1e-5)


def test_a_weight_of_zero_uses_no_direction():
    layer = nn.Linear(3, 3)
    nn.init.zeros_(layer.weight)
    assert instruments.effective_rank(nn.Sequential(layer)) == {"0": 0.0}


def test_gradients_are_there_in_inference_mode():
    net = nn.Linear(3, 1)
    with torch.inference_mode():
        found = instruments.lipschitz_estimate(net, torch.ones(4, 3), torch.zeros(4, 3))["lipschitz_estimate"]
    assert found == pytest.approx(net.weight.norm().item(), rel=1e-5)


def test_the_estimate_of_a_linear_chain_is_exact():
    """Without activations the gradient is the same everywhere."""
    D = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 1, bias=False))
    exact = (D[1].weight @ D[0].weight).norm().item()
    found = instruments.lipschitz_estimate(D, torch.randn(3, 5), torch.randn(3, 5))["lipschitz_estimate"]
    assert found == pytest.approx(exact)


@pytest.mark.parametrize("kind", [nn.GELU, nn.SiLU, nn.Mish, nn.SELU, nn.Hardswish, partial(nn.ELU, 3.0)])
def test_largest_derivatives_of_activations(kind):
    x = torch.linspace(-5, 5, 20_001, requires_grad=True)
    (slope,) = torch.autograd.grad(kind()(x).sum(), x)
    D = nn.Sequential(nn.Linear(1, 1), kind())
    factor = instruments.lipschitz_bound(D)["lipschitz_bound"] / D[0].weight.abs().item()
    assert slope.max().item() <= factor * (1 + 1e-6) < slope.max().item() + 2e-3


def test_the_gain_of_an_affine_layer_counts():
    layer, affine = nn.Linear(1, 4), Affine(4)
    nn.init.ones_(layer.weight)
    nn.init.constant_(affine.gain, -10.0)
    assert instruments.lipschitz_bound(nn.Sequential(layer, affine))["lipschitz_bound"] == pytest.approx(20.0)


def test_virtual_batch_normalisation_counts_with_its_reference():
    """|J| <= |gain| / sqrt(n v / (n + 1) + eps), and hardly less for a sample like the reference."""
    layer = VirtualBatchNorm(1)
    with_reference(layer, 3 + 0.5 * torch.randn(7, 1, 4), torch.zeros(1, 1, 4))
    nn.init.constant_(layer.gain, 2.0)
    weights = nn.Linear(4, 4)
    nn.init.eye_(weights.weight)
    bound = instruments.lipschitz_bound(nn.Sequential(weights, layer))["lipschitz_bound"]
    jacobian = lambda x: torch.func.jacrev(layer)(x[None, None]).reshape(4, 4)
    norms = [torch.linalg.matrix_norm(jacobian(x), 2).item() for x in (torch.randn(50, 4) * 5)]
    assert max(norms) < bound
    assert torch.linalg.matrix_norm(jacobian(torch.full((4,), layer.mean.item())), 2).item() == pytest.approx(bound)


def test_gradient_norms_of_a_quadratic():
    """|grad| at x is |x|: along a segment from 0 it grows evenly."""
    found = instruments.gradient_norms(
        lambda x: x.square().sum(1) / 2, torch.zeros(7, 9), torch.ones(7, 9), points=5, bins=4
    )
    np.testing.assert_allclose(found["along"], [0, 0.75, 1.5, 2.25, 3])
    assert (found["mean"], found["largest"], sum(found["counts"])) == (1.5, 3.0, 35)
    assert (found["edges"][0], found["edges"][-1], len(found["edges"])) == (0, 3, 5)


def test_a_critic_that_ignores_images_has_no_gradient():
    real, fake = sides()
    found = instruments.gradient_norms(lambda x: torch.ones(len(x)), real, fake)
    assert (found["mean"], found["largest"]) == (0, 0)
    assert sum(found["counts"]) == 9 * 12


@pytest.mark.parametrize("count", [3, 40])
def test_effective_rank_of_projections(count):
    layer = nn.Linear(50, 40, bias=False)
    layer.weight.data = torch.eye(40, 50) * (torch.arange(40) < count)[:, None]
    assert instruments.effective_rank(nn.Sequential(layer))["0"] == pytest.approx(count)


def test_sigma_error_against_the_svd():
    torch.manual_seed(0)
    net = norms.apply(norms.spectral(), nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 30))).eval()
    one = net[0].parametrizations.weight
    one.original.data += 0.05 * torch.randn(20, 30)
    exact = torch.linalg.svdvals(one.original)[0]
    expected = one[0].sigma(one.original) / exact - 1
    found = instruments.sigma_error(net)
    assert found["0"] == pytest.approx(expected.item(), abs=1e-5)
    assert -0.5 < found["0"] < -0.01
    assert -0.01 < found["1"] <= 1e-6
    for _ in range(200):
        norms.advance(net)
    assert max(map(abs, instruments.sigma_error(net).values())) < 1e-5


@pytest.mark.parametrize("kind", ["reshaped", "operator"])
@pytest.mark.parametrize("scale", ["fixed", "learned"])
def test_sigma_error_knows_every_kind_of_spectral_norm(kind, scale):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1))
    norms.apply(norms.spectral(iterations=200, kind=kind, scale=scale), net)
    net(torch.zeros(1, 2, 9, 9))
    assert instruments.sigma_error(net)["0"] == pytest.approx(0, abs=1e-3)


def test_sigma_error_of_pytorchs_own():
    torch.manual_seed(0)
    net = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(9, 9), n_power_iterations=1))
    net[0].parametrizations.weight.original.data = torch.randn(9, 9)
    chain = net[0].parametrizations.weight
    sigma = torch.dot(chain[0]._u, chain.original @ chain[0]._v)
    expected = (sigma / torch.linalg.svdvals(chain.original)[0] - 1).item()
    assert instruments.sigma_error(net)["0"] == pytest.approx(expected, abs=1e-5)


def test_js_of_the_best_discriminator_of_two_gaussians():
    """Its logit is log q / p, which is linear between two Gaussians of one variance; JS by integration."""
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 20_000, 1, generator=generator) + torch.tensor([1.0, -1.0]).view(2, 1, 1)
    x = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    q, p = (torch.exp(-((x - mean) ** 2) / 2) / (2 * math.pi) ** 0.5 for mean in (1, -1))
    middle = (q + p) / 2
    exact = torch.trapezoid((q * (q / middle).log() + p * (p / middle).log()) / 2, x).item()
    best = instruments.js_estimate(lambda x: 2 * x[:, 0], real, fake)["js_estimate"]
    assert best == pytest.approx(exact, abs=0.005)
    other = lambda x: 0.3 * x[:, 0] + 5
    assert instruments.js_estimate(other, real, fake)["js_estimate"] < 0
    assert instruments.js_estimate(other, real, fake, calibrated=True)["js_estimate"] == pytest.approx(exact, abs=0.005)


def test_js_of_disjoint_supports_is_log_two():
    real, fake = torch.ones(8, 1), torch.zeros(8, 1)
    assert instruments.js_estimate(lambda x: 60 * x[:, 0] - 30, real, fake)["js_estimate"] == pytest.approx(math.log(2))
    found = instruments.js_estimate(lambda x: 1e-3 * x[:, 0], real, fake, calibrated=True)["js_estimate"]
    assert found == pytest.approx(math.log(2), abs=1e-3)
    heads = lambda x: [60 * x[:, 0] - 30, torch.zeros(len(x), 1, 3)]
    assert instruments.js_estimate(heads, real, fake)["js_estimate"] == pytest.approx(math.log(2) / 2)


@pytest.mark.parametrize("spread", [2.0, 4.0])
def test_calibration_finds_the_best_of_logits_with_heavy_tails(spread):
    torch.manual_seed(0)
    real, fake = (spread * torch.randn(2, 300, 1)).exp() + torch.tensor([0.3, 0.0]).view(2, 1, 1)
    found = instruments.js_estimate(lambda x: x[:, 0].double(), real, fake, calibrated=True)["js_estimate"]
    a, b = (side[:, 0].double().numpy() for side in (real, fake))
    scale = np.concatenate([a, b]).std()
    loss = lambda w: (
        np.logaddexp(0, -(w[0] * a / scale + w[1])).mean() + np.logaddexp(0, w[0] * b / scale + w[1]).mean()
    )
    best = min(minimize(loss, start, method="Nelder-Mead", tol=1e-10).fun for start in ([0, 0], [10, 0], [300, -1]))
    assert found == pytest.approx(math.log(2) - best / 2, abs=1e-5)


def test_calibration_never_loses():
    for seed in range(20):
        torch.manual_seed(seed)
        real, fake = 10 ** (4 * torch.rand(())) * torch.randn(2, 9, 1) + torch.randn(2, 1, 1)
        found = [
            instruments.js_estimate(lambda x: x[:, 0], real, fake, calibrated=c)["js_estimate"] for c in (False, True)
        ]
        assert max(found[0], 0) - 1e-6 <= found[1] <= math.log(2)


def test_the_transport_gap_of_a_best_critic_is_nothing():
    real, fake = torch.randn(30, 1), torch.rand(30, 1) + 6
    found = instruments.transport_gap(lambda x: -3 * x[:, 0], real, fake)
    assert found["exact"] == pytest.approx((fake.mean() - real.mean()).item(), rel=1e-5)
    assert found["transport_gap"] == pytest.approx(0, abs=1e-5)


def test_the_transport_gap_is_never_negative():
    pytest.importorskip("ot")
    real, fake = sides()
    for seed in range(10):
        torch.manual_seed(seed)
        D = nn.Sequential(nn.Flatten(), nn.Linear(128, 9), nn.Tanh(), nn.Linear(9, 1))
        found = instruments.transport_gap(D, real, fake)
        assert found["transport_gap"] > 0
        assert found["exact"] - found["dual"] == pytest.approx(found["transport_gap"])
    assert instruments.transport_gap(lambda x: torch.ones(len(x)), real, fake)["dual"] == 0


def test_labels_are_those_of_the_critic():
    D = lambda x, labels: labels * x.flatten(1).sum(1)
    real, fake = sides()
    found = instruments.lipschitz_estimate(Critic(D, torch.full((12,), 3.0)), real, fake)["lipschitz_estimate"]
    assert found == pytest.approx(3 * 128**0.5)


@pytest.mark.parametrize(
    ("name", "net", "images", "message"),
    [
        (
            "gradient_norms",
            nn.Linear(2, 1),
            (),
            r"gradient_norms looks at images of both sides: gradient_norms\(D, ",
        ),
        ("spectrum", torch.sum, (), "spectrum measures the weights of a network, not a builtin"),
        ("spectrum", nn.ReLU(), (), "ReLU has no layer with a weight"),
        ("sigma_error", nn.Linear(2, 1), (), "no layer of Linear is spectrally normalised"),
    ],
)
def test_what_cannot_be_measured_is_refused(name, net, images, message):
    with pytest.raises(ValueError, match=message):
        spec.build(name, instruments)(net, *images)


@pytest.mark.parametrize("call", ["spectrum(top=0)", "gradient_norms(points=1)", "lipschitz_bound(steps=0)"])
def test_impossible_hyper_parameters_are_refused(call):
    with pytest.raises(ValueError, match="must be at least"):
        spec.build(call, instruments)
