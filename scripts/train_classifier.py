"""Trains the classifier behind the `builtin` features from the built-in Fashion-MNIST images, in minutes on one core.

python scripts/train_classifier.py target.safetensors [--epochs 24] [--images 10000]
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from equipoise import data
from equipoise.metrics.features import classifier

BATCH, PEAK = 100, 0.004


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help=f"what comes along: {classifier.WEIGHTS.name}")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--images", type=int, help="the first so many alone, for a trial")
    options = parser.parse_args()
    train(options.target, options.epochs, options.images)


def train(target: Path, epochs: int, count: int | None) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    clothes = data.load("builtin", data.Format(1, 28, 28), labels=True)
    (images, labels), (held_out, truth) = read(clothes, count), read(clothes.held_out, count)
    net = classifier.network()
    fit(net, images, labels, epochs)
    print(f"right: {accuracy(net, images, labels):.4f} of its images, {accuracy(net, held_out, truth):.4f} held out")
    kept = {k: v.contiguous() for k, v in net.state_dict().items() if "num_batches" not in k}
    save_file(kept, target)
    print(f"{target.name}: {target.stat().st_size:,} bytes")


def read(part: data.Dataset | None, count: int | None) -> tuple[Tensor, Tensor]:
    if part is None or part.images is None or part.labels is None:
        raise ValueError("the built-in images are incomplete")
    return classifier.scaled(part.images[:count]), part.labels.tensor()[:count]


def fit(net: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK, weight_decay=0.02)
    steps = epochs * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps)
    for epoch in range(epochs):
        order = torch.randperm(len(images))
        for rows in order.split(BATCH):
            loss = cross_entropy(net(augment(images[rows])), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}", flush=True)


def augment(images: Tensor) -> Tensor:
    """Flips half of the images, shifts each by up to one pixel, and blanks a square of ten in it."""
    flip = torch.rand(len(images), 1, 1, 1) < 0.5
    return erase(shift(torch.where(flip, images.flip(3), images), 1), 10)


def shift(images: Tensor, reach: int) -> Tensor:
    padded, side, each = pad(images, [reach] * 4, value=-1), torch.arange(images.shape[-1]), len(images)
    row, column = torch.randint(2 * reach + 1, (2, each, 1)) + side
    return padded[torch.arange(each)[:, None, None], 0, row[:, :, None], column[:, None, :]][:, None]


def erase(images: Tensor, edge: int) -> Tensor:
    start, side = torch.randint(1 - edge, images.shape[-1], (2, len(images), 1)), torch.arange(images.shape[-1])
    row, column = (start <= side) & (side < start + edge)
    return images.masked_fill((row[:, :, None] & column[:, None, :])[:, None], -1)


@torch.no_grad()
def accuracy(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    net.eval()
    found = torch.cat([net(part).argmax(1) for part in images.split(250)])
    return (found == labels).float().mean().item()


if __name__ == "__main__":
    main()
