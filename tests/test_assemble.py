"""From recipes to objects: what is built, and what cannot work together is refused with the reason."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from equipoise import activations
from equipoise.labels import LabelSpace
from equipoise.presets.published import published
from equipoise.runs.assemble import assemble, build_networks
from equipoise.runs.rehearsal import rehearse

OWN = '''
import torch
from torch import nn
from equipoise import layers
from equipoise.losses import CriticLoss


class G(nn.Module):
    z_dim = 4

    def __init__(self, shape):
        super().__init__()
        self.embed = nn.Embedding(3, 4)
        self.hidden, self.zero = nn.Sequential(nn.Linear(4, 8), layers.TReLU(8)), nn.Linear(8, 8)
        self.last = nn.Sequential(nn.Linear(8, shape.channels * 64), nn.Tanh(), nn.Unflatten(1, (-1, 8, 8)))
        nn.init.zeros_(self.zero.weight)

    def forward(self, z, labels=None):
        told = 0 if labels is None else self.embed(labels) if labels.ndim == 1 else labels.float() @ self.embed.weight
        h = self.hidden(z + told)
        return self.last(h + self.zero(h))


class D(nn.Module):
    def __init__(self, shape, normalize, classifier):
        super().__init__()
        norm = nn.BatchNorm1d(8) if normalize == "batch" else nn.LayerNorm(8)
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(shape.channels * 64, 8), norm, nn.ReLU())
        self.head = nn.Module()
        if classifier:
            self.head.class_logits = nn.Linear(8, max(shape.labels.size, 1))
        self.last = nn.Linear(8, 1)

    def forward(self, images, labels=None):
        h = self.features(images)
        [listened_to(h) for listened_to in self.head.children()]
        return self.last(h).squeeze(1)


class Auto(D):
    is_autoencoder = True

    def forward(self, images, labels=None):
        return -super().forward(images).square()


def pair(d_feature_norm="layer", classifier=False):
    return lambda shape: (G(shape), D(shape, d_feature_norm, classifier))


def auto(classifier=False):
    return lambda shape: (G(shape), Auto(shape, "layer", classifier))


def late():
    """Nothing is wrong before pretraining is over."""
    def d(critic, real, fake):
        raise ZeroDivisionError("the game was played")

    return CriticLoss(d, d, energy=True)


def steep():
    """A penalty of one's own on the gradient of each sample."""
    def penalty(critic, real, fake):
        x = real.detach().requires_grad_()
        return torch.autograd.grad(critic(x).sum(), x, create_graph=True)[0].square().sum()

    return penalty
'''
CLASSES, NONE, CPU = LabelSpace("classes", 3), LabelSpace(), torch.device("cpu")


@pytest.fixture
def own(tmp_path):
    """A file of a user's own."""
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def small(own, **changes):
    changes = {name: v.replace("own:", f"{own}:") if isinstance(v, str) else v for name, v in changes.items()}
    changes |= {n: tuple(v.replace("own:", f"{own}:") for v in changes[n]) for n in ("penalties",) if n in changes}
    few = {"size": "8", "channels": 1, "images": 100, "ema_images": 10, "precision": "float32"}
    base = published(network=f"{own}:pair", loss="hinge", **few)
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({"loss": "auxiliary_classifier"}, NONE, "is about labels and needs data with some"),
        ({"loss": "multi_hinge", "network": "own:pair(classifier=True)"}, NONE, "is about labels and needs data with"),
        ({"loss": "auxiliary_classifier"}, CLASSES, "this needs the discriminator's class logits, but D has no"),
        ({"network": "own:pair(classifier=True)"}, CLASSES, "hinge never uses the discriminator's classifier, which w"),
        (
            {"network": "own:pair(classifier=True)", "penalties": ("spectral_regularization",)},
            CLASSES,
            "hinge never uses the discriminator's classifier",
        ),
        (
            {"network": "own:pair(classifier=True)", "loss": "multi_hinge"},
            LabelSpace("attributes", 3),
            "multi_hinge is about classes, one per image, not attributes",
        ),
        ({"d_condition": "auxiliary"}, NONE, "d_condition='auxiliary' conditions a network on labels, but"),
        ({"g_condition": "concat"}, NONE, "g_condition='concat' conditions a network on labels, but"),
        ({"loss": "energy"}, NONE, "energy is a loss of energies, the reconstruction errors of an auto-encoding"),
        ({"loss": "feature_matching(loss=energy)"}, NONE, "is a loss of energies"),
        ({"loss": "pretrained"}, NONE, "pretrained is a loss of energies"),
        (
            {"network": "own:auto", "loss": "hinge"},
            NONE,
            "and hinge needs logits of both signs: choose energy",
        ),
        ({"network": "own:auto", "loss": "loss_sensitive"}, NONE, "loss_sensitive needs logits of both signs"),
        ({"network": "own:auto", "loss": "feature_matching"}, NONE, "feature_matching needs logits of both signs"),
        ({"loss": "pretrained(loss=hinge)"}, NONE, "pretrained takes energy, boundary_equilibrium and what is built"),
        ({"network": "own:auto", "loss": "own:late"}, NONE, "ZeroDivisionError: the game was played"),
        ({"penalties": ("pulling_away",)}, NONE, "for what the generator makes: it is one of its --g-penalties"),
        ({"optimizer": "adam(beta1=1.0)"}, NONE, r"beta1 must be at least 0 and below 1, not 1.0"),
        ({"optimizer": "adm"}, NONE, "did you mean 'adam'"),
        ({"d_activation": "rely"}, NONE, "activations has no 'rely'"),
    ],
)
def test_what_cannot_work_together_is_refused(own, changes, labels, message):
    with pytest.raises(ValueError, match=message) as refusal:
        rehearse(small(own, **changes), labels, CPU)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("stated", ["pretrained(images=3)", "auxiliary_classifier(loss=pretrained)"])
def test_a_rehearsal_plays_the_game_after_pretraining_too(own, stated):
    recipe = small(own, network="own:auto(classifier=True)", loss=stated)
    if "auxiliary" in stated:
        rehearse(recipe, CLASSES, CPU)
    else:
        with pytest.raises(ValueError, match="never uses the discriminator's classifier"):
            rehearse(recipe, CLASSES, CPU)
    rehearse(replace(recipe, network=f"{own}:auto", loss="pretrained(images=3)"), NONE, CPU)


def test_what_comes_after_pretraining_is_rehearsed(own):
    recipe = small(own, network="own:auto", loss="pretrained(loss=auxiliary_classifier(loss=energy), images=50)")
    with pytest.raises(ValueError, match="is about labels and needs data with some"):
        rehearse(recipe, NONE, CPU)


@pytest.mark.parametrize("kind", ["classes", "attributes", "vectors"])
@pytest.mark.parametrize("loss", ["auxiliary_classifier", "multi_hinge"])
def test_labels_of_every_kind_are_rehearsed(own, kind, loss):
    recipe = small(own, network="own:pair(classifier=True)", loss=loss)
    if (loss, kind) in (("multi_hinge", "attributes"), ("multi_hinge", "vectors")):
        with pytest.raises(ValueError, match=f"one per image, not {kind}"):
            rehearse(recipe, LabelSpace(kind, 3), CPU)
    else:
        rehearse(recipe, LabelSpace(kind, 3), CPU)


PER_SAMPLE = ["wgan_gp", "zero_centered", "max_gradient", "r1", "r2", "dragan", "r1(every=16)", "own:steep"]
OTHERS = [
    "approximate_r1",
    "drift",
    "lecam",
    "consistency",
    "spectral_regularization",
    "historical_averaging",
    "consistency(kind='zcr')",
]


@pytest.mark.parametrize("penalty", PER_SAMPLE)
def test_batch_normalisation_and_gradients_of_samples_are_refused_together(own, penalty):
    recipe = small(own, network="own:pair(d_feature_norm='batch')", penalties=("drift", penalty))
    with pytest.raises(ValueError, match=r"penalises the gradient of each sample, .* d_feature_norm='layer' or 'none'"):
        rehearse(recipe, NONE, CPU)
    rehearse(replace(recipe, network=f"{own}:pair"), NONE, CPU)


@pytest.mark.parametrize("penalty", OTHERS)
def test_other_penalties_go_with_batch_normalisation(own, penalty):
    rehearse(small(own, network="own:pair(d_feature_norm='batch')", penalties=(penalty,)), NONE, CPU)


def test_the_generators_norm_leaves_embeddings_and_weights_of_zero_alone(own):
    plain = build_networks(small(own), CLASSES)["G"]
    G, D = build_networks(small(own, g_norm="frobenius", d_norm="frobenius"), CLASSES).values()
    for name in ("embed", "zero"):
        assert torch.equal(G.get_submodule(name).weight, plain.get_submodule(name).weight)
    for layer in (G.hidden[0], G.last[0], D.features[1], D.last):
        assert layer.weight.norm().item() == pytest.approx(1)


def test_activations_are_exchanged_in_the_network_that_was_named(own):
    kinds = lambda net: {type(m) for m in net.modules() if isinstance(m, (*activations.HIDDEN, nn.Tanh))}
    G, D = build_networks(small(own, g_activation="silu", d_activation="smooth_elu"), NONE).values()
    assert (kinds(G), kinds(D)) == ({nn.SiLU, nn.Tanh}, {activations.SmoothELU})
    assert isinstance(G.hidden[1], nn.SiLU)  # in place of a TReLU
    G, D = build_networks(small(own, d_activation="leaky_relu(slope=0.3)"), NONE).values()
    assert kinds(G) == {nn.Tanh}
    assert D.features[3].negative_slope == 0.3


def test_the_optimizer_is_that_of_both_players(own):
    state = assemble(small(own, optimizer="sgd(momentum=0.5)", lr_g=0.25), NONE, torch.device("cpu")).state
    assert [type(o) for o in state.optimizers.values()] == [torch.optim.SGD] * 2
    assert state.optimizers["g"].param_groups[0]["lr"] == 0.25
    assert state.optimizers["d"].param_groups[0]["momentum"] == 0.5


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_randomness(own):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    a, b, c = (build_networks(small(own, seed=seed), NONE)["G"] for seed in (1, 1, 2))
    assert torch.rand(1) == expected
    assert torch.equal(a.last[0].weight, b.last[0].weight)
    assert not torch.equal(a.last[0].weight, c.last[0].weight)
