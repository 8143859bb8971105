"""Laws over all networks with all that can be put on them: a step with finite numbers, or a refusal in one line."""

from dataclasses import replace

import pytest
import torch
from test_networks import AUTOENCODING, SMALL

from equipoise import activations, norms, penalties, spec
from equipoise.labels import LabelSpace
from equipoise.presets.published import published
from equipoise.runs.rehearsal import rehearse

CPU = torch.device("cpu")
BATCH_NORMALISED = ("dcgan", "ebgan", "infogan")  # discriminators, unless told otherwise
OWN_NORM = ("pggan", "wn_gan", "wn_resnet")
PER_SAMPLE = ("wgan_gp", "zero_centered", "max_gradient", "r1", "r2", "dragan")
over_networks = pytest.mark.parametrize("name", SMALL)


def recipe(name, **changes):
    loss = "boundary_equilibrium" if name in AUTOENCODING else "hinge"
    few = {"network": SMALL[name], "loss": loss, "size": "16", "channels": 2, "batch": 2, "g_batch": 2, "images": 10}
    few |= {"ema_images": 10} | ({"game": "pyramid"} if name == "lapgan" else {})
    return published(**few | {"precision": "float32"} | changes)


@over_networks
def test_norms(name):
    for norm in spec.names(norms):
        asked = recipe(name, d_norm=norm, g_norm=norm)
        if name in OWN_NORM and norm != "none":
            with pytest.raises(ValueError, match=f"normalises weights of its own: ._norm must be none, not '{norm}'"):
                rehearse(asked, LabelSpace("classes", 3), CPU)
        else:
            rehearse(asked, LabelSpace("classes", 3), CPU)


@over_networks
def test_activations(name):
    for activation in spec.names(activations):
        rehearse(recipe(name, g_activation=activation, d_activation=activation), LabelSpace(), CPU)


@over_networks
def test_penalties_on_each_samples_gradient(name):
    for penalty in PER_SAMPLE:
        asked = recipe(name, penalties=(penalty,))
        if name in BATCH_NORMALISED:
            with pytest.raises(ValueError, match=f"{penalty} penalises the gradient of each sample, but batch norm"):
                rehearse(asked, LabelSpace(), CPU)
        else:
            rehearse(asked, LabelSpace(), CPU)
    assert {*PER_SAMPLE} <= {*spec.names(penalties)}


@over_networks
@pytest.mark.parametrize("kind", ["classes", "attributes", "vectors"])
def test_labels(name, kind):
    rehearse(recipe(name), LabelSpace(kind, 3), CPU)


@pytest.mark.parametrize("kind", ["classes", "attributes", "vectors"])
def test_a_single_label(kind):
    """One class says nothing and is let pass; one attribute or number does."""
    rehearse(recipe("sn_cnn"), LabelSpace(kind, 1), CPU)


@pytest.mark.parametrize("name", ["dcgan", "sn_resnet"])
def test_a_batch_of_one_is_rehearsed_as_it_is(name):
    """Batch normalisation of dense features needs two; convolutions have pixels besides."""
    rehearse(recipe(name, size="32", batch=1, g_batch=1), LabelSpace(), CPU)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        rehearse(recipe("infogan", batch=1, g_batch=1), LabelSpace(), CPU)


def test_what_breaks_at_once_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from equipoise.losses import Loss\n\ndef infinite():\n    'Breaks.'\n"
        "    return Loss(lambda real, fake: fake.mean() * float('inf'), lambda real, fake: -fake.mean())\n"
    )
    with pytest.raises(ValueError, match=r"not finite in the first rounds, on noise: .*d.loss"):
        rehearse(recipe("mlp", loss=f"{tmp_path}/mine.py:infinite"), LabelSpace(), CPU)


def test_zero_weights_of_both_networks_stay_without_a_norm():
    """R3GAN's blocks end in weights that start from zero."""
    from equipoise.runs.assemble import build_networks

    for net in build_networks(recipe("r3", d_norm="spectral", g_norm="spectral"), LabelSpace()).values():
        plain = [layer for _, layer in norms.layers(net) if not hasattr(layer, "parametrizations")]
        assert plain
        assert all(not layer.weight.any() for layer in plain)


DEAF = """
from torch import nn

class G(nn.Module):
    z_dim = 4
    def __init__(self, shape, hears):
        super().__init__()
        self.net, self.hears = nn.Linear(4, shape.channels * shape.height * shape.width), hears
        self.embed, self.shape = nn.Embedding(3, 4), shape[:3]
    def forward(self, z, labels):
        return self.net(z + self.embed(labels) * self.hears).tanh().unflatten(1, self.shape)

class D(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.net = nn.Linear(shape.channels * shape.height * shape.width, 1)
    def forward(self, images, labels):
        return self.net(images.flatten(1)).squeeze(1)

def pair(hears=0):
    "Mine."
    return lambda shape: (G(shape, hears), D(shape))
"""


@pytest.mark.parametrize(("hears", "who"), [(0, "generator and discriminator"), (1, "discriminator")])
def test_own_networks_that_do_not_hear_of_labels_are_refused(tmp_path, hears, who):
    (tmp_path / "mine.py").write_text(DEAF)
    asked = replace(recipe("mlp"), network=f"{tmp_path}/mine.py:pair(hears={hears})")
    with pytest.raises(ValueError, match=f"the output of the {who} does not depend on the label"):
        rehearse(asked, LabelSpace("classes", 3), CPU)


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_whose_pixels_are_saturated_is_no_proof_of_deafness(tmp_path, seed):
    loud = DEAF.replace(
        "self.net(z + self.embed(labels) * self.hears)", "(self.net(z + self.embed(labels)) + 25 * z[:, :1])"
    )
    (tmp_path / "mine.py").write_text(loud)
    asked = replace(recipe("mlp"), network=f"{tmp_path}/mine.py:pair", seed=seed)
    with pytest.raises(ValueError, match="the output of the discriminator does not depend on the label"):
        rehearse(asked, LabelSpace("classes", 3), CPU)


def test_own_networks_are_asked_of_a_single_number_too(tmp_path):
    (tmp_path / "mine.py").write_text(DEAF.replace("self.embed(labels)", "labels"))
    with pytest.raises(ValueError, match="the output of the generator and discriminator does not depend on the label"):
        rehearse(replace(recipe("mlp"), network=f"{tmp_path}/mine.py:pair"), LabelSpace("vectors", 1), CPU)
