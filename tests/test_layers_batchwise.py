"""Values and laws of the layers in which samples depend on one another."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise import layers

ONE, OTHER = torch.zeros(1, 2, 1, 2), torch.tensor([[[[2.0, 4.0]], [[6.0, 8.0]]]])
SPREADS = {  # of the two samples; the standard deviations of the single values are 1, 2, 3, 4
    "all": [[[2.5, 2.5]]],
    "spatial": [[[1.5, 1.5]], [[3.5, 3.5]]],
    "none": [[[1.0, 2.0]], [[3.0, 4.0]]],
    "gpool": [[[2.75**0.5] * 2], [[12.75**0.5] * 2]],
    "flat": [[[8.75**0.5] * 2]],
}


def appended(layer, x):
    return layer(x)[:, x.shape[1] :]


class TestMinibatchStd:
    @pytest.mark.parametrize("mode", SPREADS)
    def test_each_mode_has_its_value_by_hand(self, mode):
        x = torch.cat([ONE, OTHER])
        y = layers.MinibatchStd(mode=mode)(x)
        torch.testing.assert_close(y[:, :2], x, rtol=0, atol=0)
        torch.testing.assert_close(y[:, 2:], torch.tensor([SPREADS[mode]] * 2))

    def test_all_is_one_number_and_not_a_mean_over_channels_alone(self):
        y = appended(layers.MinibatchStd(), torch.randn(4, 3, 5, 5))
        assert y.shape == (4, 1, 5, 5)
        assert len(y.unique()) == 1

    def test_gpool_is_a_standard_deviation_and_not_a_mean(self):
        y = appended(layers.MinibatchStd(mode="gpool"), torch.full((4, 3, 2, 2), 7.0))
        torch.testing.assert_close(y, torch.full((4, 3, 2, 2), 1e-4))

    def test_all_and_flat_differ(self):
        x = torch.randn(1, 3, 4, 4).expand(2, -1, -1, -1)  # alike samples of unlike pixels
        assert appended(layers.MinibatchStd(), x).max() < 2e-4
        assert appended(layers.MinibatchStd(mode="flat"), x).min() > 0.5

    def test_groups_of_samples_are_strided(self):
        x = torch.tensor([0.0, 10.0, 2.0, 16.0])[:, None]
        assert appended(layers.MinibatchStd(group=2), x).flatten().tolist() == [1, 3, 1, 3]

    @pytest.mark.parametrize(("batch", "group", "groups"), [(6, 4, 2), (4, 8, 1), (7, 4, 7), (9, 4, 3), (8, 4, 2)])
    def test_a_batch_is_cut_into_groups_of_its_largest_divisor(self, batch, group, groups):
        y = appended(layers.MinibatchStd(group=group), torch.randn(batch, 3, 2, 2))[:, 0, 0, 0]
        torch.testing.assert_close(y, y[:groups].repeat(batch // groups), rtol=0, atol=0)
        assert len(y.unique()) == (1 if groups == batch else groups)  # of a single sample: 1e-4 everywhere

    @settings(max_examples=25, deadline=None)
    @given(
        size=st.integers(1, 4), count=st.integers(1, 3), groups=st.integers(1, 3), each=st.integers(1, 3),
        height=st.integers(1, 4), width=st.integers(1, 4),
    )  # fmt: skip
    def test_it_is_the_formula_of_the_authors(self, size, count, groups, each, height, width):
        x = torch.randn(size * count, groups * each, height, width, dtype=torch.float64)
        y = x.numpy().reshape(size, count, groups, each, height, width)
        y = np.sqrt(y.var(axis=0) + 1e-8).mean(axis=(2, 3, 4)).reshape(count, groups, 1, 1)
        expected = np.tile(y, (size, 1, height, width))
        found = appended(layers.MinibatchStd(group=size, groups=groups), x)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)

    @settings(max_examples=25, deadline=None)
    @given(
        mode=st.sampled_from([*SPREADS]), batch=st.integers(1, 6), channels=st.integers(1, 5), side=st.integers(1, 3)
    )
    def test_it_tells_how_many_channels_it_appends(self, mode, batch, channels, side):
        layer, x = layers.MinibatchStd(group=3, mode=mode), torch.randn(batch, channels, side, side + 1)
        assert appended(layer, x).shape == (batch, layer.appended(channels), side, side + 1)

    def test_channel_groups_are_told_too(self):
        layer, x = layers.MinibatchStd(groups=3), torch.randn(2, 6)
        assert layer.appended(6) == appended(layer, x).shape[1] == 3

    @pytest.mark.parametrize("mode", ["all", "spatial", "none"])
    def test_a_single_sample_has_none(self, mode):
        x = torch.randn(1, 2, 3, 3, requires_grad=True)
        y = appended(layers.MinibatchStd(mode=mode), x)
        torch.testing.assert_close(y, torch.full_like(y, 1e-4))
        y.sum().backward()
        assert (x.grad == 0).all()

    def test_bfloat16_is_averaged_in_float32(self):
        x = torch.tensor([[256.0], [258.0]], dtype=torch.bfloat16)  # whose mean is no bfloat16 number
        assert appended(layers.MinibatchStd(), x).flatten().tolist() == [1, 1]


def plain(weights, kernels=1, size=1):
    """A layer in eval mode whose tensor T is given and whose biases are 0."""
    layer = layers.MinibatchDiscrimination(len(weights), kernels, size).double().eval()
    tensor = torch.as_tensor(weights, dtype=torch.float64).reshape(len(weights), kernels, size)
    with torch.no_grad():
        layer.direction.copy_(tensor)
        layer.log_scale.copy_(tensor.norm(dim=0).log())
        layer.bias.zero_()
    return layer


class TestMinibatchDiscrimination:
    def test_a_sample_is_no_neighbour_of_itself(self):
        near = np.exp([-1, -2, -3])
        y = plain([1.0])(torch.tensor([[0.0], [1.0], [3.0]]).double())
        expected = [[0, near[0] + near[2]], [1, near[0] + near[1]], [3, near[2] + near[1]]]
        np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-6)
        assert plain([1.0])(torch.ones(1, 1).double())[0, 1] == 0

    @settings(max_examples=25, deadline=None)
    @given(b=st.integers(1, 5), f=st.integers(1, 4), kernels=st.integers(1, 4), size=st.integers(1, 3))
    def test_it_is_the_formula_of_the_paper(self, b, f, kernels, size):
        x, tensor = (
            np.random.default_rng(0).normal(size=(b, f)),
            np.random.default_rng(1).normal(size=(f, kernels, size)),
        )
        projected = np.tensordot(x, tensor, 1)
        expected = np.zeros((b, kernels))
        for i in range(b):
            for j in set(range(b)) - {i}:
                expected[i] += np.exp(-np.abs(projected[i] - projected[j]).sum(1))
        found = plain(tensor, kernels, size)(torch.from_numpy(x))[:, f:]
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-9)

    def test_the_first_batch_in_training_sets_scales_and_biases(self):
        layer, x = layers.MinibatchDiscrimination(6, kernels=4, size=3), 100 * torch.randn(16, 6)
        torch.testing.assert_close(layer(x)[:, 6:].mean(0), torch.zeros(4), rtol=0, atol=1e-5)
        torch.testing.assert_close(layer.distances(x).amin(1).mean(0), torch.full((4,), 2.0))

    def test_only_the_first(self):
        layer = layers.MinibatchDiscrimination(6)
        layer(torch.randn(8, 6))
        before = {name: weight.clone() for name, weight in layer.state_dict().items()}
        layer(100 * torch.randn(8, 6))
        torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)

    def test_a_resumed_run_does_not_set_them_again(self):
        layer, resumed = layers.MinibatchDiscrimination(6), layers.MinibatchDiscrimination(6)
        layer(torch.randn(8, 6))
        resumed.load_state_dict(layer.state_dict())
        x = 100 * torch.randn(8, 6)
        torch.testing.assert_close(resumed(x), layer(x), rtol=0, atol=0)
        torch.testing.assert_close(resumed.log_scale, layer.log_scale, rtol=0, atol=0)

    def test_a_state_from_before_the_first_batch_is_set_again(self):
        layer, x = layers.MinibatchDiscrimination(6), torch.randn(8, 6)
        start = {name: weight.clone() for name, weight in layer.state_dict().items()}
        expected = layer(x)
        layer.load_state_dict(start)
        torch.testing.assert_close(layer(x), expected)

    @pytest.mark.parametrize(("training", "batch"), [(False, 8), (True, 1)])
    def test_neither_evaluation_nor_a_single_sample_sets_them(self, training, batch):
        layer = layers.MinibatchDiscrimination(6).train(training)
        layer(torch.randn(batch, 6))
        assert not layer.initialised()
        assert (layer.log_scale == 0).all()

    def test_a_first_batch_of_equal_samples_keeps_the_scales(self):
        layer = layers.MinibatchDiscrimination(3, kernels=2)
        y = layer(torch.ones(4, 3))
        torch.testing.assert_close(y[:, 3:], torch.zeros(4, 2))
        assert (layer.log_scale == 0).all()

    def test_the_lengths_of_the_weights_do_not_matter(self):
        layer, x = layers.MinibatchDiscrimination(6).eval(), torch.randn(4, 6)
        expected = layer(x)
        with torch.no_grad():
            layer.direction *= 7
        torch.testing.assert_close(layer(x), expected)

    def test_the_flag_is_read_until_it_is_set_and_not_again(self):
        latch = layers.MinibatchDiscrimination(6).initialised
        assert not latch()
        latch.flag.fill_(True)
        assert latch()
        latch.flag.fill_(False)
        assert latch()

    def test_distances_are_float32_under_autocast(self):
        layer, x = layers.MinibatchDiscrimination(6).eval(), 50 + torch.randn(4, 6)
        with torch.no_grad():
            layer.log_scale += 1
        with torch.autocast("cpu", torch.bfloat16):
            found = layer(x)
        torch.testing.assert_close(found, layer(x), rtol=0, atol=0)
