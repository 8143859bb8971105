"""Values and laws of the layers that add noise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise import layers

IMAGES = torch.zeros(10, 3, 32, 32)


class TestInstanceNoise:
    def test_noise_falls_linearly_to_zero(self):
        layer = layers.InstanceNoise(2.0, images=40)
        stds = [layer(IMAGES).std().item() for _ in range(6)]
        assert stds == pytest.approx([2, 1.5, 1, 0.5, 0, 0], rel=0.02)
        assert layer.seen == 60

    def test_reals_and_fakes_alike_are_noisy_and_count(self):
        layer = layers.InstanceNoise(1.0, images=100)
        real, fake = layer(IMAGES), layer(IMAGES[:4].requires_grad_())
        assert min(real.std(), fake.std()) > 0.8
        assert layer.seen == 14

    def test_noise_is_normal_and_independent(self):
        noise = layers.InstanceNoise(1.0, images=10**9)(torch.zeros(2, 1, 200, 200)).flatten(1)
        assert abs(noise.mean()) < 0.02
        assert noise.pow(4).mean() == pytest.approx(3, abs=0.1)
        assert abs((noise[0] * noise[1]).mean()) < 0.02

    def test_no_noise_and_no_count_in_evaluation(self):
        layer = layers.InstanceNoise(1.0, images=100).eval()
        assert layer(IMAGES) is IMAGES
        assert layer.seen == 0

    def test_images_are_unchanged_at_the_end(self):
        layer, x = layers.InstanceNoise(1.0, images=10), torch.randn(10, 3, 2, 2)
        assert not torch.equal(layer(x), x)
        assert torch.equal(layer(x), x)

    @settings(max_examples=20, deadline=None)
    @given(batches=st.lists(st.integers(1, 50), max_size=6), images=st.integers(1, 200))
    def test_the_level_is_a_function_of_the_images_seen(self, batches, images):
        layer = layers.InstanceNoise(0.5, images=images)
        for batch in batches:
            layer(torch.zeros(batch, 1))
        assert layer.level().item() == pytest.approx(0.5 * max(0, 1 - sum(batches) / images), abs=1e-6)

    def test_a_resumed_run_goes_on_where_it_was(self):
        layer, resumed = layers.InstanceNoise(1.0, images=40), layers.InstanceNoise(1.0, images=40)
        layer(IMAGES)
        resumed.load_state_dict(layer.state_dict())
        assert resumed.level() == 0.75

    def test_the_count_is_exact_in_any_number_format(self):
        layer = layers.InstanceNoise(1.0, images=10**9).bfloat16()
        layer.seen += 16_777_216
        layer(IMAGES)
        assert layer.seen.item() == 16_777_226


class TestAdaptiveNoise:
    def make(self, score=1.0, **kwargs):
        layer = layers.AdaptiveNoise(**({"decay": 0.0} | kwargs))
        layer.observe_fakes(torch.tensor(score))
        return layer

    def test_the_running_score_is_the_papers(self):
        layer, expected = layers.AdaptiveNoise(), 0.0
        for score in (1.0, 0.8, 0.9, 1.0, 0.7, 1.0, 1.0, 1.0, 1.0):
            layer.observe_fakes(torch.tensor([score - 0.1, score + 0.1]) if score < 1 else torch.tensor(score))
            expected = 0.9 * expected + 0.1 * score
            assert layer.score.item() == pytest.approx(expected)
            assert layer.strength().item() == pytest.approx(0.2 * max(0, expected - 0.5) ** 2, abs=1e-7)
        assert layer.strength() > 0

    @pytest.mark.parametrize(
        ("score", "strength"), [(0.0, 0), (0.5, 0), (0.6, 0.002), (1.0, 0.05), (9.0, 0.05), (-9.0, 0)]
    )
    def test_strength_by_hand(self, score, strength):
        assert self.make(score).strength().item() == pytest.approx(strength, abs=1e-7)

    def test_one_draw_a_sample_and_channel(self):
        y = self.make()(torch.ones(4, 8, 5, 5))
        assert (y == y[:, :, :1, :1]).all()
        assert len(y[:, :, 0, 0].unique()) == 32

    @pytest.mark.parametrize("channels", [4, 64])
    def test_its_standard_deviation_grows_with_the_root_of_the_channels(self, channels):
        factors = self.make()(torch.ones(4000, channels))
        assert factors.mean().item() == pytest.approx(1, abs=0.01)
        assert factors.std().item() == pytest.approx(0.05 * channels**0.5, rel=0.03)

    def test_it_multiplies(self):
        x = torch.randn(2, 3, 4, 4)
        factor = self.make()(x) / x
        torch.testing.assert_close(factor, factor[:, :, :1, :1].expand_as(factor))
        assert (self.make()(torch.zeros(2, 3)) == 0).all()

    def test_fakes_in_the_generators_step_are_noisy_too(self):
        layer, fakes = self.make().requires_grad_(False), torch.ones(2, 3, requires_grad=True)
        assert not torch.equal(layer(fakes), fakes)

    def test_no_noise_in_evaluation_nor_before_the_limit(self):
        x = torch.randn(2, 3, 4, 4)
        assert self.make().eval()(x) is x
        assert torch.equal(self.make(0.5)(x), x)

    def test_only_observe_moves_the_score(self):
        layer = self.make(0.7)
        layer(torch.full((2, 3), 100.0))
        assert layer.score.item() == pytest.approx(0.7)

    def test_a_resumed_run_goes_on_where_it_was(self):
        layer, resumed = self.make(0.9), layers.AdaptiveNoise()
        resumed.load_state_dict(layer.state_dict())
        assert resumed.strength() == layer.strength() > 0
