"""Laws of all networks, and the published parameter counts."""

import pytest
import torch

from equipoise import networks, spec
from equipoise.networks import ImageShape
from equipoise.networks.shape import grid

SMALL = {
    "mlp": "mlp(width=16)",
    "dcgan": "dcgan(g_width=4, d_width=4)",
    "sn_cnn": "sn_cnn(g_width=4, d_width=4)",
    "sn_resnet": "sn_resnet(g_scale=0.03, d_scale=0.03)",
}
SHAPES = [
    ImageShape(1, 28, 28),
    ImageShape(3, 32, 32),
    ImageShape(3, 48, 64),
    ImageShape(4, 40, 72),
    ImageShape(2, 37, 53),
]


def count(net):
    return sum(weight.numel() for weight in net.parameters())


def test_every_network_is_tested():
    assert sorted(SMALL) == spec.names(networks)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s[:3])))
@pytest.mark.parametrize("name", SMALL)
def test_any_shape(name, shape):
    G, D = spec.build(SMALL[name], networks)(shape)
    images = G(torch.randn(2, G.z_dim))
    assert images.shape == (2, *shape[:3])
    assert images.abs().max() <= 1
    logits = D(images)
    assert logits.shape == (2,)
    logits.sum().backward()
    for net in (G, D):
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in net.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_every_pixel_is_made_and_seen(name):
    G, D = spec.build(SMALL[name], networks)(ImageShape(2, 21, 30))
    images = G(torch.randn(16, G.z_dim)).detach().requires_grad_()
    assert (images.std(0) > 0).all()
    (slope,) = torch.autograd.grad(D(images).sum(), images)
    assert (slope.abs().sum(0) > 0).all()


@pytest.mark.parametrize(
    ("text", "shape", "generator", "discriminator"),
    [
        ("dcgan", (3, 64, 64), 3_576_704, 2_765_568),
        ("dcgan(g_width=128, d_width=128)", (3, 64, 64), 12_658_432, 11_036_160),
        ("sn_cnn", (3, 32, 32), 3_812_355, 2_935_873),
        ("sn_cnn", (3, 48, 48), 5_133_315, 2_946_113),
        ("sn_resnet", (3, 32, 32), 4_276_739, 1_053_824),
        ("sn_resnet", (3, 48, 48), 4_878_083, 10_141_440),
        ("sn_resnet(g_scale=0.5)", (3, 32, 32), 1_204_483, 1_053_824),
    ],
)
def test_published_parameter_counts(text, shape, generator, discriminator):
    """As counted for the tables of the papers."""
    G, D = spec.build(text, networks)(ImageShape(*shape))
    assert (count(G), count(D)) == (generator, discriminator)


@pytest.mark.parametrize(("side", "blocks"), [(32, (3, 4)), (48, (3, 5)), (64, (4, 5)), (128, (5, 6)), (256, (6, 7))])
def test_depth_of_the_resnet_grows_with_the_image(side, blocks):
    G, D = networks.sn_resnet(0.03, 0.03)(ImageShape(3, side, side))
    assert (len(G.blocks), 1 + len(D.blocks)) == blocks
    assert G.grid[1:] == ((6, 6) if side == 48 else (4, 4))


def test_grid_is_the_smallest_that_covers():
    for height in range(1, 70):
        rows, _ = grid(ImageShape(1, height, 8), 3)
        assert rows * 8 >= height > (rows - 1) * 8


class TestLabels:
    shape = ImageShape(3, 32, 32, classes=5)

    def pair(self):
        return networks.sn_resnet(0.03, 0.03)(self.shape)

    def test_projection_adds_one_row_a_class(self):
        _, D = networks.sn_resnet()(ImageShape(3, 32, 32, 10))
        assert count(D) == 1_053_824 + 10 * 128

    def test_conditional_batch_norm_has_the_published_count(self):
        G, _ = networks.sn_resnet()(ImageShape(3, 32, 32, 10))
        assert count(G) == 4_304_387

    def test_labels_matter_to_the_discriminator_from_the_start(self):
        _, D = self.pair()
        images = torch.randn(4, 3, 32, 32)
        assert not torch.equal(D(images, torch.zeros(4).long()), D(images, torch.ones(4).long()))

    def test_gradients_reach_every_class_that_was_shown_and_no_other(self):
        G, D = self.pair()
        labels = torch.tensor([0, 1, 3, 3])
        D(G(torch.randn(4, G.z_dim), labels), labels).square().sum().backward()
        for table in [
            D.embed,
            *(n.gain for n in G.modules() if hasattr(n, "gain")),
            *(n.bias for n in G.modules() if hasattr(n, "gain")),
        ]:
            assert (table.weight.grad.abs().sum(1) > 0).tolist() == [True, True, False, True, False]

    def test_labels_matter_to_the_generator_once_its_rows_differ(self):
        G, _ = self.pair()
        z = torch.randn(4, G.z_dim)
        rows = [module.gain.weight for module in G.modules() if hasattr(module, "gain")]
        a, b = torch.zeros(4).long(), torch.ones(4).long()
        torch.testing.assert_close(G(z, a), G(z, b))  # all classes start alike
        with torch.no_grad():
            rows[0][1] *= 2
        assert not torch.allclose(G(z, a), G(z, b))

    @pytest.mark.parametrize("name", ["mlp", "dcgan", "sn_cnn"])
    def test_networks_without_labels_say_so(self, name):
        with pytest.raises(
            ValueError, match=f"{name} takes no labels, but the data has 5 classes; sn_resnet takes labels"
        ):
            spec.build(name, networks)(self.shape)
