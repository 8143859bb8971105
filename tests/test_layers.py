"""Laws of the layers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate

from equipoise import layers
from equipoise.labels import LabelSpace

SIZES = {name: st.integers(1, 4) for name in ("batch", "channels")} | {
    name: st.integers(2, 9) for name in ("height", "width")
}


@settings(max_examples=25, deadline=None)
@given(**SIZES)
def test_one_convolution_doubles_or_halves_like_two_operations(batch, channels, height, width):
    torch.manual_seed(0)
    x = torch.randn(batch, channels, height, width).double()
    doubling, halving = (make(channels, 3).double() for make in (layers.DoubleThenConvolve, layers.ConvolveThenHalve))
    convolve = lambda layer, images: conv2d(images, layer.weight, layer.bias, padding=1)
    doubled = interpolate(x, scale_factor=2, mode="nearest")
    torch.testing.assert_close(doubling(x), convolve(doubling, doubled))
    torch.testing.assert_close(halving(x), avg_pool2d(convolve(halving, x), 2))


@settings(max_examples=25, deadline=None)
@given(**SIZES, rows=st.integers(0, 5), columns=st.integers(0, 5))
def test_cropping_undoes_padding(batch, channels, height, width, rows, columns):
    x = torch.randn(batch, channels, height, width)
    padded = layers.CenterPad(height + rows, width + columns)(x)
    assert padded.shape[2:] == (height + rows, width + columns)
    torch.testing.assert_close(padded.abs().sum(), x.abs().sum())
    torch.testing.assert_close(layers.CenterCrop(height, width)(padded), x)


class TestConditionalBatchNorm:
    def test_all_classes_start_as_plain_batch_norm(self):
        x = torch.randn(6, 4, 3, 3)
        conditional, plain = layers.ConditionalBatchNorm(4, 3), nn.BatchNorm2d(4)
        torch.testing.assert_close(conditional(x, torch.arange(6) % 3), plain(x))

    def test_each_sample_is_scaled_and_shifted_by_its_own_class(self):
        layer, x = layers.ConditionalBatchNorm(2, 2).eval(), torch.randn(2, 2, 3, 3)
        with torch.no_grad():
            layer.gain.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
            layer.bias.weight.copy_(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
        normal = x / (1 + 1e-5) ** 0.5  # in evaluation: running mean 0 and variance 1
        gains, biases = torch.tensor([[3.0, 4.0], [1.0, 2.0]]), torch.tensor([[2.0, 3.0], [0.0, 1.0]])
        expected = normal * gains[:, :, None, None] + biases[:, :, None, None]
        torch.testing.assert_close(layer(x, torch.tensor([1, 0])), expected)

    def test_a_class_that_is_not_there_is_refused(self):
        with pytest.raises(IndexError):
            layers.ConditionalBatchNorm(2, 2)(torch.randn(1, 2, 3, 3), torch.tensor([2]))

    @pytest.mark.parametrize("kind", ["attributes", "vectors"])
    def test_vectors_start_as_plain_batch_norm_and_then_scale_linearly(self, kind):
        """gain = 1 + W y, bias = V y."""
        space = LabelSpace(kind, 2)
        layer, x, labels = layers.ConditionalBatchNorm(3, space), torch.randn(4, 3, 5, 2), space.example(4)
        torch.testing.assert_close(layer(x, labels), nn.BatchNorm2d(3)(x))
        with torch.no_grad():
            layer.gain.weight.normal_()
            layer.bias.weight.normal_()
        gains, biases = (labels.float() @ part.weight.T for part in (layer.gain, layer.bias))
        expected = nn.BatchNorm2d(3)(x) * (1 + gains)[:, :, None, None] + biases[:, :, None, None]
        torch.testing.assert_close(layer(x, labels), expected)

    def test_features_without_space(self):
        x, labels = torch.randn(6, 4), torch.arange(6) % 3
        torch.testing.assert_close(layers.ConditionalBatchNorm(4, 3)(x, labels), nn.BatchNorm1d(4)(x))

    def test_mixtures_of_classes_have_mixed_gains(self):
        layer, x = layers.ConditionalBatchNorm(2, 2).eval(), torch.randn(2, 2, 3, 3)
        with torch.no_grad():
            layer.gain.weight.normal_()
        both = [layer(x, torch.full((2,), label)) for label in (0, 1)]
        torch.testing.assert_close(layer(x, torch.tensor([[0.25, 0.75]] * 2)), 0.25 * both[0] + 0.75 * both[1])
