"""GANs whose discriminator estimates probabilities or divergences, most with DCGAN's networks."""

from dataclasses import replace

from ..recipe import Recipe
from .published import published

RADFORD = "adam(beta1=0.5, beta2=0.999)"  # Radford 2016, arXiv:1511.06434


def gan() -> Recipe:
    """The first of all: fully connected networks, G maximises log D(G) (Goodfellow 2014, arXiv:1406.2661).

    Published: log-likelihood of Parzen windows 225 +- 2 on MNIST, a score that is not used any more.

    ReLU takes the place of maxout and dropout in the discriminator.
    """
    return published(
        network="mlp(width=1200, depth=2, z_dim=100)",
        loss="non_saturating",
        images=5_000_000,
        batch=100,
        optimizer="sgd(momentum=0.5)",
        lr_g="decay(0.1, share=0.5)",
        lr_d="decay(0.1, share=0.5)",
    )


def dcgan() -> Recipe:
    """DCGAN: strided convolutions with batch normalisation in both networks (Radford 2016, arXiv:1511.06434).

    Published: IS 6.16 +- 0.07 on CIFAR-10 (as quoted by Gulrajani 2017).
    """
    return published(
        network="dcgan",
        loss="non_saturating",
        images=12_800_000,
        batch=128,
        optimizer=RADFORD,
    )


def lsgan() -> Recipe:
    """LSGAN: least squares in place of log-likelihood (Mao 2017, arXiv:1611.04076).

    Published: FID 30.7 +- 2.2 on Fashion-MNIST, 10,000 samples against the test set, after a search (Lucic 2018).
    """
    return replace(dcgan(), loss="least_squares", batch=64)


def f_gan() -> Recipe:
    """f-GAN: the Kullback-Leibler divergence as a game (Nowozin 2016, arXiv:1606.00709).

    Published: pictures of LSUN church alone. Other divergences: --loss "f_gan(divergence='pearson')".
    """
    return replace(dcgan(), loss="f_gan(divergence='kl')", batch=64, lr_g=1e-4, lr_d=1e-4)


def dragan() -> Recipe:
    """DRAGAN: gradients of norm 1 around the data (Kodali 2017, arXiv:1705.07215).

    Published: IS 6.90 on CIFAR-10, protocol not known.

    The discriminator has no batch normalisation, under which the gradient at one image depends on the others.
    """
    return replace(dcgan(), network="dcgan(d_feature_norm='none')", penalties=("dragan",), batch=64)


def improved_gan() -> Recipe:
    """Improved techniques: minibatch discrimination, smoothed labels, weight norm (Salimans 2016, arXiv:1606.03498).

    Published: IS 6.86 +- 0.06 on CIFAR-10 without labels, with historical averaging too; 50,000 samples in ten parts.

    Without the paper's noise between the layers. For feature matching: --network "improved_gan(kernels=0)"
    --loss feature_matching.
    """
    return published(
        network="improved_gan",
        loss="non_saturating(real_target=0.9)",
        d_norm="weight",
        images=60_000_000,
        batch=100,
        optimizer=RADFORD,
        lr_g="decay(3e-4, share=0.3333)",
        lr_d="decay(3e-4, share=0.3333)",
    )


def infogan_study() -> Recipe:
    """The fixed network of "Are GANs created equal?", non-saturating (Lucic 2018, arXiv:1711.10337).

    Published: FID 26.5 +- 1.6 on Fashion-MNIST, 10,000 samples against the test set, best of 100 settings, 50 seeds.

    The study's other games are --loss, --penalties and --constraint; its settings were searched, these are DCGAN's.
    """
    return published(
        network="infogan",
        loss="non_saturating",
        images=1_200_000,
        optimizer=RADFORD,
    )


def acgan() -> Recipe:
    """AC-GAN: the discriminator names the class too (Odena 2017, arXiv:1610.09585).

    Published: IS 8.25 +- 0.07 on CIFAR-10 (as quoted by Gulrajani 2017).

    With DCGAN's networks, where the paper's discriminator has 3x3 convolutions with dropout.
    """
    return published(
        labels=True,
        network="dcgan(z_dim=110)",
        loss="auxiliary_classifier",
        g_condition="concat",
        d_condition="auxiliary",
        images=5_000_000,
        batch=100,
        optimizer=RADFORD,
    )


def wn_gan() -> Recipe:
    """WN-GAN: strict weight normalisation with TPReLU in both networks (Xiang and Li 2017, arXiv:1704.03971).

    Published: held-out reconstruction error 0.0055 a value on CelebA at 160x160, plain networks 0.0062.

    At the authors' later learning rate, after an error in their gradient was found. The twins: --network
    "wn_gan(normalize='batch')" and "wn_gan(normalize='none')".
    """
    return published(
        network="wn_gan",
        loss="non_saturating",
        images=15_000_000,
        batch=32,
        optimizer="rmsprop(decay=0.9, eps=1e-6)",
        lr_g=5e-5,
        lr_d=5e-5,
    )
