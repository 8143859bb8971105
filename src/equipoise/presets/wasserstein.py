"""GANs of the Wasserstein distance, whose discriminator is a critic."""

from dataclasses import replace

from ..recipe import Recipe
from .published import published


def wgan() -> Recipe:
    """WGAN: a critic with clipped weights (Arjovsky 2017, arXiv:1701.07875, Algorithm 1).

    Published: curves of the distance and pictures of LSUN; FID 21.5 +- 1.6 on Fashion-MNIST, 10,000 samples against the
    test set, after a search (Lucic 2018).

    A hundred steps of the critic for each of the generator's first 25, then five, as in the authors' code, which takes
    a hundred from time to time later on too.
    """
    return published(
        network="dcgan",
        loss="wasserstein",
        constraint="clip(value=0.01)",
        images=32_000_000,
        d_steps="steps((100, 5), at=(160000,))",
        optimizer="rmsprop(decay=0.99)",
        lr_g=5e-5,
        lr_d=5e-5,
    )


def wgan_gp() -> Recipe:
    """WGAN-GP: a residual critic under a gradient penalty (Gulrajani 2017, arXiv:1704.00028).

    Published: IS 7.86 +- 0.07 on CIFAR-10 without labels, of 50,000 samples in ten parts; FID 29.3 (Heusel 2017).
    """
    return published(
        network="wgan_gp_resnet",
        loss="wasserstein",
        penalties=("wgan_gp(weight=10.0)",),
        dequantize=True,
        images=32_000_000,
        g_batch=128,
        d_steps=5,
        lr_g="decay(2e-4, share=1.0)",
        lr_d="decay(2e-4, share=1.0)",
    )


def ct_gan() -> Recipe:
    """CT-GAN: WGAN-GP with a critic consistent under its own dropout (Wei 2018, arXiv:1803.01541).

    Published: IS 8.12 +- 0.12 on CIFAR-10 without labels, of 50,000 samples in ten parts.
    """
    critic = "wgan_gp_resnet(dropout=(0.2, 0.5, 0.5))"
    return replace(wgan_gp(), network=critic, penalties=("wgan_gp(weight=10.0)", "consistency_term(weight=2.0)"))
