"""Where a new user starts."""

from ..recipe import Recipe


def default() -> Recipe:
    """A small SN-GAN for a folder of anything: a few minutes on two CPU cores at 28x28, longer for larger images."""
    return Recipe(
        network="sn_resnet(g_scale=0.25, d_scale=0.25)",
        images=200_000,
    )
