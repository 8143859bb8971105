"""R3GAN, and the recipe that a new user starts from."""

from ..recipe import Recipe


def default() -> Recipe:
    """For a folder of anything: R3GAN's game and networks, at a width that the machine can train (Huang 2024).

    Published: see r3gan, of which this is a small relative.

    Relativistic loss, R1 and R2 (arXiv:2501.05441). Width, batch, length, penalties and augmentation are chosen for the
    size of the images, their number and the machine.
    """
    return Recipe(
        network=None,
        loss="relativistic",
        penalties=None,
        augment=None,
        d_norm="none",
        images=None,
        batch=None,
        lr_g=1e-3,
        lr_d=1e-3,
        optimizer="adam(beta1=0.0, beta2=0.99)",
        decay=0.5,
        ema_images=None,
    )


def r3gan() -> Recipe:
    """R3GAN: relativistic loss with R1 and R2, residual networks without normalisation (Huang 2024, arXiv:2501.05441).

    Published: FID 1.96 on CIFAR-10 with labels, of 50,000 samples.

    The paper anneals learning rate, penalty, Adam's beta2, the average and its augmentation over the first 20 million
    images. Here the penalty is that of its start, beta2 and the average are those of its end, the learning rate falls
    to 0 over the last half, and augmentation is adaptive.
    """
    return Recipe(
        labels=None,
        network="r3",
        loss="relativistic",
        penalties=("r1(weight=0.05)", "r2(weight=0.05)"),
        augment="ada",
        d_norm="none",
        mirror=True,
        images=100_000_000,
        batch=512,
        optimizer="adam(beta1=0.0, beta2=0.99)",
        decay=0.5,
        ema_images=5_000_000,
    )
