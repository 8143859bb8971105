"""The accuracy on real images of a network that has seen generated ones alone."""

from functools import partial

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from ..checks import check_range
from .features import preprocess
from .full_precision import exact
from .intervals import of_share
from .kept import Classes, Rows, once
from .metric import Intervals, SetMetric, Values, pair_of_rows

LARGEST, WIDTHS, BATCH, TESTED = 32, (16, 32, 64), 64, 256
RATE, DECAY = 3e-3, 1e-2


def cas(epochs: int = 10, images: int = 10_000) -> SetMetric:
    """Classification accuracy on real images of a network trained on generated ones (arXiv:1905.10887, Sec. 3).

    Ravuri and Vinyals 2019 train a ResNet-50; here it is a small residual network, so that values compare with each
    other alone, at `epochs` over the first `images` images, shrunk to 32 pixels at most. `cas` is top-1, `cas.top5`
    the share of real images whose class is among the first five. Few generated images make it too low. The intervals
    are Wilson's over real images; a training run of another seed varies besides.
    """
    check_range(at_least=1, epochs=epochs)
    check_range(at_least=2, images=images)
    value, interval = partial(_values, epochs), partial(_intervals, epochs)
    statistic = lambda real: Rows(images)
    return SetMetric("cas", statistic, value, interval, sees="images", labelled=True, higher=True)


class Block(nn.Module):
    """x + f(x) at half the resolution, f of two 3x3 convolutions (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(channels, width, 1, 2, bias=False)
        self.first = nn.Conv2d(channels, width, 3, 2, 1, bias=False)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(width), nn.BatchNorm2d(width)])

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d y x"]:
        """relu(S x + f(x)), S a 1x1 convolution of stride 2."""
        inner = relu(self.norms[0](self.first(x)))
        return relu(self.shortcut(x) + self.norms[1](self.second(inner)))


def network(channels: int, classes: int) -> nn.Sequential:
    """Three residual blocks, a pooled vector, logits."""
    blocks = [Block(fan, width) for fan, width in zip((channels, *WIDTHS), WIDTHS, strict=False)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], classes))


def trained(images: UInt8[Tensor, "n c h w"], labels: Classes, classes: int, epochs: int) -> nn.Sequential:
    """The network after so many epochs of AdamW with one cycle of learning rates, from a fixed seed."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        net = network(images.shape[1], classes).to(images.device)
        order = torch.cat([torch.randperm(len(images)) for _ in range(epochs)]).to(images.device)
        batches = order.split(BATCH)
        optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=len(batches) + 1)
        for batch in batches:
            optimizer.zero_grad()
            cross_entropy(net(scaled(images[batch])), labels[batch]).backward()
            optimizer.step()
            rates.step()
    return net.eval()


def ranks(net: nn.Module, images: UInt8[Tensor, "n c h w"], labels: Classes) -> Tensor:
    """How many classes the network finds likelier than the true one, for each image."""
    with exact(images.device):
        logits = torch.cat([net(scaled(part)) for part in images.split(TESTED)])
        return (logits > logits.gather(1, labels[:, None])).sum(1)


def scaled(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c s s"]:
    """x / 127.5 - 1, at 32 pixels at most."""
    return preprocess.bilinear(images.float(), min(LARGEST, max(images.shape[-2:]))) / 127.5 - 1


def _ranks(epochs: int, real: Rows, generated: Rows) -> Tensor:
    x, y = pair_of_rows("cas", real, generated)
    one, other = (side.labels.to(y.device) for side in (real, generated))
    classes = int(torch.cat([one, other]).max()) + 1
    return once(real, generated, ("cas", epochs), lambda: ranks(trained(y, other, classes, epochs), x, one))


def _values(epochs: int, real: Rows, generated: Rows) -> Values:
    found = _ranks(epochs, real, generated)
    return {name: (found < first).double().mean().item() for name, first in (("cas", 1), ("cas.top5", 5))}


def _intervals(epochs: int, real: Rows, generated: Rows) -> Intervals:
    return {name: of_share(share, real.count) for name, share in _values(epochs, real, generated).items()}
