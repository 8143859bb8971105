"""Values and laws of the layers that add noise."""

from itertools import islice, repeat

import pytest
import torch
from torch import nn

from equipoise import layers, optimizers
from equipoise.schedules import linear
from equipoise.training import Player, State, steps

IMAGES = torch.zeros(10, 3, 32, 32)


class TestInstanceNoise:
    def test_noise_follows_the_images_seen_not_the_forwards(self):
        layer = layers.InstanceNoise(linear(2.0, 0.0, images=40))
        stds = []
        for seen in (0, 20, 40, 100):
            layer.follow_images(seen)
            layer(IMAGES)
            stds.append(layer.std.item())
        assert stds == [2.0, 1.0, 0.0, 0.0]

    def test_reals_and_fakes_alike_are_noisy(self):
        layer = layers.InstanceNoise(1.0)
        real, fake = layer(IMAGES), layer(IMAGES[:4].requires_grad_())
        assert min(real.std(), fake.std()) > 0.8

    def test_noise_is_normal_and_independent(self):
        noise = layers.InstanceNoise(1.0)(torch.zeros(2, 1, 200, 200)).flatten(1)
        assert abs(noise.mean()) < 0.02
        assert noise.pow(4).mean() == pytest.approx(3, abs=0.1)
        assert abs((noise[0] * noise[1]).mean()) < 0.02

    def test_no_noise_in_evaluation(self):
        assert layers.InstanceNoise(1.0).eval()(IMAGES) is IMAGES

    def test_images_are_unchanged_at_the_end(self):
        layer, x = layers.InstanceNoise(linear(1.0, 0.0, images=10)), torch.randn(10, 3, 2, 2)
        assert not torch.equal(layer(x), x)
        layer.follow_images(10)
        assert torch.equal(layer(x), x)

    def test_a_resumed_run_has_the_noise_that_it_had(self):
        layer, resumed = (layers.InstanceNoise(linear(1.0, 0.0, images=40)) for _ in range(2))
        layer.follow_images(10)
        resumed.load_state_dict(layer.state_dict())
        assert resumed.std == 0.75

    def test_a_loop_follows(self):
        """In `steps` every layer is told the images seen."""
        D = nn.Sequential(layers.InstanceNoise(linear(1.0, 0.0, images=8)), nn.Flatten(), nn.Linear(4, 1))
        player = Player(("D",), lambda turn: {"loss": turn.nets["D"](turn.batch).square().mean()})
        state = State.start({"D": D}, {"d": player}, optimizers.sgd(), 0.1)
        stds = [D[0].std.item() for _ in islice(steps(state, repeat(torch.ones(4, 4)), {"d": player}), 3)]
        assert stds == [1.0, 0.5, 0.0]


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
