"""How networks are conditioned on labels: of all kinds, in all ways, in all architectures."""

from itertools import zip_longest

import pytest
import torch
from test_networks import AUTOENCODING, SMALL, pair

from equipoise.critic import Critic
from equipoise.labels import LabelSpace
from equipoise.networks import ImageShape
from equipoise.networks.conditioning import LabelMaps

SPACES = [LabelSpace("classes", 4), LabelSpace("attributes", 3), LabelSpace("vectors", 2)]
G_WAYS = ["batch_norm", "concat", "self_modulation"]
D_WAYS = ["projection", "auxiliary", "concat"]
ONLY_CONCAT = ("lapgan", "mlp", "pggan", "r3", "began", "wn_gan", "wn_resnet")  # generators without batch normalisation
HIERARCHICAL = "biggan at 48"
over_networks = pytest.mark.parametrize("name", [*SMALL, HIERARCHICAL])
over_kinds = pytest.mark.parametrize("labels", SPACES, ids=lambda labels: labels.kind)


def ways(name):
    """The ways of both networks that an architecture has."""
    g = ["batch_norm"] if name in ("biggan_deep", HIERARCHICAL) else ["concat"] if name in ONLY_CONCAT else G_WAYS
    return g, ["concat"] if name in AUTOENCODING else D_WAYS


def built(name, labels, g=None, d=None, side=16):
    side = 48 if name == HIERARCHICAL else side
    return pair(name.split()[0], ImageShape(1, side, side, labels, g, d))


def moved(net):
    """The network with all weights moved off their start, where labels may have no weight yet."""
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return net.eval()


@over_networks
@over_kinds
def test_labels_matter(name, labels):
    """Another label, another image and another logit, in every way that the networks have."""
    g_ways, d_ways = ways(name)
    for g, d in zip_longest([None, *g_ways], [None, *d_ways]):
        G, D = map(moved, built(name, labels, g, d))
        z, (one, other) = torch.randn(1, G.z_dim), labels.example(2).split(1)
        images = G(z, one)
        assert not torch.equal(images, G(z, other)), g
        if d != "auxiliary":
            assert not torch.equal(D(images, one), D(images, other)), d


@over_networks
@over_kinds
def test_gradients_reach_what_embeds_labels(name, labels):
    G, D = map(moved, built(name, labels))
    shown = labels.example(3)
    D(G(torch.randn(3, G.z_dim), shown), shown).square().sum().backward()
    for net in (G, D):
        tables = [module for module in net.modules() if "Embedding" in type(module).__name__]
        assert tables
        for table in tables:
            assert table.weight.grad.abs().sum() > 0


@over_networks
def test_gradients_reach_every_class_that_was_shown_and_no_other(name):
    G, D = map(moved, built(name, SPACES[0]))
    labels = torch.tensor([0, 1, 3, 3])
    D(G(torch.randn(4, G.z_dim), labels), labels).square().sum().backward()
    tables = [m for net in (G, D) for m in net.modules() if type(m).__name__ == "ClassEmbedding"]
    assert tables
    for table in tables:
        assert (table.weight.grad.abs().sum(1) > 0).tolist() == [True, True, False, True]


@over_networks
def test_without_labels_no_network_has_a_place_for_them(name):
    for net in built(name, LabelSpace()):
        assert not [path for path, module in net.named_modules() if path.endswith("embed")]
    G, D = built(name, LabelSpace())
    with pytest.raises(ValueError, match="the network was built without labels"):
        G(torch.randn(2, G.z_dim), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="the network was built without labels"):
        D(torch.randn(2, 1, 16, 16), torch.tensor([0, 1]))


@over_networks
def test_labels_cannot_be_left_out(name):
    G, D = built(name, SPACES[0])
    with pytest.raises(ValueError, match="the network was built for labels and got none"):
        G(torch.randn(2, G.z_dim))
    with pytest.raises(ValueError, match="the network was built for labels and got none"):
        D(torch.randn(2, 1, 16, 16))


@over_networks
def test_mixtures_of_classes(name):
    """Weights of all classes stand for class numbers: all of one class is that class."""
    G, D = map(moved, built(name, SPACES[0]))
    z, labels = torch.randn(2, G.z_dim), torch.tensor([1, 3])
    assert not torch.allclose(G(z, labels), G(z, labels.flip(0)))
    weights = torch.nn.functional.one_hot(labels, 4).float()
    torch.testing.assert_close(G(z, weights), G(z, labels))
    images = G(z, labels)
    torch.testing.assert_close(D(images, weights), D(images, labels))


@over_networks
def test_ways_that_an_architecture_lacks(name):
    for number, choices in enumerate(ways(name)):
        asked = {0: "g_condition", 1: "d_condition"}[number]
        for way in {*(G_WAYS, D_WAYS)[number]} - {*choices}:
            with pytest.raises(ValueError, match=rf"cannot be conditioned by '{way}'.*choices: {choices[0]}"):
                built(name, SPACES[0], **{asked[0]: way})


@over_networks
@over_kinds
def test_an_auxiliary_head_has_an_output_for_each_label(name, labels):
    if name in AUTOENCODING:
        return
    _, D = built(name, labels, d="auxiliary")
    images = torch.randn(3, 1, 16, 16)
    critic = Critic(D, labels.example(3))
    (class_logits,), (features,) = critic.class_logits(images), critic.features(images)
    assert class_logits.shape == (3, labels.size)
    assert len(features) == 3
    assert len(critic.runs) == 1


def test_projection():
    """f(x, y) = w' h + b + e(y)' h."""
    _, D = built("sn_cnn", SPACES[0])
    images, labels = torch.randn(3, 1, 16, 16), torch.tensor([0, 2, 2])
    h = D.features(images)
    expected = D.last.logit(h).squeeze(1) + (D.last.embed.weight[labels] * h).sum(1)
    torch.testing.assert_close(D(images, labels), expected)


def test_labels_beside_features():
    maps = LabelMaps(ImageShape(1, 8, 8, SPACES[0], d_condition="concat"), 4)
    x, labels = torch.randn(2, 4, 3, 5), torch.tensor([3, 1])
    out = maps(x, labels)
    assert out.shape == (2, maps.channels, 3, 5)
    assert torch.equal(out[:, :4], x)
    assert torch.equal(out[:, 4:, 2, 3], maps.embed.weight[labels])
    unused = LabelMaps(ImageShape(1, 8, 8, SPACES[0]), 4)
    assert (unused.channels, unused(x, labels) is x) == (4, True)


def test_self_modulation_needs_no_labels():
    G, _ = built("sn_cnn", LabelSpace(), g="self_modulation")
    assert sum(type(m).__name__ == "SelfModulation" for m in G.modules()) == 3
    assert G(torch.randn(2, G.z_dim)).shape == (2, 1, 16, 16)


def test_conditional_normalisations_start_as_plain_ones():
    """Whatever initialises the rest of a network."""
    for name in ("dcgan", "sn_cnn", "sn_resnet", "infogan"):
        for labels in SPACES:
            G, _ = built(name, labels)
            z, examples = torch.randn(4, G.z_dim), labels.example(2)
            one, other = (label.expand(4, *label.shape[1:]) for label in examples.split(1))
            torch.testing.assert_close(G(z, one), G(z, other))


@pytest.mark.parametrize("text", ["biggan", "sn_resnet"])
def test_under_autocast_features_keep_their_format(text):
    G, _ = built(text, SPACES[0], side=32)
    seen = []
    for module in G.modules():
        if type(module).__name__ == "ConditionalBatchNorm":
            module.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        G(torch.randn(2, G.z_dim), torch.tensor([0, 1]))
    assert seen
    assert all(before == after for before, after in seen)
