"""The systems of the papers, with the settings of the papers.

The numbers are the papers' own, by their protocols (SN-GAN: 10,000 real and 5,000 generated images). Runs differ from
them in that the averaged generator is sampled and scored; `equipoise sample --raw` gives the one that is trained.
"""

from ..recipe import Recipe


def dcgan() -> Recipe:
    """DCGAN: strided convolutions with batch normalisation in both networks (Radford 2016, arXiv:1511.06434)."""
    return Recipe(
        network="dcgan",
        loss="non_saturating",
        d_norm="none",
        images=12_800_000,
        batch=128,
        betas=(0.5, 0.999),
    )


def wgan_gp() -> Recipe:
    """WGAN-GP: a residual critic under a gradient penalty (Gulrajani 2017, arXiv:1704.00028): IS 7.86 on CIFAR-10.

    The networks are SN-GAN's with the generator at the width of WGAN-GP's: where the paper's critic takes the mean over
    the last grid and has a bias, this one takes the sum and has none.
    """
    return Recipe(
        network="sn_resnet(g_scale=0.5)",
        loss="wasserstein",
        penalties=("wgan_gp(weight=10.0)",),
        d_norm="none",
        dequantize=True,
        images=32_000_000,
        g_batch=128,
        d_steps=5,
        decay=1.0,
    )


def sngan() -> Recipe:
    """SN-GAN's standard CNN with the hinge loss (Miyato 2018, arXiv:1802.05957, Table 3): FID 25.5 on CIFAR-10."""
    return Recipe(
        network="sn_cnn",
        dequantize=True,
        images=6_400_000,
        betas=(0.5, 0.999),
    )


def sngan_resnet() -> Recipe:
    """SN-GAN's ResNet with the hinge loss (Miyato 2018, arXiv:1802.05957, Table 4): FID 21.7 on CIFAR-10."""
    return Recipe(
        dequantize=True,
        images=32_000_000,
        g_batch=128,
        d_steps=5,
        decay=1.0,
    )


def sngan_projection() -> Recipe:
    """SN-GAN's ResNet with labels by projection (Miyato and Koyama 2018, arXiv:1802.05637): FID 17.5 on CIFAR-10.

    Fakes wear the labels of the reals beside them, where the paper draws theirs uniformly.
    """
    return Recipe(
        labels=True,
        dequantize=True,
        images=32_000_000,
        g_batch=128,
        d_steps=5,
        decay=1.0,
    )
