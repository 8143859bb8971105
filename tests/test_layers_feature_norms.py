"""Values and laws of the normalising layers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from equipoise import layers

SHAPES = {name: st.integers(1, 4) for name in ("batch", "channels", "height")} | {"width": st.integers(2, 5)}


class TestPixelNorm:
    def test_by_hand(self):
        x = torch.tensor([[3.0, 4.0]])  # mean square 12.5
        torch.testing.assert_close(layers.PixelNorm()(x), x / 12.5**0.5)
        torch.testing.assert_close(layers.PixelNorm(eps=3.5)(x), x / 4)

    @settings(max_examples=25, deadline=None)
    @given(space=st.lists(st.integers(1, 4), max_size=3), channels=st.integers(1, 6))
    def test_mean_square_one_at_every_pixel(self, space, channels):
        y = layers.PixelNorm()(1 + torch.rand(2, channels, *space))
        torch.testing.assert_close(y.square().mean(1), torch.ones(2, *space))

    def test_latents_have_the_length_of_a_normal_vector_and_not_one(self):
        assert layers.PixelNorm()(torch.randn(3, 512)).norm(dim=1).tolist() == pytest.approx([512**0.5] * 3)

    def test_squares_of_half_precision_do_not_overflow(self):
        y = layers.PixelNorm()(torch.full((1, 4), 300.0, dtype=torch.float16))
        torch.testing.assert_close(y, torch.ones(1, 4, dtype=torch.float16))

    def test_zeros_stay_zeros(self):
        assert (layers.PixelNorm()(torch.zeros(2, 3, 2, 2)) == 0).all()


class TestLayerNorm:
    @settings(max_examples=25, deadline=None)
    @given(**SHAPES)
    def test_it_is_the_formula(self, batch, channels, height, width):
        layer, x = layers.LayerNorm(channels).double(), torch.randn(batch, channels, height, width).double()
        with torch.no_grad():
            layer.weight.copy_(torch.arange(channels) + 2.0)
            layer.bias.copy_(-torch.arange(channels))
        mean, variance = (f(x.numpy(), axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.var))
        gain, bias = np.arange(channels).reshape(-1, 1, 1) + 2, -np.arange(channels).reshape(-1, 1, 1)
        expected = gain * (x.numpy() - mean) / np.sqrt(variance + 1e-5) + bias
        np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-9, atol=1e-12)

    def test_one_gain_and_bias_a_channel_or_none(self):
        assert [tuple(weight.shape) for weight in layers.LayerNorm(5).parameters()] == [(5,), (5,)]
        assert not [*layers.LayerNorm(5, affine=False).parameters()]


class TestInstanceNorm:
    @settings(max_examples=25, deadline=None)
    @given(**SHAPES)
    def test_it_is_the_formula(self, batch, channels, height, width):
        layer, x = layers.InstanceNorm(channels).double(), torch.randn(batch, channels, height, width).double()
        with torch.no_grad():
            layer.weight.fill_(3)
            layer.bias.fill_(-1)
        mean, variance = (f(x.numpy(), axis=(2, 3), keepdims=True) for f in (np.mean, np.var))
        expected = 3 * (x.numpy() - mean) / np.sqrt(variance + 1e-5) - 1
        np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(layer.eval()(x), torch.from_numpy(expected))

    def test_one_gain_and_bias_a_channel_or_none(self):
        assert [tuple(weight.shape) for weight in layers.InstanceNorm(5).parameters()] == [(5,), (5,)]
        assert not [*layers.InstanceNorm(5, affine=False).parameters()]


@pytest.mark.parametrize("norm", [layers.PixelNorm(), layers.LayerNorm(3), layers.InstanceNorm(3)])
def test_no_sample_hears_of_another(norm):
    x = torch.randn(4, 3, 5, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(norm(x)[1].pow(3).sum(), x)
    assert gradient.abs().amax((1, 2, 3)).gt(0).tolist() == [False, True, False, False]


class TestSelfModulation:
    def test_it_starts_as_plain_batch_norm_for_every_z(self):
        x, z = torch.randn(6, 4, 3, 3), torch.randn(6, 5)
        layer, plain = layers.SelfModulation(4, z_dim=5), nn.BatchNorm2d(4)
        for mode in (True, False):
            torch.testing.assert_close(layer.train(mode)(x, z), plain.train(mode)(x))

    def test_it_leaves_the_start(self):
        layer = layers.SelfModulation(4, z_dim=5)
        layer(torch.randn(6, 4, 3, 3), torch.randn(6, 5)).pow(3).sum().backward()
        assert layer.gain.weight.grad.abs().max() > 0
        assert layer.bias.weight.grad.abs().max() > 0

    def test_each_sample_is_scaled_and_shifted_by_its_own_z(self):
        layer = layers.SelfModulation(1, z_dim=1, hidden=2, eps=0.0).eval()
        with torch.no_grad():
            for linear, weight, bias in (
                (layer.hidden[0], [[1.0], [-1.0]], [0.0, 1.0]),
                (layer.gain, [[2.0, 10.0]], [1.0]),
                (layer.bias, [[0.0, 3.0]], [0.5]),
            ):
                linear.weight.copy_(torch.tensor(weight))
                linear.bias.copy_(torch.tensor(bias))
        y = layer(torch.full((2, 1, 1, 1), 7.0), torch.tensor([[3.0], [-1.0]]))
        # z = 3: units 3 and 0, gain 7, bias 0.5; z = -1: units 0 and 2, gain 21, bias 6.5
        torch.testing.assert_close(y.flatten(), torch.tensor([49.5, 153.5]))


def referred(layer, reference):
    """The layer, with its reference batch set."""
    layers.with_reference(layer, reference, reference[:0])
    return layer


class TestVirtualBatchNorm:
    @settings(max_examples=25, deadline=None)
    @given(**SHAPES, samples=st.integers(1, 4))
    def test_moments_are_those_of_the_reference_batch_and_the_sample(self, batch, channels, height, width, samples):
        x, reference = (torch.randn(n, channels, height, width).double() for n in (batch, samples))
        layer = referred(layers.VirtualBatchNorm(channels).double(), 5 + 2 * reference)
        for sample, y in zip(x, layer(x), strict=True):
            both = torch.cat([5 + 2 * reference, sample[None]]).numpy()
            mean, variance = (f(both, axis=(0, 2, 3)).reshape(-1, 1, 1) for f in (np.mean, np.var))
            np.testing.assert_allclose(
                y.detach().numpy(), (sample.numpy() - mean) / np.sqrt(variance + 1e-5), rtol=1e-7
            )

    @pytest.mark.parametrize("training", [True, False])
    def test_the_other_samples_of_the_batch_do_not_count(self, training):
        layer, x = (
            referred(layers.VirtualBatchNorm(3), torch.randn(8, 3, 4, 4)).train(training),
            torch.randn(4, 3, 4, 4),
        )
        others = torch.cat([x[:1], 100 * torch.randn(6, 3, 4, 4)])
        torch.testing.assert_close(layer(others)[0], layer(x)[0])
        torch.testing.assert_close(layer(x[:1])[0], layer(x)[0])

    def test_the_reference_batch_is_normalised_by_its_own_moments(self):
        net = nn.Sequential(layers.VirtualBatchNorm(3), nn.ReLU(), layers.VirtualBatchNorm(3))
        reference, x = 4 + 3 * torch.randn(8, 3, 4, 4), torch.randn(2, 3, 4, 4)
        layers.with_reference(net, reference, x)
        first = nn.BatchNorm2d(3)(reference).relu()
        torch.testing.assert_close(net[2].mean, first.mean((0, 2, 3)))
        torch.testing.assert_close(net[2].variance, first.var((0, 2, 3), correction=0))

    def test_the_kept_moments_give_what_the_reference_batch_gave(self):
        net = nn.Sequential(layers.VirtualBatchNorm(3), nn.Conv2d(3, 3, 3), nn.ReLU(), layers.VirtualBatchNorm(3))
        reference, x = torch.randn(8, 3, 4, 4), torch.randn(2, 3, 4, 4)
        torch.testing.assert_close(layers.with_reference(net, reference, x), net(x))

    def test_moments_follow_the_weights_with_their_gradient(self):
        net = nn.Sequential(nn.Linear(1, 1).double(), layers.VirtualBatchNorm(1, eps=0.0).double())
        y = layers.with_reference(net, torch.randn(8, 1).double(), torch.randn(4, 1).double())
        y.pow(3).sum().backward()  # scale and shift before a normalisation change nothing
        torch.testing.assert_close(net[0].weight.grad, torch.zeros(1, 1).double())
        torch.testing.assert_close(net[0].bias.grad, torch.zeros(1).double())

    def test_moments_are_exact_far_from_zero(self):
        reference = torch.tensor([[4095.0], [4097.0]])
        torch.testing.assert_close(
            referred(layers.VirtualBatchNorm(1), reference)(torch.tensor([[4098.0]])),
            torch.tensor([[(4098 - 12290 / 3) / (14 / 9) ** 0.5]]), rtol=1e-3, atol=0,
        )  # fmt: skip

    def test_a_new_reference_batch_leaves_earlier_graphs_intact(self):
        layer, x = referred(layers.VirtualBatchNorm(3), torch.randn(8, 3)), torch.randn(2, 3, requires_grad=True)
        (expected,) = torch.autograd.grad(layer(x).pow(3).sum(), x)
        y = layer(x)
        referred(layer, 5 * torch.randn(8, 3))
        (found,) = torch.autograd.grad(y.pow(3).sum(), x)
        torch.testing.assert_close(found, expected)

    def test_a_layer_without_a_reference_batch_is_refused(self):
        layer = layers.VirtualBatchNorm(3)
        fresh = {name: value.clone() for name, value in layer.state_dict().items()}
        for training in (True, False):
            with pytest.raises(ValueError, match="has no reference batch yet: run with_reference"):
                layer.train(training)(torch.randn(2, 3, 4, 4))
        referred(layer, torch.randn(2, 3)).load_state_dict(fresh)
        with pytest.raises(ValueError, match="has no reference batch yet"):
            layer(torch.randn(2, 3))

    def test_an_empty_reference_batch_is_refused(self):
        with pytest.raises(ValueError, match="samples_of_reference must be at least 1, not 0"):
            referred(layers.VirtualBatchNorm(3), torch.randn(0, 3))

    def test_buffers_alone_carry_the_reference_batch(self):  # as the averaged generator takes them over
        layer, average = referred(layers.VirtualBatchNorm(3), torch.randn(8, 3)), layers.VirtualBatchNorm(3)
        for to, value in zip(average.buffers(), layer.buffers(), strict=True):
            to.copy_(value)
        x = torch.randn(2, 3)
        torch.testing.assert_close(average(x), layer(x))

    def test_an_error_in_the_network_ends_the_reference_run(self):
        net = nn.Sequential(layers.VirtualBatchNorm(3), nn.Linear(2, 2))
        with pytest.raises(RuntimeError):
            layers.with_reference(net, torch.randn(4, 3), torch.randn(2, 3))
        assert net[0](torch.randn(2, 3)).shape == (2, 3)
