"""GANs whose discriminator compares real and fake in pairs."""

from dataclasses import replace

from ..recipe import Recipe
from .starting import default

ANNEALED = 20_000_000  # images, in the paper's code


def r3gan() -> Recipe:
    """R3GAN: relativistic loss with R1 and R2, residual networks without normalisation (Huang 2024, arXiv:2501.05441).

    Published: FID 1.96 on CIFAR-10 with labels, of 50,000 samples.

    The settings of the authors' code for CIFAR-10: learning rate, penalties, Adam's beta2, the half-life of the EMA
    generator and the probability of augmentation are annealed by a cosine over the first 20 million images.
    """
    penalty = annealed(0.05, 0.005)
    return replace(
        default(),
        labels=None,
        network="r3",
        loss="relativistic",
        penalties=(f"r1(weight={penalty})", f"r2(weight={penalty})"),
        augment=f"transforms(p={annealed(0.0, 0.55)})",
        mirror=True,
        images=200_000_000,
        batch=512,
        optimizer=f"adam(beta1=0.0, beta2={annealed(0.9, 0.99)})",
        lr_g=annealed(2e-4, 5e-5),
        lr_d=annealed(2e-4, 5e-5),
        ema_images=annealed(0, 5_000_000),
    )


def annealed(start: int | float, end: int | float) -> str:
    """From start to end by a cosine over the first images."""
    return f"cosine({start}, {end}, images={ANNEALED})"
