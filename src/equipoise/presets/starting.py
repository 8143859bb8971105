"""The recipe that a new user starts from."""

from ..recipe import Recipe


def default() -> Recipe:
    """For a folder of anything: on a CPU the hinge loss and R1 on DCGANs, on a GPU a small R3GAN (Huang 2024).

    Published: nothing of it; its relative r3gan has FID 1.96 on CIFAR-10 with labels.

    On a CPU, where minutes count, DCGAN's networks without normalisation in the discriminator (Radford 2016), for large
    and colour images with nearest-neighbour upsampling (Odena 2016), the hinge loss (Lim and Ye 2017) and R1 (Mescheder
    2018); on a GPU R3GAN's networks at half their width, the relativistic loss, R1 and R2 (arXiv:2501.05441); on points
    fully connected networks with the latter. Width, batch, length, learning rates, strength of the penalties, mirroring
    and augmentation follow the images, their number, the length and the machine.
    """
    return Recipe()
