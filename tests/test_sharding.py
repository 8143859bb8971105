"""Weights that are shared out over processes: the same run, of which each process holds a part."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from elsewhere import ranks
from torch import nn

from equipoise import presets, runs
from equipoise.data import inspect
from equipoise.processes import World
from equipoise.training.sharding import check_apart

IMAGES, BROKEN = 64, 32
PAIR = '''
"""DCGAN with a single number in its discriminator, as attention has."""

import torch
from torch import nn

from equipoise.networks import dcgan


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return self.factor * x


def pair():
    def build(shape):
        G, D = dcgan(g_width=8, d_width=8)(shape)
        D.features.append(Scaled())
        return G, D

    return build
'''


def recipe(data, **changes):
    """A short run with layers that are worth sharing out."""
    own = {"data": str(data), "network": f"{data.parent}/mine.py:pair", "images": IMAGES, "shard": True}
    few = {"batch": 16, "g_batch": 16, "ema_images": 100, "score_images": 40, "features": "pixels(size=2)"}
    every = {"score_every": 32, "sample_every": 32, "save_every": 16, "score": ("fd",), "precision": "float32"}
    plain = {
        "penalties": ("drift",),
        "augment": "none",
        "optimizer": "sgd(momentum=0.9)",
        "lr_g": 0.02,
        "lr_d": 0.02,
        "mirror": False,
    }
    return replace(presets.default(), **own | few | every | plain | changes)


def process(rank, folder):
    """A run in one go and one in two, on two processes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    world, run = World(rank, 2), recipe(folder / "tiny.npz")
    session = runs.Session(run, folder / "whole", world=world)
    for net in session.state.nets.values():
        held = sum(weight.to_local().numel() for weight in net.parameters() if weight.ndim)
        assert held < 0.6 * sum(weight.numel() for weight in net.parameters())
    for _ in session.train():
        pass
    for images in (BROKEN, IMAGES):
        broken = runs.Session(run, folder / "parts", world=world)
        for _ in broken.train(lambda broken=broken, images=images: broken.state.seen >= images):
            pass
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs on two processes, sharded, and on one."""
    folder = tmp_path_factory.mktemp("shards")
    images = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 1), dtype=np.uint8)
    np.savez(folder / "tiny.npz", images=images)
    (folder / "mine.py").write_text(PAIR)
    ranks(process, (folder,), 2)
    for _ in runs.train(recipe(folder / "tiny.npz"), folder / "alone"):
        pass
    return folder


def saved(run, images=IMAGES):
    return torch.load(run / "checkpoints" / f"{images:010d}.pt", weights_only=True)


def weights(state):
    return {
        (part, net, name): w
        for part in ("nets", "averages")
        for net in state[part]
        for name, w in state[part][net].items()
    }


def test_it_is_the_run_of_one_process(folder):
    alone, shared = (weights(saved(folder / run)) for run in ("alone", "whole"))
    assert alone.keys() == shared.keys()
    for name, weight in alone.items():
        torch.testing.assert_close(shared[name], weight, rtol=1e-4, atol=1e-6)
    before = weights(saved(folder / "whole", IMAGES - 16))
    assert not [name for name, weight in shared.items() if torch.equal(before[name], weight)]  # no gradient is missing
    scores = [
        [json.loads(line)["fd"] for line in (folder / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("alone", "whole")
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)
    assert (folder / "whole" / "samples" / f"{IMAGES:010d}.png").exists()


def test_it_resumes_exactly(folder):
    whole, parts = (weights(saved(folder / run)) for run in ("whole", "parts"))
    assert all(torch.equal(parts[name], weight) for name, weight in whole.items())


def test_one_process_samples_from_it(folder):
    (images,) = runs.Sampler(folder / "whole")(4)
    assert images.shape == (4, 1, 16, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"penalties": ("r1(weight=1.0)",)}, r"r1\(weight=1.0\) needs a second derivative.*choose approximate_r1"),
        ({"penalties": ("orthonormal",)}, "orthonormal needs whole weights"),
        ({"d_norm": "spectral"}, "d_norm='spectral' needs whole weights"),
        ({"instruments": ("spectrum",)}, "instruments=.* needs whole weights"),
        ({"precision": "float16"}, "not with float16"),
    ],
)
def test_what_sharded_weights_cannot_give_is_refused(tmp_path, changes, message):
    np.savez(tmp_path / "tiny.npz", images=np.zeros((8, 16, 16, 1), np.uint8))
    plain = {"network": "dcgan(g_width=4, d_width=4, d_feature_norm='none')"}
    with pytest.raises(ValueError, match=message):
        runs.Session(recipe(tmp_path / "tiny.npz", **plain | changes), tmp_path / "x")


def test_networks_with_common_weights_are_refused():
    common = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="G and D have weights in common"):
        check_apart({"G": nn.Sequential(common), "D": nn.Sequential(common, nn.ReLU())})


def test_the_penalty_that_is_chosen_needs_no_second_derivative(tmp_path):
    np.savez(tmp_path / "tiny.npz", images=np.zeros((8, 16, 16, 1), np.uint8))
    left_open = recipe(tmp_path / "tiny.npz", penalties=None)
    chosen, _ = runs.choose(left_open, inspect(tmp_path / "tiny.npz"), torch.device("cpu"))
    assert chosen.penalties == ("approximate_r1(weight=1.0, every=4)",)
