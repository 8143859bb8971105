"""Weights that are shared out over processes: the same run, of which each process holds a part."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from elsewhere import ranks

from equipoise import presets, runs
from equipoise.data import inspect
from equipoise.labels import LabelSpace
from equipoise.processes import World
from equipoise.runs.assemble import assemble

IMAGES, BROKEN = 64, 32


def recipe(data, **changes):
    """A short run with layers that are worth sharing out."""
    own = {"data": str(data), "network": "dcgan(g_width=8, d_width=8)", "images": IMAGES, "shard": True}
    few = {"batch": 16, "g_batch": 16, "ema_images": 100, "score_images": 40, "features": "pixels(size=2)"}
    every = {"score_every": 32, "sample_every": 32, "save_every": 16, "score": ("fd",), "precision": "float32"}
    plain = {"penalties": ("drift",), "augment": "none", "optimizer": "sgd", "lr_g": 0.1, "lr_d": 0.1, "mirror": False}
    return replace(presets.default(), **own | few | every | plain | changes)


def process(rank, folder):
    """A run in one go and one in two, on two processes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    world, run = World(rank, 2), recipe(f"{folder}/tiny.npz")
    session = runs.Session(run, f"{folder}/whole", world=world)
    for net in session.state.nets.values():
        held = sum(weight.to_local().numel() for weight in net.parameters())
        assert held < 0.6 * sum(weight.numel() for weight in net.parameters())
    for _ in session.train():
        pass
    for images in (BROKEN, IMAGES):
        broken = runs.Session(run, f"{folder}/parts", world=world)
        for _ in broken.train(lambda broken=broken, images=images: broken.state.seen >= images):
            pass
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs on two processes, sharded, and on one."""
    folder = tmp_path_factory.mktemp("shards")
    images = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 1), dtype=np.uint8)
    np.savez(folder / "tiny.npz", images=images)
    ranks(process, (str(folder),), 2)
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
        ({"g_penalties": ("path_length",)}, "path_length needs a second derivative"),
        ({"d_norm": "spectral"}, "d_norm='spectral' needs whole weights"),
        ({"instruments": ("spectrum",)}, "needs whole weights"),
        ({"precision": "float16"}, "not with float16"),
    ],
)
def test_what_needs_whole_weights_is_refused(folder, changes, message):
    small = {"size": "16", "channels": 1, "range": "bytes", "labels": False, "loss": "hinge"}
    with pytest.raises(ValueError, match=message):
        assemble(recipe(folder / "tiny.npz", **small | changes), LabelSpace(), torch.device("cpu"))


def test_the_penalty_that_is_chosen_needs_no_second_derivative(folder):
    left_open = recipe(folder / "tiny.npz", penalties=None)
    chosen, _ = runs.choose(left_open, inspect(folder / "tiny.npz"), torch.device("cpu"))
    assert chosen.penalties == ("approximate_r1(weight=1.0, every=4)",)
