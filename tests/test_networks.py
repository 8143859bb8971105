"""Laws of all networks, and the published parameter counts."""

from inspect import unwrap

import pytest
import torch
from torch import nn

from equipoise import layers, networks, spec
from equipoise.labels import LabelSpace
from equipoise.networks import ImageShape
from equipoise.networks.growing import growing
from equipoise.networks.r3 import Double, Halve, block, widths
from equipoise.networks.shape import grid
from equipoise.weights import rows_of

SMALL = {
    "began": "began(width=4, z_dim=8)",
    "biggan": "biggan(width=2)",
    "biggan_deep": "biggan_deep(width=4, z_dim=8)",
    "dcgan": "dcgan(g_width=4, d_width=4)",
    "ebgan": "ebgan(g_width=4, d_width=4)",
    "improved_gan": "improved_gan(g_width=4, d_width=4, kernels=3)",
    "infogan": "infogan(width=4)",
    "lapgan": "lapgan(width=4, g_hidden=16, d_hidden=8)",
    "mlp": "mlp(width=16)",
    "pggan": "pggan(fmap_base=16, fmap_max=8, z_dim=8)",
    "r3": "r3(g_width=8, d_width=8, blocks=1)",
    "sagan": "sagan(g_scale=0.03, d_scale=0.03)",
    "sn_cnn": "sn_cnn(g_width=4, d_width=4)",
    "sn_resnet": "sn_resnet(g_scale=0.03, d_scale=0.03)",
    "wgan_gp_cnn": "wgan_gp_cnn(width=4)",
    "wgan_gp_resnet": "wgan_gp_resnet(width=4)",
    "wn_gan": "wn_gan(width=4)",
    "wn_resnet": "wn_resnet(width=4)",
}
TRANSLATING = {  # from images to images: test_translation.py
    "cyclegan": "cyclegan(g_width=4, d_width=4, blocks=1)",
    "pix2pix": "pix2pix(g_width=4, d_width=4)",
}
GROWING_TRANSLATION = "growing_cyclegan(g_width=2, d_width=2, blocks=1)"  # test_growing.py
UNBOUNDED = ("began", "lapgan", "pggan", "r3")  # as published: no tanh
AUTOENCODING = ("began", "ebgan")
SHAPES = [
    ImageShape(1, 28, 28),
    ImageShape(3, 32, 32),
    ImageShape(3, 48, 64),
    ImageShape(4, 40, 72),
    ImageShape(2, 37, 53),
]


def scale(layer):
    """What the rows of a strictly normalised transposed convolution measure: each pixel sees a part of the kernel."""
    return layer.stride[0] if isinstance(layer, nn.ConvTranspose2d) else 1.0


def count(net):
    return sum(weight.numel() for weight in net.parameters())


def used(net):
    """The weights of a network but, of one that grows, those to and from the images of levels that are over."""
    over = [layer for part in growing(net) for layer in (*part.children(),)[1][:-1]]
    unused = {id(weight) for layer in over for weight in layer.parameters()}
    return [weight for weight in net.parameters() if id(weight) not in unused]


def pair(name, shape):
    return pair_of(SMALL[name], shape)


def pair_of(call, shape):
    """Generator and discriminator; of several the generator of whole images and the discriminator of the largest."""
    torch.manual_seed(0)
    nets = spec.build(call, networks)(shape)
    return nets if isinstance(nets, tuple) else (nets["G"], nets[max(name for name in nets if name[0] == "D")])


def test_every_network_is_tested():
    tested = [*SMALL, *TRANSLATING, spec.parse(GROWING_TRANSLATION).name]
    assert sorted(tested) == spec.names(networks)


@pytest.mark.parametrize("side", [8, 16])
@pytest.mark.parametrize("call", [*SMALL.values(), "dcgan(d_feature_norm='none')", "dcgan(d_feature_norm='pixel')"])
def test_a_discriminator_may_find_grey_unreal(call, side):
    """Without any bias D(0) = 0 whatever is learnt, and a generator that loses hides in grey."""
    _, D = pair_of(call, ImageShape(3, side, side))
    for weight in D.parameters():
        nn.init.normal_(weight, 0.0, 0.1)
    assert (D.eval()(torch.zeros(2, 3, side, side)) != 0).all()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s[:3])))
@pytest.mark.parametrize("name", SMALL)
def test_any_shape(name, shape):
    G, D = pair(name, shape)
    images = G(torch.randn(2, G.z_dim))
    assert images.shape == (2, *shape[:3])
    if name not in UNBOUNDED:
        assert images.abs().max() <= 1
    logits = D(images)
    assert logits.shape == (2,)
    logits.sum().backward()
    for net in (G, D):
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in used(net))


@pytest.mark.parametrize("name", SMALL)
def test_every_pixel_is_made_and_seen(name):
    G, D = pair(name, ImageShape(2, 21, 30))
    images = G(torch.randn(16, G.z_dim)).detach().requires_grad_()
    assert (images.std(0) > 0).all()
    (slope,) = torch.autograd.grad(D.eval()(images).sum(), images)
    assert (slope.abs().sum(0) > 0).all()


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_learns(name):
    """No weight is left out, whatever starts from zero: each is moved off its start first."""
    G, D = pair(name, ImageShape(3, 32, 32))
    with torch.no_grad():
        for net in (G, D):
            for weight in net.parameters():
                weight += 0.01 * torch.randn_like(weight)
    D.eval()(G.eval()(torch.randn(3, G.z_dim))).square().sum().backward()
    for net in (G, D):
        learning = {id(weight) for weight in used(net)}
        for path, weight in net.named_parameters():
            assert (weight.grad is not None) == (id(weight) in learning), path
            assert weight.grad is None or weight.grad.abs().sum() > 0, path


@pytest.mark.parametrize(
    ("text", "shape", "generator", "discriminator"),
    [
        ("dcgan", (3, 64, 64), 3_576_704, 2_765_568),
        ("dcgan(g_width=128, d_width=128)", (3, 64, 64), 12_658_432, 11_036_160),
        ("sn_cnn", (3, 32, 32), 3_812_355, 2_935_873),
        ("sn_cnn", (3, 48, 48), 5_133_315, 2_946_113),
        ("sn_resnet", (3, 32, 32), 4_276_739, 1_053_824),
        ("sn_resnet", (3, 48, 48), 4_878_083, 10_141_440),
        ("wgan_gp_resnet", (3, 32, 32), 1_204_483, 1_053_825),
        ("began", (3, 64, 64), 1_716_611, 13_405_379),
        ("began(width=64)", (3, 64, 64), 563_395, 4_011_651),
    ],
)
def test_published_parameter_counts(text, shape, generator, discriminator):
    """As counted for the tables of the papers."""
    G, D = spec.build(text, networks)(ImageShape(*shape))
    assert (count(G), count(D)) == (generator, discriminator)


@pytest.mark.parametrize(
    ("text", "shape", "generator", "discriminator"),
    [
        ("mlp", (1, 28, 28), 993_552, 927_745),
        ("ebgan", (3, 64, 64), 3_576_704, 1_318_659),
        ("improved_gan", (3, 32, 32), 4_935_171, 1_501_757),
        ("infogan", (1, 28, 28), 6_642_241, 6_559_169),
        ("r3", (3, 32, 32), 20_732_163, 20_684_544),
        ("sagan", (3, 128, 128), 32_232_708, 29_038_337),
        ("wgan_gp_cnn", (3, 32, 32), 5_164_547, 4_114_689),
        ("wn_gan", (3, 64, 64), 3_806_086, 2_765_698),
        ("wn_gan(normalize='batch')", (3, 64, 64), 3_815_683, 2_767_489),
        ("wn_gan(normalize='none')", (3, 32, 32), 1_187_459, 663_425),
        ("wn_resnet", (3, 160, 160), 11_794_182, 10_157_186),
    ],
)
def test_parameter_counts_of_the_other_tables(text, shape, generator, discriminator):
    """No count is published for these: they hold the tables as they are."""
    with torch.device("meta"):
        G, D = spec.build(text, networks)(ImageShape(*shape))
    assert (count(G), count(D)) == (generator, discriminator)


@pytest.mark.parametrize(
    ("text", "side", "classes", "generator", "discriminator"),
    [
        ("sn_resnet", 32, 10, 4_304_387, 1_053_824 + 10 * 128),
        ("biggan", 32, 10, 4_304_387, 4_207_361),
        ("biggan", 128, 1000, 70_433_988, 87_982_370),
    ],
)
def test_published_parameter_counts_with_classes(text, side, classes, generator, discriminator):
    """The authors' code prints 70,433,988 and 87,982,370 for BigGAN."""
    with torch.device("meta"):
        G, D = spec.build(text, networks)(ImageShape(3, side, side, LabelSpace("classes", classes)))
    assert (count(G), count(D)) == (generator, discriminator)


def test_parameter_counts_of_biggan_deep_are_near_the_papers():
    """50.4 and 34.6 million (Brock 2019, arXiv:1809.11096, Table 1)."""
    with torch.device("meta"):
        G, D = networks.biggan_deep()(ImageShape(3, 128, 128, LabelSpace("classes", 1000)))
    assert (count(G), count(D)) == (50_244_484, 34_590_210)
    assert count(G) / 50.4e6 == pytest.approx(1, abs=0.005)
    assert count(D) / 34.6e6 == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize(("side", "blocks"), [(32, (3, 4)), (48, (3, 5)), (64, (4, 5)), (128, (5, 6)), (256, (6, 7))])
def test_depth_of_the_resnet_grows_with_the_image(side, blocks):
    nets = networks.sn_resnet(0.03, 0.03)(ImageShape(3, side, side))
    assert tuple(sum(type(m).__name__ == "Residual" for m in net.modules()) for net in nets) == blocks


def test_grid_is_the_smallest_that_covers():
    for height in range(1, 70):
        rows, _ = grid(ImageShape(1, height, 8), 3)
        assert rows * 8 >= height > (rows - 1) * 8


class TestAutoEncoders:
    @pytest.mark.parametrize("name", SMALL)
    def test_they_say_what_they_are(self, name):
        _, D = pair(name, ImageShape(1, 16, 16))
        assert getattr(D, "is_autoencoder", False) == (name in AUTOENCODING)

    @pytest.mark.parametrize(
        ("name", "size"),
        [("ebgan", lambda e: e.square().sum((1, 2, 3)).sqrt()), ("began", lambda e: e.abs().mean((1, 2, 3)))],
    )
    def test_logits_are_minus_the_error(self, name, size):
        _, D = pair(name, ImageShape(2, 16, 16))
        images = torch.rand(3, 2, 16, 16)
        error = D.eval().decoder(D.features(images)) - images
        torch.testing.assert_close(D(images), -size(error))


class TestBigGAN:
    shape = ImageShape(3, 64, 64, LabelSpace("classes", 3))

    def test_each_block_is_conditioned_on_its_own_chunk(self):
        G, _ = networks.biggan(width=1)(self.shape)
        chunks = G.chunks
        z, labels = torch.randn(2, G.z_dim), torch.tensor([0, 2])
        first, *conditions = chunks(z, labels)
        assert (G.z_dim, first.shape, len(conditions)) == (100, (2, 20), 4)
        for number, vector in enumerate(conditions, start=1):
            assert torch.equal(vector[:, :20], z[:, 20 * number : 20 * number + 20])
            assert torch.equal(vector[:, 20:], chunks.embed(labels))

    def test_in_the_deep_one_all_are_conditioned_on_all(self):
        G, _ = networks.biggan_deep(width=4, z_dim=8)(self.shape)
        z, labels = torch.randn(2, 8), torch.tensor([0, 2])
        (condition,) = G.chunks(z, labels)
        assert torch.equal(condition, torch.cat([z, G.chunks.embed(labels)], dim=1))

    def test_a_latent_vector_that_cannot_be_split(self):
        with pytest.raises(ValueError, match=r"z_dim must be a multiple of 5, .*, not 12"):
            networks.biggan(width=1, z_dim=12)(self.shape)

    def test_weights_start_orthogonal(self):
        G, _ = networks.biggan(width=4)(self.shape)
        weight = G.first[0].weight  # 20 inputs, more outputs
        torch.testing.assert_close(weight.T @ weight, torch.eye(20))

    def test_shortcuts_of_the_deep_one_keep_channels(self):
        from equipoise.networks.biggan_deep import FirstChannels, MoreChannels

        x = torch.randn(1, 4, 2, 2)
        assert torch.equal(FirstChannels(3)(x), x[:, :3])
        assert torch.equal(MoreChannels(4, 6)(x)[:, :4], x)


class TestR3:
    def test_blocks_start_as_the_identity(self):
        x = torch.randn(2, 8, 3, 5)
        assert torch.equal(block(8, 4)(x), x)

    @pytest.mark.parametrize("kind", [Halve, Double])
    def test_resampling_keeps_flat_images_flat(self, kind):
        out = kind()(torch.ones(1, 2, 6, 8))
        torch.testing.assert_close(out[:, :, 1:-1, 1:-1], torch.ones_like(out)[:, :, 1:-1, 1:-1])

    def test_doubling_puts_means_between(self):
        line = Double()(torch.tensor([[[[0.0, 2.0, 6.0]]]]).expand(1, 1, 3, 3))[0, 0, 2]
        torch.testing.assert_close(line[:5], torch.tensor([0.0, 1.0, 2.0, 4.0, 6.0]))

    def test_widths_of_the_paper(self):
        assert widths(ImageShape(3, 32, 32), 768, 32) == [768] * 4
        assert widths(ImageShape(3, 256, 256), 768, 32) == [768, 768, 768, 768, 384, 192, 96]


class TestWeightNormalised:
    @pytest.mark.parametrize("build", [networks.wn_gan, networks.wn_resnet])
    def test_every_weight_but_those_of_the_first_and_labels_is_of_unit_length(self, build):
        for net in build(width=4)(ImageShape(3, 32, 32)):
            layers = [m for m in net.modules() if "strict" in str(getattr(m, "parametrizations", "")).lower()]
            assert len(layers) >= 4
            lengths = torch.cat([rows_of(m).matrix(m.weight).norm(dim=1) / scale(m) for m in layers])
            torch.testing.assert_close(lengths, torch.ones_like(lengths), atol=0.03, rtol=0)

    def test_twins_have_other_norms(self):
        twins = {n: networks.wn_gan(4, normalize=n)(SHAPES[1])[0] for n in ("weight", "batch", "none")}
        kinds = {name: {type(module).__name__ for module in G.modules()} for name, G in twins.items()}
        assert "TPReLU" in kinds["weight"]
        assert "AnyBatchNorm" in kinds["batch"]
        assert not {"TPReLU", "AnyBatchNorm", "Affine"} & kinds["none"]

    def test_sums_start_with_the_shortcut_alone(self):
        from equipoise.networks.wn_resnet import down_block

        block, x = down_block(3, 4), torch.randn(2, 3, 4, 4)
        weighted, activation = block.children()
        torch.testing.assert_close(block(x), activation(weighted.shortcut(x)), atol=1e-5, rtol=1e-5)


def test_dropout_of_the_consistency_term():
    """Behind the last three of four blocks, and no block more for it."""
    kinds = [
        [
            type(layer).__name__
            for layer in networks.wgan_gp_resnet(4, dropout=dropout)(SHAPES[1])[1].features.children()
        ]
        for dropout in ((), (0.2, 0.5, 0.5))
    ]
    assert kinds[0][1:6] == ["Residual", "LabelMaps", "Residual", "Residual", "Residual"]
    assert kinds[1][1:9] == ["Residual", "LabelMaps", *["Residual", "Dropout"] * 3]
    assert [kind for kind in kinds[1] if kind != "Dropout"] == kinds[0]
    _, D = networks.wgan_gp_resnet(4, dropout=(0.1, 0.2, 0.5, 0.5))(ImageShape(1, 16, 16))  # two blocks
    assert [module.p for module in D.modules() if isinstance(module, nn.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize("name", ["dcgan", "sn_cnn", "sn_resnet", "wgan_gp_cnn", "wgan_gp_resnet", "infogan"])
def test_features_normalised_otherwise(name):
    make = getattr(networks, name)
    _, D = make(d_feature_norm="layer")(ImageShape(1, 16, 16))
    assert any(type(m).__name__ == "LayerNorm" for m in D.modules())
    with pytest.raises(ValueError, match=r"there is no normalisation of features 'bach'.*did you mean 'batch'"):
        make(d_feature_norm="bach")(ImageShape(1, 16, 16))


def test_upsampling_of_dcgan():
    """Transposed convolutions draw a grid on what is even; doubling before a 3x3 convolution does not."""
    uneven = {}
    for upsampling, kind in (("transposed", nn.ConvTranspose2d), ("nearest", layers.DoubleThenConvolve)):
        G, _ = networks.dcgan(8, 8, upsampling=upsampling)(ImageShape(3, 32, 32))
        doublings = [layer for layer in G.modules() if isinstance(layer, kind)][-3:]
        inner = [layer(torch.ones(1, layer.in_channels, 4, 4))[..., 2:-2, 2:-2] for layer in doublings]
        uneven[upsampling] = max(features.std((2, 3)).max().item() for features in inner)
        assert G(torch.randn(2, 100)).shape == (2, 3, 32, 32)
    assert uneven["nearest"] < 1e-6 < 1e-2 < uneven["transposed"]
    with pytest.raises(ValueError, match=r"upsampling cannot be 'nearst'.*did you mean 'nearest'"):
        unwrap(networks.dcgan)(upsampling="nearst")  # without the type checks of the tests, which would be faster


def test_a_gain_keeps_signals_alive_in_a_deep_discriminator():
    """Five layers from N(0, 0.02) let nothing through; with a gain the logits of noise differ."""
    spread = {}
    for gain in (None, 0.7, 1.4):
        torch.manual_seed(0)
        _, D = networks.dcgan(4, 16, d_feature_norm="none", d_gain=gain)(ImageShape(3, 128, 128))
        spread[gain] = D(torch.randn(8, 3, 128, 128)).std().item()
    assert spread[None] < 0.2 * spread[0.7] < 0.2 * spread[1.4]
    with pytest.raises(ValueError, match="d_gain must be above 0"):
        networks.dcgan(d_gain=0.0)
