"""Where a new user starts."""

from ..recipe import Recipe


def default() -> Recipe:
    """SN-GAN at a width that the machine can train: a few minutes for the built-in images on two CPU cores."""
    return Recipe(
        network=None,
        images=120_000,
        batch=32,
        lr_g=4e-4,
        lr_d=4e-4,
        betas=(0.0, 0.99),
        decay=0.5,
        ema_images=4_000,
    )
