"""Runs of a few seconds, and whether two of them are one."""

from dataclasses import replace

import torch
from test_networks import SMALL

from equipoise import runs, spec
from equipoise.presets.published import published
from equipoise.runs import RunFolder
from equipoise.runs.folder import load_checkpoint, read_rows

CPU = torch.device("cpu")
PLAIN = published(network="sn_resnet", loss="hinge", d_norm="spectral")


def shrunk(network):
    """The same network with few weights."""
    call = spec.parse(network)
    return spec.written(call._replace(keywords=call.keywords | spec.parse(SMALL[call.name]).keywords))


def small(recipe, data, **changes):
    """A recipe cut down to a few seconds."""
    network = shrunk(recipe.network or "r3")
    d_steps = recipe.d_steps if isinstance(recipe.d_steps, int) else "steps((3, 2), at=(12,))"
    length = 4 * steps_of(d_steps) * 6  # six rounds
    few = {
        "batch": 4,
        "d_steps": d_steps,
        "g_batch": None,
        "images": length,
        "precision": "float32",
        "features": "pixels(size=2)",
    }
    every = {"save_every": length // 6, "score_every": length // 2, "sample_every": length // 2, "score_images": 8}
    return replace(recipe, data=data, network=network, **few | every | changes)


def steps_of(d_steps):
    """Updates of the discriminator in a round, after its first rounds."""
    return d_steps if isinstance(d_steps, int) else 2


def finish(recipe, out):
    return [*runs.train(recipe, out)]


def same_state(a, b):
    a, b = (load_checkpoint(RunFolder(out).newest_checkpoint(), CPU) for out in (a, b))
    flat = lambda x: (
        [y for v in (x.values() if isinstance(x, dict) else x) for y in flat(v)]
        if isinstance(x, dict | list | tuple)
        else [x]
    )
    pairs = list(zip(flat(a), flat(b), strict=True))
    assert len(pairs) > 20
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs)


def lines(file, without=("seconds", "speed", "memory")):
    return [{k: v for k, v in row.items() if k not in without} for row in read_rows(file)]
