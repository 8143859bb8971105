"""GANs that make images from coarse to fine: growing networks, and pyramids of networks."""

from ..recipe import Recipe
from .published import published


def pggan() -> Recipe:
    """Progressive growing: from 4x4 on, level after level faded in, under WGAN-GP (Karras 2018, arXiv:1710.10196).

    Published: FID 7.30 on CelebA-HQ at 1024x1024, sliced Wasserstein distance 2.96 on CelebA at 128x128; IS 8.80 +-
    0.05 on CIFAR-10 without labels, the best of ten runs.

    Held and faded for 600,000 images each at 1024x1024, of 12 million in all, as in the authors' TensorFlow code;
    batches of 16, of 14, 6 and 3 from 256 pixels on, as on one GPU; an average of half-life 11,000 images. Phases last
    as long as a run of another length lets them: small images on a CPU want --images 200000 and narrower networks,
    pggan(fmap_base=512, fmap_max=64, z_dim=64).
    """
    return published(
        network="pggan",
        growth="progressive(batch={256: 14, 512: 6, 1024: 3})",
        loss="wasserstein",
        penalties=("wgan_gp(weight=10.0)", "drift(weight=0.001)"),
        images=12_000_000,
        batch=16,
        optimizer="adam(beta1=0.0, beta2=0.99)",
        lr_g=1e-3,
        lr_d=1e-3,
        ema_images=None,
    )


def lapgan() -> Recipe:
    """LAPGAN: a pair of networks for every band of a Laplacian pyramid (Denton 2015, arXiv:1506.05751).

    Published: people took 40 per cent of its CIFAR-10 samples for real, of a plain GAN's 10 (Denton 2015, Fig. 6).

    Stochastic gradients with momentum, from 0.5 to 0.8 in 375 epochs of CIFAR-10, in which the learning rate falls by
    1 + 4e-4 an epoch.
    """
    return published(
        game="pyramid",
        network="lapgan",
        loss="non_saturating",
        images=18_750_000,
        batch=128,
        optimizer="sgd(momentum=linear(0.5, 0.8))",
        lr_g="linear(0.02, 0.0172)",
        lr_d="linear(0.02, 0.0172)",
    )
