"""Laws that hold for all layers."""

import inspect

import pytest
import torch
from torch import nn
from torch.autograd import gradgradcheck
from torch.func import functional_call

from equipoise import layers
from equipoise.schedules import linear

IMAGES, VECTORS, LATENT = (4, 4, 3, 2), (4, 4), 5


def virtual():
    layer = layers.VirtualBatchNorm(4)
    layers.with_reference(layer, torch.randn(3, 4, 3, 2), torch.randn(1, 4, 3, 2))
    return layer


def noisy():
    layer = layers.AdaptiveNoise(decay=0.0)
    layer.observe_fakes(torch.ones(4))
    return layer


LAYERS = {  # how to make each, and the shape of its input
    "Affine": (lambda: layers.Affine(4), IMAGES),
    "TReLU": (lambda: layers.TReLU(4), IMAGES),
    "TPReLU": (lambda: layers.TPReLU(4), IMAGES),
    "PixelNorm": (layers.PixelNorm, IMAGES),
    "PixelNorm of latents": (layers.PixelNorm, VECTORS),
    "LayerNorm": (lambda: layers.LayerNorm(4), IMAGES),
    "LayerNorm, not affine": (lambda: layers.LayerNorm(4, affine=False), IMAGES),
    "InstanceNorm": (lambda: layers.InstanceNorm(4), IMAGES),
    "InstanceNorm, not affine": (lambda: layers.InstanceNorm(4, affine=False), IMAGES),
    "VirtualBatchNorm": (virtual, IMAGES),
    "SelfAttention": (lambda: layers.SelfAttention(4), IMAGES),
    "SelfAttention, not pooled": (lambda: layers.SelfAttention(4, pooled=False), IMAGES),
    "MinibatchStd": (layers.MinibatchStd, IMAGES),
    "MinibatchStd of channel groups": (lambda: layers.MinibatchStd(groups=2), IMAGES),
    "MinibatchStd, spatial": (lambda: layers.MinibatchStd(mode="spatial"), IMAGES),
    "MinibatchStd, none": (lambda: layers.MinibatchStd(mode="none"), IMAGES),
    "MinibatchStd, gpool": (lambda: layers.MinibatchStd(mode="gpool"), IMAGES),
    "MinibatchStd, flat": (lambda: layers.MinibatchStd(mode="flat"), IMAGES),
    "MinibatchDiscrimination": (lambda: layers.MinibatchDiscrimination(4, kernels=3, size=2), VECTORS),
    "InstanceNoise": (lambda: layers.InstanceNoise(0.5), IMAGES),
    "AdaptiveNoise": (noisy, IMAGES),
    "ConditionalBatchNorm": (lambda: layers.ConditionalBatchNorm(4, 3), IMAGES),
    "SelfModulation": (lambda: layers.SelfModulation(4, LATENT, hidden=6), IMAGES),
    "DoubleThenConvolve": (lambda: layers.DoubleThenConvolve(4, 2), IMAGES),
    "ConvolveThenHalve": (lambda: layers.ConvolveThenHalve(4, 2), (4, 4, 4, 2)),
    "CenterCrop": (lambda: layers.CenterCrop(2, 1), IMAGES),
    "CenterPad": (lambda: layers.CenterPad(4, 5), IMAGES),
    "ToMultiple": (lambda: layers.ToMultiple(nn.Conv2d(4, 2, 3, padding=1), 4), IMAGES),
}
RANDOM = ("InstanceNoise", "AdaptiveNoise")
over_all = pytest.mark.parametrize("name", LAYERS)


def make(name, dtype=torch.float64):
    """A layer in eval mode whose weights are not those that it starts with, and an input."""
    factory, shape = LAYERS[name]
    layer = factory().to(dtype).eval()
    with torch.no_grad():
        for weight in layer.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return layer, torch.randn(shape, dtype=dtype)


def condition(name, x, order=slice(None)):
    """What the layer takes besides its input."""
    if name == "ConditionalBatchNorm":
        return ((torch.arange(len(x)) % 3)[order],)
    if name == "SelfModulation":
        return (torch.linspace(-1, 1, len(x) * LATENT).reshape(-1, LATENT).to(x.dtype)[order],)
    return ()


def test_these_are_all_layers():
    public = {
        name for name, member in vars(layers).items() if inspect.isclass(member) and issubclass(member, nn.Module)
    }
    assert public == {name.split()[0].rstrip(",") for name in LAYERS}


@over_all
def test_the_gradient_of_a_gradient_is_right(name):
    layer, x = make(name)
    names = [parameter for parameter, _ in layer.named_parameters()]
    run = lambda x, *weights: functional_call(layer, dict(zip(names, weights, strict=True)), (x, *condition(name, x)))
    assert gradgradcheck(run, (x[:2].requires_grad_(), *layer.parameters()))


@over_all
def test_order_of_samples_does_not_matter(name):
    layer, x = make(name)
    order = torch.tensor([2, 0, 3, 1])
    expected = layer(x, *condition(name, x))[order]
    torch.testing.assert_close(layer(x[order], *condition(name, x, order)), expected)


@over_all
def test_evaluation_changes_nothing_and_repeats(name):
    layer, x = make(name)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    torch.testing.assert_close(layer(x, *condition(name, x)), layer(x, *condition(name, x)), rtol=0, atol=0)
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)


@over_all
def test_a_saved_state_gives_the_same_layer(name):
    layer, x = make(name)
    other = LAYERS[name][0]().double()
    layer.train(), other.train()
    layer(x, *condition(name, x))
    other.load_state_dict(layer.state_dict())
    outputs = []
    for either in (layer, other):
        torch.manual_seed(1)
        outputs.append(either(x, *condition(name, x)))
    torch.testing.assert_close(*outputs, rtol=0, atol=0)
    torch.testing.assert_close(layer.state_dict(), other.state_dict(), rtol=0, atol=0)


@over_all
def test_a_single_sample_has_finite_outputs_and_gradients(name):
    layer, x = make(name)
    layer.train()
    x = x[:1].requires_grad_()
    y = layer(x, *condition(name, x))
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    assert y.isfinite().all()
    assert gradient.isfinite().all()


@over_all
def test_a_batch_of_equal_samples_has_finite_outputs_and_gradients(name):
    layer, x = make(name)
    layer.train()
    x = torch.zeros_like(x).requires_grad_()
    y = layer(x, *condition(name, x))
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    assert y.isfinite().all()
    assert gradient.isfinite().all()


@over_all
def test_bfloat16_stays_bfloat16_under_autocast_and_is_near_float32(name):
    layer, x = make(name, torch.float32)
    x = x.bfloat16()
    expected = layer(x.float(), *condition(name, x.float()))
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x, *condition(name, x.float()))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("name", RANDOM)
def test_noise_is_drawn_anew_in_training(name):
    layer, x = make(name)
    layer.train()
    assert not torch.equal(layer(x), layer(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.TReLU(0), "channels must be at least 1, not 0"),
        (lambda: layers.TPReLU(0), "channels must be at least 1, not 0"),
        (lambda: layers.TPReLU(2, slope=1.5), "slope must be at least 0 and at most 1, not 1.5"),
        (lambda: layers.Affine(0), "channels must be at least 1, not 0"),
        (lambda: layers.PixelNorm(eps=-1.0), "eps must be at least 0, not -1.0"),
        (lambda: layers.LayerNorm(0), "channels must be at least 1, not 0"),
        (lambda: layers.InstanceNorm(0), "channels must be at least 1, not 0"),
        (lambda: layers.VirtualBatchNorm(0), "channels must be at least 1, not 0"),
        (lambda: layers.SelfAttention(0), "channels must be at least 1, not 0"),
        (lambda: layers.SelfModulation(4, 0), "z_dim must be at least 1, not 0"),
        (lambda: layers.SelfModulation(4, 2, hidden=0), "hidden must be at least 1, not 0"),
        (lambda: layers.MinibatchStd(group=0), "group must be at least 1, not 0"),
        (lambda: layers.MinibatchStd(groups=0), "groups must be at least 1, not 0"),
        (
            lambda: layers.MinibatchStd(mode="mean"),
            "there is no mode 'mean'; choices: all, spatial, none, gpool, flat",
        ),
        (lambda: layers.MinibatchStd(mode="flat", groups=2), "only mode 'all' splits channels into groups, not 'flat'"),
        (lambda: layers.MinibatchStd(groups=3)(torch.randn(2, 4, 1, 1)), "4 channels cannot be split into 3 groups"),
        (lambda: layers.MinibatchDiscrimination(0), "features must be at least 1, not 0"),
        (lambda: layers.MinibatchDiscrimination(4, kernels=0), "kernels must be at least 1, not 0"),
        (lambda: layers.MinibatchDiscrimination(4, size=0), "size must be at least 1, not 0"),
        (lambda: layers.InstanceNoise(-0.1), "std must be at least 0, not -0.1"),
        (lambda: layers.InstanceNoise(linear(0.1, -1.0, images=9)), "std must be at least 0, not -1.0"),
        (lambda: layers.AdaptiveNoise(coefficient=-1.0), "coefficient must be at least 0, not -1.0"),
        (lambda: layers.AdaptiveNoise(decay=1.0), "decay must be at least 0 and below 1, not 1.0"),
        (lambda: layers.AdaptiveNoise(decay=float("nan")), "decay must be at least 0 and below 1, not nan"),
        (lambda: layers.InstanceNoise(float("nan")), "std must be at least 0, not nan"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
