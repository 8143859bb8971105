"""A GAN under Hugging Face's `accelerate`, with a loss, two penalties, an augmentation and a metric of equipoise.

The recipe is R3GAN's (Huang 2024, arXiv:2501.05441): the relativistic loss with R1 and R2, here on augmented images.
A batch comes in parts, whose gradients a player gathers before it moves. `accelerator.accumulate` is not made for two
networks: the gradients of the generator's loss would stay with the discriminator. Here each player forgets what others
left with it before it gathers its own.

What is printed is the Frechet distance to held-out images on the built-in features. Less than a minute:

    pip install accelerate
    python examples/accelerate_loop.py
    ACCELERATE_USE_CPU=true torchrun --nproc-per-node 2 examples/accelerate_loop.py    # two processes
"""

from itertools import chain, islice, repeat

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from equipoise import augment, data, losses, penalties
from equipoise.metrics import fd, features

BATCH, PARTS, Z_DIM, WIDTH = 32, 2, 32, 32


def generator():
    """Z_DIM numbers -> an image [1, 28, 28] in [-1, 1]."""
    return nn.Sequential(
        nn.Linear(Z_DIM, WIDTH * 7 * 7), nn.Unflatten(1, (WIDTH, 7, 7)), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2),
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2),
        nn.Conv2d(WIDTH, WIDTH // 2, 3, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH // 2, 1, 3, padding=1), nn.Tanh(),
    )  # fmt: skip


def discriminator():
    """An image [1, 28, 28] -> one logit."""
    return nn.Sequential(
        nn.Conv2d(1, WIDTH // 2, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH // 2, WIDTH, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(WIDTH * 7 * 7, 1), nn.Flatten(0),
    )  # fmt: skip


def in_range(images):
    """Bytes as numbers in [-1, 1]."""
    return images / 127.5 - 1


def latents(accelerator, count=BATCH):
    """z ~ N(0, I)."""
    return torch.randn(count, Z_DIM, device=accelerator.device)


@torch.no_grad()
def score(accelerator, G, held_out, count=500):
    """The Frechet distance of samples, each process making `count` of them, to the held-out images."""
    look, metric = features.builtin(), fd()
    samples = ((G(latents(accelerator, count)) + 1) * 127.5).round().to(torch.uint8)
    metric.update(look(held_out[:count].to(accelerator.device)), real=True)
    metric.update(accelerator.gather(look(samples)), real=False)
    return metric.compute()["fd"]


def main(steps=200, seed=0, cpu=False):
    """Trains, printing the distance four times; returns the first and the last."""
    accelerator = Accelerator(cpu=cpu)
    torch.manual_seed(seed + accelerator.process_index)
    images = data.load("builtin", data.Format(1, 28, 28))
    G, D = generator(), discriminator()
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.0, 0.9)) for net in (G, D))
    loader = DataLoader(TensorDataset(images.images), BATCH, shuffle=True, drop_last=True)
    G, D, opt_g, opt_d, loader = accelerator.prepare(G, D, opt_g, opt_d, loader)

    loss, r1, r2 = losses.relativistic(), penalties.r1(weight=1.0), penalties.r2(weight=1.0)
    shown = augment.diffaug(policy=("translation", "cutout"))
    critic = lambda x: D(shown(x))  # penalties take any function from images to logits

    first = score(accelerator, G, images.held_out.images)
    endless = chain.from_iterable(repeat(loader))
    for step, (batch,) in enumerate(islice(endless, steps), start=1):
        parts = in_range(batch).chunk(PARTS)

        opt_d.zero_grad()
        for real in parts:
            fake = G(latents(accelerator, len(real))).detach()
            loss_d = loss.d(critic(real), critic(fake)) + r1(critic, real, fake) + r2(critic, real, fake)
            accelerator.backward(loss_d / PARTS)
        opt_d.step()

        opt_g.zero_grad()
        for real in parts:
            loss_g = loss.g(critic(real), critic(G(latents(accelerator, len(real)))))
            accelerator.backward(loss_g / PARTS)
        opt_g.step()

        if step % max(1, steps // 4) == 0 or step == steps:
            last = score(accelerator, G, images.held_out.images)
            accelerator.print(f"step {step:4}: Frechet distance {last:5.1f}, at first {first:.1f}")
    return first, last


if __name__ == "__main__":
    main()
