"""GANs whose discriminator is an energy or a loss, not a classifier."""

from dataclasses import replace

from ..recipe import Recipe
from .convolutional import RADFORD, dcgan
from .published import published


def ebgan() -> Recipe:
    """EBGAN-PT: an auto-encoder as discriminator, codes of fakes pulled apart (Zhao 2017, arXiv:1609.03126).

    Published: pictures and histograms alone. To train the auto-encoder on real images first:
    --loss "pretrained(loss=energy(margin=20.0), images=20000)".
    """
    return published(
        network="ebgan",
        loss="energy(margin=20.0)",
        g_penalties=("pulling_away(weight=0.1)",),
        images=12_800_000,
        optimizer=RADFORD,
    )


def began() -> Recipe:
    """BEGAN: an auto-encoder and its copy in equilibrium (Berthelot 2017, arXiv:1703.10717).

    Published: IS 5.62 on CIFAR-10 (as quoted by Gulrajani 2017).

    The learning rate falls over the last half, where the paper halves it whenever the measure of convergence stalls.
    """
    return published(
        network="began",
        loss="boundary_equilibrium(gamma=0.5)",
        images=3_200_000,
        batch=16,
        optimizer=RADFORD,
        lr_g="decay(1e-4, share=0.5)",
        lr_d="decay(1e-4, share=0.5)",
    )


def ls_gan() -> Recipe:
    """LS-GAN: a loss that is larger for fakes by as much as they differ from reals (Qi 2017, arXiv:1701.06264).

    Published: pictures of CelebA and LSUN; accuracies of classification with features alone.

    L is minus an unbounded logit, where the author's code ends in a ReLU.
    """
    return replace(dcgan(), loss="loss_sensitive", batch=64, lr_g=1e-4, lr_d=1e-4)
