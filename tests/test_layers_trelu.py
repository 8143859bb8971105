"""Values and laws of the activations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import prelu, relu

from equipoise import layers

X = torch.tensor([[-2.0, -2.0], [0.5, 0.5], [3.0, 3.0]])  # [b, c]


def filled(layer, **weights):
    with torch.no_grad():
        for name, values in weights.items():
            layer.get_parameter(name).copy_(torch.tensor(values))
    return layer


class TestTReLU:
    def test_by_hand(self):
        layer = filled(layers.TReLU(2), threshold=[-1.0, 2.0])
        assert layer(X).tolist() == [[-1, 2], [0.5, 2], [3, 3]]

    def test_it_starts_as_relu_also_in_its_gradient(self):
        x, layer = torch.tensor([[-1.0], [0.0], [1.0]], requires_grad=True), layers.TReLU(1)
        assert torch.equal(layer(x), relu(x))
        assert torch.autograd.grad(layer(x).sum(), x)[0].flatten().tolist() == [0, 0, 1]

    def test_the_threshold_learns_from_what_it_cuts(self):
        layer = layers.TReLU(1)
        layer(torch.tensor([[-1.0], [-5.0], [2.0]])).sum().backward()
        assert layer.threshold.grad == 2

    def test_it_hides_no_nan(self):
        assert layers.TReLU(1)(torch.tensor([[torch.nan]])).isnan().all()


class TestTPReLU:
    def test_by_hand(self):
        layer = filled(layers.TPReLU(2), slope=[0.5, 0.0], threshold=[1.0, 1.0])
        assert layer(X).tolist() == [[-0.5, 1], [0.75, 1], [3, 3]]

    def test_it_starts_as_prelu(self):
        x = torch.randn(3, 4, 2, 2)
        torch.testing.assert_close(layers.TPReLU(4)(x), nn.PReLU(4)(x))
        assert (layers.TPReLU(4, slope=0.0).slope == 0).all()

    @settings(max_examples=25, deadline=None)
    @given(slope=st.floats(-3, 4, width=32), training=st.booleans())
    def test_slopes_are_between_0_and_1_in_any_mode(self, slope, training):
        layer, x = filled(layers.TPReLU(1), slope=[slope]).train(training), torch.tensor([[-2.0], [2.0]])
        torch.testing.assert_close(layer(x), prelu(x, torch.tensor([min(max(slope, 0.0), 1.0)])))

    @pytest.mark.parametrize(("outside", "wanted"), [(-0.7, 0.5), (1.8, 0.5), (-0.7, 1.0), (1.8, 0.0)])
    def test_no_slope_is_stuck_outside(self, outside, wanted):
        layer, x = filled(layers.TPReLU(1), slope=[outside]), torch.tensor([[-1.0], [-2.0]])
        optimizer = torch.optim.SGD([layer.slope], lr=0.05)
        for _ in range(100):
            optimizer.zero_grad()
            (layer(x) - wanted * x).square().mean().backward()
            optimizer.step()
        assert layer.slopes().item() == pytest.approx(wanted, abs=0.01)

    def test_pushing_outwards_for_long_does_not_delay_the_way_back(self):
        layer, x = layers.TPReLU(1), torch.tensor([[-1.0]])
        optimizer = torch.optim.SGD([layer.slope], lr=0.05)
        for sign in [1.0] * 100 + [-1.0] * 5:  # y = -slope: first down, then up
            optimizer.zero_grad()
            (-sign * layer(x)).sum().backward()
            optimizer.step()
        assert layer.slopes().item() > 0.1

    def test_two_forwards_may_come_before_their_gradients(self):
        layer = filled(layers.TPReLU(1), slope=[1.2])
        (layer(torch.tensor([[-1.0]])) + layer(torch.tensor([[-3.0]]))).sum().backward()
        assert layer.slope.grad == -4

    def test_evaluation_leaves_the_parameter_alone(self):
        layer = filled(layers.TPReLU(1), slope=[1.2]).eval()
        layer(X[:, :1])
        assert layer.slope.item() == pytest.approx(1.2)


class TestAffine:
    def test_by_hand(self):
        layer = filled(layers.Affine(2), gain=[2.0, -1.0], bias=[0.5, 1.0])
        assert layer(X).tolist() == [[-3.5, 3], [1.5, 0.5], [6.5, -2]]

    def test_it_starts_as_the_identity(self):
        assert torch.equal(layers.Affine(2)(X), X)


@settings(max_examples=20, deadline=None)
@given(space=st.lists(st.integers(1, 3), max_size=3), channels=st.integers(1, 5))
@pytest.mark.parametrize("make", [layers.TReLU, layers.TPReLU, layers.Affine])
def test_any_rank_has_its_weights_along_the_channels(make, space, channels):
    layer, x = make(channels), torch.randn(2, channels, *space)
    with torch.no_grad():
        for weight in layer.parameters():
            weight += torch.linspace(0, 0.5, channels)
    y = layer(x)
    assert y.shape == x.shape
    for channel in range(channels):
        alone = make(1)
        for weight, whole in zip(alone.parameters(), layer.parameters(), strict=True):
            weight.data = whole.data[channel : channel + 1]
        torch.testing.assert_close(y[:, channel], alone(x[:, channel : channel + 1])[:, 0])
