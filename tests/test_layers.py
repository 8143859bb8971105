"""Laws of the layers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from equipoise import layers

SIZES = {name: st.integers(1, 4) for name in ("batch", "channels")} | {
    name: st.integers(2, 9) for name in ("height", "width")
}


@settings(max_examples=25, deadline=None)
@given(**SIZES)
def test_one_convolution_doubles_or_halves_like_two_operations(batch, channels, height, width):
    torch.manual_seed(0)
    convolution = nn.Conv2d(channels, 3, 3, padding=1).double()
    x = torch.randn(batch, channels, height, width).double()
    expected = convolution(interpolate(x, scale_factor=2, mode="nearest"))
    torch.testing.assert_close(layers.double_then_convolve(x, convolution), expected)
    torch.testing.assert_close(layers.convolve_then_halve(x, convolution), avg_pool2d(convolution(x), 2))


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
        conditional, plain = layers.ConditionalBatchNorm(4, classes=3), nn.BatchNorm2d(4)
        torch.testing.assert_close(conditional(x, torch.arange(6) % 3), plain(x))

    def test_each_sample_is_scaled_and_shifted_by_its_own_class(self):
        layer, x = layers.ConditionalBatchNorm(2, classes=2).eval(), torch.randn(2, 2, 3, 3)
        with torch.no_grad():
            layer.gain.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
            layer.bias.weight.copy_(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
        normal = x / (1 + 1e-5) ** 0.5  # in evaluation: running mean 0 and variance 1
        gains, biases = torch.tensor([[3.0, 4.0], [1.0, 2.0]]), torch.tensor([[2.0, 3.0], [0.0, 1.0]])
        expected = normal * gains[:, :, None, None] + biases[:, :, None, None]
        torch.testing.assert_close(layer(x, torch.tensor([1, 0])), expected)

    def test_a_class_that_is_not_there_is_refused(self):
        with pytest.raises(IndexError):
            layers.ConditionalBatchNorm(2, classes=2)(torch.randn(1, 2, 3, 3), torch.tensor([2]))


@pytest.mark.parametrize("other", [{"kernel_size": 5, "padding": 2}, {"padding": 0}, {"padding_mode": "reflect"}])
def test_only_plain_convolutions_are_merged(other):
    convolution = nn.Conv2d(2, 2, **({"kernel_size": 3, "padding": 1} | other))
    for merged in (layers.double_then_convolve, layers.convolve_then_halve):
        with pytest.raises(ValueError, match="only a plain 3x3 convolution with padding 1 can be merged"):
            merged(torch.randn(1, 2, 6, 6), convolution)
