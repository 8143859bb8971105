"""A pyramid of pairs: images of bands that add up, levels that learn as if each were alone."""

import numpy as np
import pytest
import torch
from small_runs import finish, small

from equipoise import augment, cli, games, losses, networks, penalties, presets, runs
from equipoise.labels import LabelSpace
from equipoise.networks import ImageShape
from equipoise.networks.lapgan import doubled_smoothly, halved_smoothly, sizes
from equipoise.optimizers import adam
from equipoise.runs import Session
from equipoise.training import State, Turn, steps

SHAPE = ImageShape(3, 20, 28)


def built(shape=SHAPE):
    torch.manual_seed(0)
    return networks.lapgan(width=4, g_hidden=16, d_hidden=8, z_dim=5)(shape)


def batches(shape=SHAPE):
    generator = torch.Generator().manual_seed(1)
    while True:
        yield torch.rand(4, *shape[:3], generator=generator) * 2 - 1


@pytest.mark.parametrize("size", [(8, 8), (20, 28), (13, 9)])
def test_flat_and_sloping_images_survive_the_pyramid(size):
    """What has no fine band gets none: the residual of a flat image is 0, of a slope but for its borders."""
    flat = torch.full((1, 2, *size), 0.3)
    torch.testing.assert_close(doubled_smoothly(halved_smoothly(flat), size), flat)
    slope = torch.arange(32.0).expand(1, 1, 32, 32)
    residual = slope - doubled_smoothly(halved_smoothly(slope), (32, 32))
    assert residual[..., 4:-4].abs().max() < 1e-4


def test_bands_add_up_to_the_image():
    shapes, (image, bands) = sizes(*SHAPE[1:3]), (next(batches()), [])
    now = image
    for size in reversed(shapes[1:]):
        small_one = halved_smoothly(now)
        bands.append(now - doubled_smoothly(small_one, size))
        now = small_one
    assert now.shape[2:] == shapes[0] == (5, 7)
    for band, size in zip(reversed(bands), shapes[1:], strict=True):
        now = doubled_smoothly(now, size) + band
    torch.testing.assert_close(now, image)


@pytest.mark.parametrize("labels", [LabelSpace(), LabelSpace("classes", 3), LabelSpace("vectors", 2)], ids=str)
def test_samples_are_composed_of_all_levels(labels):
    G = built(SHAPE._replace(labels=labels))["G"].eval()
    z, label = torch.randn(2, G.z_dim), labels.example(2)
    coarse, middle, fine = G.levels(z, label)
    assert [image.shape[2:] for image in (coarse, middle, fine)] == [(5, 7), (10, 14), (20, 28)]
    assert torch.equal(G(z, label), fine)
    other = z.clone()
    other[:, -1] += 3  # the noise of the last pixel of the finest level
    assert torch.equal(G.levels(other, label)[1], middle)
    assert not torch.equal(G(other, label), fine)


def test_each_level_learns_as_if_it_were_alone():
    """The finest generator's loss is that of the usual game between its networks, given the coarser images."""
    nets = built()
    players = games.pyramid(nets=tuple(nets))
    turn = Turn(torch.nn.ModuleDict(nets), next(batches()), seen=0, seed=3)
    terms = players["g2"].objective(turn)
    real, z = turn.batch, Turn(turn.nets, turn.batch, seen=0, seed=3).latents(4, 20 * 28)
    coarse = doubled_smoothly(halved_smoothly(real), (20, 28))
    fake = coarse + nets["level_2"](z, coarse)
    for net in nets.values():
        net.eval()
    expected = losses.non_saturating().g(nets["D_2"](real), nets["D_2"](fake))
    torch.testing.assert_close(players["g2"].objective(turn_again(nets))["loss"], expected)
    assert terms.keys() == {"loss"}


def turn_again(nets):
    return Turn(torch.nn.ModuleDict(nets), next(batches()), seen=0, seed=3)


def test_all_levels_are_players_of_one_game():
    players = games.pyramid(losses.hinge(), [penalties.r1(1.0)], augment=augment.diffaug(), nets=tuple(built()))
    assert [*players] == ["d0", "g0", "d1", "g1", "d2", "g2"]
    assert [player.nets for player in players.values()] == [(f"{net}_{k}",) for k in range(3) for net in ("D", "level")]
    assert [player.fresh for player in players.values()] == [True, *[False] * 5]
    state = State.start(built(), players, adam(0.5, 0.9), 1e-3)
    first = {name: next(iter(net.parameters())).clone() for name, net in state.nets.items()}
    stats = next(steps(state, batches(), players))
    assert {"d0.loss", "d2.r1", "g1.gradient"} <= {*stats}
    assert state.seen == 4
    assert all(not torch.equal(first[name], next(iter(net.parameters()))) for name, net in state.nets.items())


def test_parts_with_a_state_are_refused():
    for loss, more in ((losses.boundary_equilibrium(), {}), (None, {"augment": augment.ada()})):
        with pytest.raises(ValueError, match="none may have a state"):
            games.pyramid(loss, **more)


def test_a_run_of_a_pyramid_is_sampled_and_evaluated(tmp_path, capsys):
    file = tmp_path / "images.npz"
    rng = np.random.default_rng(0)
    np.savez(file, images=rng.integers(0, 256, (40, 20, 28, 3), dtype=np.uint8), labels=np.arange(40) % 3)
    recipe = small(presets.lapgan(), str(file), labels=True)
    finish(recipe, tmp_path / "x")
    for raw in (False, True):
        sampler = runs.Sampler(tmp_path / "x", raw=raw)
        assert next(sampler(3, labels=sampler.labels(3))).shape == (3, 3, 20, 28)
    assert cli.main(["evaluate", str(tmp_path / "x"), "--count", "20", "--raw"]) == 0
    assert "FD (pixels" in capsys.readouterr().out


def test_norms_with_buffers_and_bfloat16_under_penalties(tmp_path):
    """What the levels are made of goes with all that other networks go with."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8))
    more = {"g_norm": "spectral", "d_norm": "spectral", "penalties": ("r1", "wgan_gp"), "precision": "bfloat16"}
    recipe = small(presets.lapgan(), str(tmp_path / "x.npy"), **more)
    finish(recipe, tmp_path / "x")
    assert len(runs.RunFolder(tmp_path / "x").checkpoint_files()) > 0


def test_steps_and_fakes_that_the_game_does_not_have_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20, 16, 16, 3), np.uint8))
    for change in ({"d_steps": 5}, {"g_batch": 8}):
        with pytest.raises(ValueError, match=f"pyramid has no use for {next(iter(change))}="):
            Session(small(presets.lapgan(), str(tmp_path / "x.npy"), **change), tmp_path / "x")
