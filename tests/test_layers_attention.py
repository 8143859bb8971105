"""Values and laws of self-attention."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise import layers


def opened(channels, gamma=1.0, **kwargs):
    """A layer whose gamma is not 0."""
    layer = layers.SelfAttention(channels, **kwargs).double()
    with torch.no_grad():
        layer.gamma.fill_(gamma)
    return layer


def reference(layer, x):
    """The formula in numpy, one loop a sample and pixel; heights and widths are even."""
    weights = {name: w.detach().numpy().squeeze() for name, w in layer.named_parameters()}
    b, c, h, w = x.shape
    y = np.empty((b, c, h * w))
    for n, image in enumerate(x.numpy()):
        query, key, value = (np.tensordot(weights[f"{name}.weight"], image, 1) for name in ("query", "key", "value"))
        if layer.pooled:
            key, value = (f.reshape(len(f), h // 2, 2, w // 2, 2).max((2, 4)) for f in (key, value))
        query, key, value = (f.reshape(len(f), -1) for f in (query, key, value))
        for pixel in range(h * w):
            share = np.exp(query[:, pixel] @ key)
            y[n, :, pixel] = weights["output.weight"] @ (value @ (share / share.sum()))
    return x.numpy() + weights["gamma"] * y.reshape(x.shape)


@pytest.mark.parametrize("pooled", [True, False])
def test_it_is_the_formula(pooled):
    layer, x = opened(16, gamma=0.7, pooled=pooled), 3 * torch.randn(2, 16, 4, 6).double()
    np.testing.assert_allclose(layer(x).detach().numpy(), reference(layer, x), rtol=1e-9, atol=1e-12)


def test_the_widths_are_the_authors_and_nothing_has_a_bias():
    shapes = lambda layer: {name: tuple(weight.shape[:2]) for name, weight in layer.named_parameters()}
    heads = {"gamma": (), "query.weight": (8, 64), "key.weight": (8, 64)}
    assert shapes(layers.SelfAttention(64)) == heads | {"value.weight": (32, 64), "output.weight": (64, 32)}
    paper = heads | {"value.weight": (8, 64), "output.weight": (64, 8)}
    assert shapes(layers.SelfAttention(64, pooled=False)) == paper


@settings(max_examples=25, deadline=None)
@given(channels=st.integers(1, 9), height=st.integers(1, 5), width=st.integers(1, 5), pooled=st.booleans())
def test_any_size_will_do(channels, height, width, pooled):
    x = torch.randn(2, channels, height, width).double()
    y = opened(channels, pooled=pooled)(x)
    assert y.shape == x.shape
    assert y.isfinite().all()
    assert not torch.equal(y, x)


def test_no_pixel_at_an_odd_edge_is_lost():
    layer, x = opened(8), torch.randn(1, 8, 3, 3).double().requires_grad_()
    with torch.no_grad():
        layer.key.weight.zero_()  # attention is uniform then, over 2 x 2 maxima
    (gradient,) = torch.autograd.grad((layer(x) - x)[0, :, 0, 0].pow(3).sum(), x)
    assert gradient[0, :, 2, 2].abs().max() > 0


def test_attention_without_queries_is_a_mean():
    layer, x = opened(8, pooled=False), torch.randn(2, 8, 3, 4).double()
    with torch.no_grad():
        layer.query.weight.zero_()
        expected = layer.output(layer.value(x)).mean((2, 3), keepdim=True)
    torch.testing.assert_close(layer(x) - x, expected.expand_as(x))


def test_places_do_not_matter_without_pooling():
    layer, x = opened(8, pooled=False), torch.randn(2, 8, 3, 4).double()
    torch.testing.assert_close(layer(x.flip(2, 3)), layer(x).flip(2, 3))


def test_it_starts_as_the_identity_and_leaves_it():
    layer, x = layers.SelfAttention(16), torch.randn(2, 16, 4, 4)
    torch.testing.assert_close(layer(x), x, rtol=0, atol=0)
    layer(x).pow(3).sum().backward()
    assert layer.gamma.grad.abs() > 0


def test_it_attends_across_the_whole_image():
    layer, x = opened(8), torch.randn(1, 8, 6, 6).double().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x)[0, :, 0, 0].sum(), x)
    assert (gradient.abs().amax((0, 1))[4:, 4:] > 0).any()
