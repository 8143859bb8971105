"""SN-GAN, and the GANs that build on spectral normalisation."""

from dataclasses import replace

from ..recipe import Recipe
from .published import published


def sngan() -> Recipe:
    """SN-GAN's standard CNN with the hinge loss (Miyato 2018, arXiv:1802.05957, Table 3).

    Published: IS 7.58 +- 0.12, FID 25.5 on CIFAR-10; FID of 5,000 samples against 10,000 real images.
    """
    return published(
        network="sn_cnn",
        loss="hinge",
        d_norm="spectral",
        dequantize=True,
        images=6_400_000,
        optimizer="adam(beta1=0.5, beta2=0.999)",
    )


def sn_regularization() -> Recipe:
    """Spectral norms held small by a penalty instead of set to 1 (Yoshida and Miyato 2017, arXiv:1705.10941).

    Published: accuracies of classifiers alone; the comparison with SN-GAN is Miyato 2018, Sec. 3.
    """
    return replace(sngan(), penalties=("spectral_regularization(weight=0.01)",), d_norm="none")


def sngan_resnet() -> Recipe:
    """SN-GAN's ResNet with the hinge loss (Miyato 2018, arXiv:1802.05957, Table 4).

    Published: IS 8.22 +- 0.05, FID 21.7 +- 0.21 on CIFAR-10; FID of 5,000 samples against 10,000 real images.
    """
    return published(
        network="sn_resnet",
        loss="hinge",
        d_norm="spectral",
        dequantize=True,
        images=32_000_000,
        g_batch=128,
        d_steps=5,
        optimizer="adam(beta1=0.0, beta2=0.9)",
        lr_g="decay(2e-4, share=1.0)",
        lr_d="decay(2e-4, share=1.0)",
    )


def sngan_projection() -> Recipe:
    """SN-GAN's ResNet with labels by projection (Miyato and Koyama 2018, arXiv:1802.05637).

    Published: IS 8.62, FID 17.5 on CIFAR-10 with labels; FID of 5,000 samples against 10,000 real images.
    """
    return replace(sngan_resnet(), labels=None)


def sagan() -> Recipe:
    """SAGAN: attention, spectral norm in both networks, two learning rates (Zhang 2019, arXiv:1805.08318).

    Published: FID 18.28 on ImageNet at 128x128 with labels, of 50,000 samples, with attention at 32x32 as here.
    """
    return published(
        labels=None,
        network="sagan",
        loss="hinge",
        d_norm="spectral",
        g_norm="spectral",
        images=256_000_000,
        batch=256,
        optimizer="adam(beta1=0.0, beta2=0.9)",
        lr_g=1e-4,
        lr_d=4e-4,
    )


def biggan() -> Recipe:
    """BigGAN at the settings of the authors' CIFAR-10 script (Brock 2019, arXiv:1809.11096).

    Published: IS 9.22, FID 14.73 on CIFAR-10 with labels; IS 166.5, FID 7.4 on ImageNet at 128x128, batches of 2048.
    """
    return published(
        labels=None,
        network="biggan",
        loss="hinge",
        d_norm="spectral",
        g_norm="spectral",
        images=25_000_000,
        batch=50,
        d_steps=4,
        optimizer="adam(beta1=0.0, beta2=0.999)",
        lr_g=2e-4,
        lr_d=2e-4,
        ema_images=1_400_000,
    )


def biggan_deep() -> Recipe:
    """BigGAN-deep at the paper's settings for ImageNet (Brock 2019, arXiv:1809.11096).

    Published: FID 5.7 +- 0.3, IS 124.5 +- 2.0 on ImageNet at 128x128 with labels, of 50,000 samples.
    """
    return published(
        labels=None,
        network="biggan_deep",
        loss="hinge",
        d_norm="spectral",
        g_norm="spectral",
        g_penalties=("orthogonal_offdiagonal(weight=0.0001)",),
        images=600_000_000,
        batch=2048,
        d_steps=2,
        lr_g=5e-5,
        lr_d=2e-4,
        optimizer="adam(beta1=0.0, beta2=0.999)",
        ema_images=28_000_000,
    )
