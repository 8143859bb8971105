"""GANs that translate images of one domain into another."""

from dataclasses import replace

from ..recipe import Recipe
from .published import published


def cyclegan() -> Recipe:
    """CycleGAN: there and back again, so that no pairs are needed (Zhu 2017, arXiv:1703.10593).

    Published: FCN score 0.52 per pixel, 0.17 per class, 0.11 IoU on Cityscapes, labels to photos.

    For a folder with trainA and trainB, or with any two sub-folders: `--domains unpaired`. 200 epochs of horse2zebra's
    1,334 zebras. The authors weigh the cycle 10 and the identity half of that, against a loss of the generator that is
    twice ours: the game's 5 is their 10. Images are cut around the centre; the authors scale them up by a ninth and cut
    at random.
    """
    return published(
        domains="unpaired",
        network="cyclegan",
        game="cycle",
        loss="least_squares",
        images=200 * 1_334,
        batch=1,
        mirror=True,
        lr_g="decay(2e-4, share=0.5)",
        lr_d="decay(2e-4, share=0.5)",
        optimizer="adam(beta1=0.5, beta2=0.999)",
    )


def pix2pix() -> Recipe:
    """pix2pix: a conditional GAN of pairs, with the distance to the partner (Isola 2017, arXiv:1611.07004).

    Published: FCN score 0.66 per pixel, 0.23 per class, 0.17 IoU on Cityscapes, labels to photos.

    For pictures that hold a pair side by side, or two sub-folders with the same names: `--domains a_to_b`, or
    `b_to_a` for the other direction. 200 epochs of the 400 facades.

    In batches of one image batch normalisation is instance normalisation, which the authors keep in the trained
    generator: here it is called so. Its dropout, which the authors keep too, is for training alone.
    """
    return replace(
        cyclegan(),
        domains="a_to_b",
        network="pix2pix(g_feature_norm='instance')",
        game="paired",
        loss="non_saturating",
        images=200 * 400,
    )
