"""Layers in which a sample depends on the others of its batch: a discriminator with them sees how varied it is."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..checks import check_choice, check_range
from ..numerics import wide, without_autocast
from ..processes import of_whole_batch

STD_EPS = 1e-8  # under the root, so that its gradient is finite where all samples are alike
MODES = ("all", "spatial", "none", "gpool", "flat")


class MinibatchStd(nn.Module):
    """[x, mean sqrt(var_n x + 1e-8)]: appends how much samples differ (Karras 2018, arXiv:1710.10196, Sec. 3).

    `mode` says what of it is appended, the same for all samples of a group and, but for "none", all pixels:

    * "all": the standard deviation of each value over the samples, then its mean over c, h, w: 1 channel. With
      `groups`, the channels are split into as many groups, each with its mean: `groups` channels.
    * "spatial": the same, but the mean over h, w alone: c channels.
    * "none": no mean: c channels.
    * "gpool": one standard deviation over samples, h, w for each channel: c channels.
    * "flat": one standard deviation over samples, c, h, w: 1 channel.

    `group` is how many samples are compared; None is the whole batch. Groups are strided as in the authors' code:
    samples 0, n, 2n... of a batch of n groups are one. Of a batch that `group` does not divide, the largest divisor
    that is no greater than `group` is taken; the standard deviation of a single sample is 1e-4.

    >>> MinibatchStd()(torch.tensor([[1.0], [3.0]])).tolist()
    [[1.0, 1.0], [3.0, 1.0]]
    """

    def __init__(self, group: int | None = None, mode: str = "all", groups: int = 1) -> None:
        super().__init__()
        check_range(at_least=1, group=1 if group is None else group, groups=groups)
        check_choice(mode, [*MODES], f"there is no mode {mode!r}")
        if groups > 1 and mode != "all":
            raise ValueError(f"only mode 'all' splits channels into groups, not {mode!r} (groups={groups})")
        self.group, self.mode, self.groups = group, mode, groups

    def appended(self, channels: int) -> int:
        """How many channels it appends to an input of so many: `nn.Conv2d(c + layer.appended(c), ...)` comes next."""
        return {"all": self.groups, "flat": 1}.get(self.mode, channels)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space"]:
        """The input and the statistics of its groups of samples, which may be those of several processes."""
        if x.shape[1] % self.groups:
            raise ValueError(f"{x.shape[1]} channels cannot be split into {self.groups} groups")
        return torch.cat([x, of_whole_batch(self.appended_to, x)], dim=1)

    def appended_to(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space"]:
        """The statistics of a batch, for each of its samples."""
        size = largest_divisor(len(x), self.group or len(x))
        spread = self.spread(wide(x).reshape(size, -1, x.shape[1], x.shape[2:].numel()))
        appended = spread.repeat(size, 1, 1).expand(-1, -1, x.shape[2:].numel()).reshape(len(x), -1, *x.shape[2:])
        return appended.to(x.dtype)

    def spread(self, x: Float[Tensor, "size n c p"]) -> Float[Tensor, "n c2 p2"]:
        """What is appended to each of n groups, at each of p pixels or at all alike (p2 = 1)."""
        if self.mode in ("gpool", "flat"):
            return std(x, (0, 3) if self.mode == "gpool" else (0, 2, 3))
        each = std(x, (0,))
        if self.mode == "all":
            return each.unflatten(1, (self.groups, -1)).mean((2, 3))[:, :, None]
        return each if self.mode == "none" else each.mean(2, keepdim=True)


def std(x: Float[Tensor, "size n c p"], dims: tuple[int, ...]) -> Float[Tensor, "n c2 p2"]:
    """The standard deviation over `dims`, which include that of the samples: it is dropped, the others are kept."""
    variance = (x - x.mean(dims, keepdim=True)).square().mean(dims, keepdim=True)
    return (variance + STD_EPS).sqrt()[0]


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of `number` that is at most `most`.

    >>> largest_divisor(18, 4)
    3
    """
    return max(divisor for divisor in range(1, min(number, most) + 1) if number % divisor == 0)


class MinibatchDiscrimination(nn.Module):
    """[x, sum_{j != i} exp(-|M_i - M_j|_1) + bias], M = x T (Salimans 2016, arXiv:1606.03498, Sec. 3.2).

    For each of `kernels` projections to `size` dimensions: how many samples of the batch are close to this one. As in
    the authors' code the columns of T are normalised, T = exp(log_scale) V / |V|, and the first forward in training
    mode sets the scales, so that half the mean distance to the nearest sample is 1, and then the biases, so that the
    appended features have mean 0. That this has happened is kept in the state dict. Real and fake samples must come in
    batches of their own.

    >>> MinibatchDiscrimination(8, kernels=3)(torch.randn(5, 8)).shape
    torch.Size([5, 11])
    """

    def __init__(self, features: int, kernels: int = 100, size: int = 5) -> None:
        super().__init__()
        check_range(at_least=1, features=features, kernels=kernels, size=size)
        self.direction = nn.Parameter(0.05 * torch.randn(features, kernels, size))
        self.log_scale = nn.Parameter(torch.zeros(kernels, size))
        self.bias = nn.Parameter(-torch.ones(kernels))
        self.initialised = Latch()

    def forward(self, x: Float[Tensor, "b f"]) -> Float[Tensor, "b f2"]:
        """The features and the closeness of each sample to the others."""
        with without_autocast(x):  # small differences of large numbers need float32
            close = of_whole_batch(self.close_to, wide(x))
        return torch.cat([x, close.to(x.dtype)], dim=1)

    def close_to(self, x: Float[Tensor, "b f"]) -> Float[Tensor, "b k"]:
        """The closeness of each sample of a batch to the others, and the bias."""
        if self.training and len(x) > 1 and not self.initialised():
            self.initialise(x)
        return self.closeness(x) + self.bias

    def closeness(self, x: Float[Tensor, "b f"]) -> Float[Tensor, "b k"]:
        """sum_{j != i} exp(-distance)."""
        return self.distances(x).neg().exp().sum(1)

    def distances(self, x: Float[Tensor, "b f"]) -> Float[Tensor, "b b k"]:
        """|M_i - M_j|_1 for each pair of samples; infinite for a sample and itself, which is no pair."""
        scale = self.log_scale.exp() / torch.linalg.vector_norm(self.direction, dim=0)
        projected = torch.einsum("bf,fks->bks", x, self.direction * scale)
        distances = (projected[:, None] - projected[None]).abs().sum(3)
        itself = torch.eye(len(x), dtype=torch.bool, device=x.device)[:, :, None]
        return distances.masked_fill(itself, torch.inf)

    @torch.no_grad()
    def initialise(self, x: Float[Tensor, "b f"]) -> None:
        """Sets scales and biases by a first batch; a kernel that all of its samples share keeps its scale."""
        nearest = 0.5 * self.distances(x).amin(1).mean(0)
        self.log_scale.sub_(torch.where(nearest > 0, nearest, 1).log()[:, None])
        self.bias.copy_(-self.closeness(x).mean(0))
        self.initialised.set()


class Latch(nn.Module):
    """False until `set` is called, then True for good; kept in the state dict.

    The flag is a tensor, so that it is saved, loaded and copied like a weight. While it is unset, asking reads it from
    the device; once that has given True, it is known and nothing waits for the device.
    """

    flag: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("flag", torch.zeros((), dtype=torch.bool))
        self.known = False
        self.register_load_state_dict_post_hook(_forget)

    def forward(self) -> bool:
        """Whether it is set."""
        self.known = self.known or bool(self.flag)
        return self.known

    def set(self) -> None:
        """Sets the flag."""
        self.flag.fill_(True)


def _forget(latch: nn.Module, _: object) -> None:
    latch.known = False  # type: ignore[assignment]
