"""SN-GAN, and the systems that build on spectral normalisation.

SN-GAN's numbers are by its own protocol: FID of 5,000 samples against 10,000 real images, IS of 5,000 samples. Runs
differ in that the averaged generator is sampled and scored; `equipoise sample --raw` gives the one that is trained.
"""

from ..recipe import Recipe


def sngan() -> Recipe:
    """SN-GAN's standard CNN with the hinge loss (Miyato 2018, arXiv:1802.05957, Table 3).

    Published: IS 7.58 +- 0.12, FID 25.5 on CIFAR-10; FID of 5,000 samples against 10,000 real images.
    """
    return Recipe(
        network="sn_cnn",
        dequantize=True,
        images=6_400_000,
        optimizer="adam(beta1=0.5, beta2=0.999)",
    )


def sn_regularization() -> Recipe:
    """Spectral norms held small by a penalty instead of set to 1 (Yoshida and Miyato 2017, arXiv:1705.10941).

    Published: accuracies of classifiers alone; the comparison with SN-GAN is Miyato 2018, Sec. 3.
    """
    return Recipe(
        network="sn_cnn",
        penalties=("spectral_regularization(weight=0.01)",),
        d_norm="none",
        dequantize=True,
        images=6_400_000,
        optimizer="adam(beta1=0.5, beta2=0.999)",
    )


def sngan_resnet() -> Recipe:
    """SN-GAN's ResNet with the hinge loss (Miyato 2018, arXiv:1802.05957, Table 4).

    Published: IS 8.22 +- 0.05, FID 21.7 +- 0.21 on CIFAR-10; FID of 5,000 samples against 10,000 real images.
    """
    return Recipe(
        dequantize=True,
        images=32_000_000,
        g_batch=128,
        d_steps=5,
        decay=1.0,
    )


def sngan_projection() -> Recipe:
    """SN-GAN's ResNet with labels by projection (Miyato and Koyama 2018, arXiv:1802.05637).

    Published: IS 8.62, FID 17.5 on CIFAR-10 with labels; FID of 5,000 samples against 10,000 real images.

    Fakes wear the labels of the reals beside them, where the paper draws theirs uniformly.
    """
    return Recipe(
        labels=None,
        dequantize=True,
        images=32_000_000,
        g_batch=128,
        d_steps=5,
        decay=1.0,
    )


def sagan() -> Recipe:
    """SAGAN: attention, spectral norm in both networks, two learning rates (Zhang 2019, arXiv:1805.08318).

    Published: IS 52.5, FID 18.65 on ImageNet at 128x128 with labels, of 50,000 samples.
    """
    return Recipe(
        labels=None,
        network="sagan",
        g_norm="spectral",
        images=256_000_000,
        batch=256,
        lr_g=1e-4,
        lr_d=4e-4,
    )


def biggan() -> Recipe:
    """BigGAN at the settings of the authors' CIFAR-10 script (Brock 2019, arXiv:1809.11096).

    Published: IS 9.22, FID 14.73 on CIFAR-10 with labels; IS 166.5, FID 7.4 on ImageNet at 128x128, batches of 2048.
    """
    return Recipe(
        labels=None,
        network="biggan",
        g_norm="spectral",
        images=100_000_000,
        batch=50,
        d_steps=4,
        optimizer="adam(beta1=0.0, beta2=0.999)",
        ema_images=1_400_000,
    )


def biggan_deep() -> Recipe:
    """BigGAN-deep at the paper's settings for ImageNet (Brock 2019, arXiv:1809.11096).

    Published: FID 5.7 +- 0.3, IS 124.5 +- 2.0 on ImageNet at 128x128 with labels, of 50,000 samples.
    """
    return Recipe(
        labels=None,
        network="biggan_deep",
        g_norm="spectral",
        g_penalties=("orthogonal_offdiagonal(weight=0.0001)",),
        images=600_000_000,
        batch=2048,
        d_steps=2,
        lr_g=5e-5,
        lr_d=2e-4,
        optimizer="adam(beta1=0.0, beta2=0.999)",
        ema_images=14_000_000,
    )
