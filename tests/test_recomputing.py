"""Gradient checkpointing: less is kept for the backward, and everything else is the same."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from equipoise import networks, norms, presets, runs
from equipoise.labels import LabelSpace
from equipoise.layers import InstanceNoise
from equipoise.networks import ImageShape
from equipoise.networks.chain import Chain
from equipoise.runs.folder import read_rows
from equipoise.spec import build
from equipoise.training import recompute

NETWORKS = [
    "dcgan(g_width=8, d_width=8)",
    "sn_resnet(g_scale=0.0625, d_scale=0.0625)",
    "r3(g_width=16, d_width=16, blocks=1, full_to=4)",
    "biggan_deep(width=4)",
    "pggan(fmap_base=64, fmap_max=16, z_dim=16)",
]


def kept(net, *inputs):
    """The bytes that a forward keeps for its backward, and what it gives."""
    count = 0

    def pack(tensor):
        nonlocal count
        count += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        return net(*inputs), count


def outcome(net, x, *labels, dtype=torch.float32):
    """What two forwards, a gradient penalty and a backward through both leave behind."""
    net.train()
    torch.manual_seed(1)
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        (first, count), second = kept(net, x, *labels), net(2 * x, *labels)
    first, second = (out if isinstance(out, torch.Tensor) else out[0] for out in (first, second))
    (gradient,) = torch.autograd.grad(first.float().sum(), x, create_graph=True)
    loss = first.float().square().mean() + second.float().mean() + gradient.square().mean()
    loss.backward()
    gradients = [weight.grad for weight in net.parameters() if weight.grad is not None]
    return count, [loss.detach(), *gradients, *net.buffers(), torch.rand(1)]


def check_alike(net, *inputs, dtype=torch.float32):
    """The network recomputed leaves bit by bit what it leaves as it is, and keeps less."""
    recomputed = copy.deepcopy(recompute(copy.deepcopy(net)))
    less, found = outcome(recomputed, *inputs, dtype=dtype)
    much, wanted = outcome(net, *inputs, dtype=dtype)
    assert len(found) == len(wanted)
    assert all(map(torch.equal, found, wanted))
    assert less < 0.6 * much


@pytest.mark.parametrize("labels", [LabelSpace(), LabelSpace("classes", 10)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_results_are_the_same_bit_by_bit(name, labels):
    G, D = build(name, networks)(ImageShape(3, 32, 32, labels))
    of_labels = () if labels.kind == "none" else (torch.arange(4),)
    check_alike(G, torch.randn(4, G.z_dim), *of_labels)
    check_alike(D, torch.randn(4, 3, 32, 32), *of_labels)


@pytest.mark.parametrize(
    "norm", ["spectral", "spectral(update='step')", "spectral(kind='operator')", "weight", "orthogonal"]
)
def test_norms_are_what_they_were(norm):
    _, D = networks.sn_resnet(d_scale=0.0625, g_scale=0.0625)(ImageShape(3, 32, 32))
    check_alike(norms.apply(build(norm, norms), D), torch.randn(4, 3, 32, 32))


class Skipping(nn.Sequential):
    """A sequence that does something besides."""

    def forward(self, x):
        return x + super().forward(x)


@pytest.mark.parametrize("kind", [nn.Sequential, Chain, Skipping])
def test_layers_that_run_twice_and_forwards_of_ones_own_are_kept(kind):
    act, inner = nn.Tanh(), kind(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    net = kind(nn.Linear(4, 4), act, inner, act, nn.Linear(4, 4), act)
    again, x = recompute(copy.deepcopy(net)), torch.randn(2, 4)
    assert torch.equal(again(x), net(x))
    plain = nn.Sequential(net._modules["0"], act, inner, act, net._modules["4"], act)
    assert kind is Skipping or torch.equal(net(x), plain(x))


def test_random_numbers_are_what_they_were():
    layers = [nn.Conv2d(8, 8, 3, padding=1), nn.Dropout(0.3), InstanceNoise(), nn.ReLU()]
    net = nn.Sequential(nn.Conv2d(3, 8, 1), *layers, *copy.deepcopy(layers), nn.Flatten(), nn.Linear(8 * 64, 1))
    check_alike(net, torch.randn(4, 3, 8, 8), dtype=torch.bfloat16)


def test_without_a_backward_nothing_is_kept():
    net = recompute(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)))
    with torch.no_grad():
        assert kept(net, torch.ones(1, 2))[1] == 0


def test_a_run_is_the_same_and_certified(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8))
    few = {"batch": 8, "images": 32, "ema_images": 10, "features": "pixels", "score_images": 10, "score_every": 32}
    usual = replace(presets.sngan(), data=str(tmp_path / "x.npy"), precision="float32", lr_g=1e-3, lr_d=1e-3, **few)
    rows = []
    for name in (False, True):
        session = runs.Session(replace(usual, recompute=name), tmp_path / str(name))
        assert session.plan.certificate is None or session.plan.certificate.errors == {"d": 0.0, "g": 0.0}
        [*session.train()]
        rows.append([row["fd"] for row in read_rows(tmp_path / str(name) / "metrics.jsonl")])
    assert session.plan.certificate is not None
    assert rows[0] == rows[1]
