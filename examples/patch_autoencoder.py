"""An autoencoder with an adversarial loss: a PatchGAN discriminator, the hinge loss and spectral normalisation.

The discriminator returns a map of logits, one a patch (Isola 2017, arXiv:1611.07004). After a warm-up the adversarial
loss is balanced at the decoder's last layer, as in VQGAN (Esser 2021, arXiv:2012.09841, Eq. 7).

What is printed is the mean absolute error on held-out images, and their sharpness: the total variation of the
reconstructions as a share of the originals'. The error alone leaves them blurred; the discriminator takes the blur away
at a small cost in error. About ten seconds:

    python examples/patch_autoencoder.py
"""

from itertools import islice

import torch
from torch import nn

from equipoise import data, games, losses, norms

BATCH, WIDTH, CODE = 32, 16, 2


def autoencoder():
    """28 x 28 pixels -> a code of 7 x 7 x CODE numbers -> 28 x 28 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, WIDTH, 4, stride=2, padding=1), nn.SiLU(),
        nn.Conv2d(WIDTH, WIDTH, 4, stride=2, padding=1), nn.SiLU(),
        nn.Conv2d(WIDTH, CODE, 1),
        nn.Conv2d(CODE, WIDTH, 3, padding=1), nn.SiLU(), nn.Upsample(scale_factor=2),
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.SiLU(), nn.Upsample(scale_factor=2),
        nn.Conv2d(WIDTH, WIDTH // 2, 3, padding=1), nn.SiLU(),
        nn.Conv2d(WIDTH // 2, 1, 3, padding=1), nn.Tanh(),
    )  # fmt: skip


def patch_discriminator():
    """Images [b, 1, 28, 28] -> logits [b, 1, 7, 7], each of which sees 18 x 18 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, WIDTH, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, 2 * WIDTH, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(2 * WIDTH, 1, 3, padding=1),
    )  # fmt: skip


def variation(images):
    """The mean absolute difference between neighbouring pixels."""
    return images.diff(dim=2).abs().mean() + images.diff(dim=3).abs().mean()


@torch.no_grad()
def quality(A, images):
    """The error of the reconstructions, and their sharpness: 1 is that of the images themselves."""
    made = A(images)
    return {"error": (made - images).abs().mean().item(), "sharpness": (variation(made) / variation(images)).item()}


def main(steps=400, warm_up=None, weight=0.5, seed=0):
    """Trains, printing the quality five times; returns the first and the last. A `weight` of 0 leaves the GAN out."""
    torch.manual_seed(seed)
    warm_up = steps // 4 if warm_up is None else warm_up
    clothes = data.load("builtin", data.Format(1, 28, 28))
    held_out = clothes.held_out.images[:500] / 127.5 - 1

    A, D = autoencoder(), patch_discriminator()
    norms.apply(norms.spectral(), D)
    loss = losses.hinge()
    opt_a, opt_d = (torch.optim.Adam(net.parameters(), lr=4e-3, betas=(0.5, 0.9)) for net in (A, D))

    first = quality(A, held_out)
    for step, (real, _) in enumerate(islice(data.batches(clothes, BATCH, seed), steps), start=1):
        fake = A(real)

        objective = (fake - real).abs().mean()
        if weight and step > warm_up:
            adversarial = loss.g(D(real), D(fake))
            objective = objective + weight * games.adaptive_weight(objective, adversarial, A[-2].weight) * adversarial
        opt_a.zero_grad()
        objective.backward()
        opt_a.step()

        loss_d = loss.d(D(real), D(fake.detach()))
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()

        if step % max(1, steps // 5) == 0 or step == steps:
            last = quality(A, held_out) | {"loss_d": loss_d.item()}
            print(f"step {step:4}: " + ", ".join(f"{name} {value:.3f}" for name, value in last.items()))
    return first, last


if __name__ == "__main__":
    main()
