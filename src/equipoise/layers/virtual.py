"""Batch normalisation by a reference batch that stays the same."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..checks import check_range
from ..numerics import wide
from .batchwise import Latch

Features = Float[Tensor, "b c *space"]
Moment = Float[Tensor, "... c"]


class VirtualBatchNorm(nn.Module):
    """gain_c (x - mean) / std + bias_c, moments of a reference batch and x alone (Salimans 2016, arXiv:1606.03498).

    Sec. 3.5: each sample is normalised by the moments of the n reference samples and itself, itself with weight
    1 / (n + 1). The other samples of its batch do not count, neither in training nor in evaluation. The reference
    samples themselves are normalised by their own moments.

    Run the network with `with_reference(net, reference, x)`: the moments of the reference batch then are those of the
    present weights, with their gradient. They are kept in the state dict, and a plain `net(x)` uses the last ones.

    >>> layer = VirtualBatchNorm(1)
    >>> _ = with_reference(layer, torch.tensor([[2.0], [4.0]]), torch.zeros(1, 1))
    >>> round(layer(torch.tensor([[6.0]])).item(), 3)  # 2, 4 and 6 have mean 4 and variance 8/3
    1.225
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        check_range(at_least=1, channels=channels)
        check_range(at_least=0, eps=eps)
        self.eps = eps
        self.reference_samples = 0  # how many samples at the head of the input are the reference batch
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.known = Latch()

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Normalises each sample; inside `with_reference` also the reference batch, which comes first."""
        if not self.reference_samples:
            self.require_reference()
            return self.normalise(x, *self.beside(x, self.mean, self.variance))
        reference, others = x[: self.reference_samples], x[self.reference_samples :]
        kept = self.keep_reference(reference)
        return torch.cat([self.normalise(reference, *kept), self.normalise(others, *self.beside(others, *kept))])

    def normalise(self, x: Features, mean: Moment, variance: Moment) -> Features:
        """gain (x - mean) / std + bias, for moments of all samples or of each, [c] or [b, c]."""
        parts = (mean, self.gain * (variance + self.eps).rsqrt(), self.bias)
        centre, scale, bias = (part.reshape(-1, x.shape[1], *[1] * (x.dim() - 2)) for part in parts)
        return ((wide(x) - centre) * scale + bias).to(x.dtype)

    def beside(self, x: Features, mean: Moment, variance: Moment) -> tuple[Moment, Moment]:
        """The moments of the reference batch and of each sample together, [b, c]."""
        pixels = wide(x).flatten(2) if x.dim() > 2 else wide(x)[:, :, None]
        own_mean, own_variance = moments(pixels)
        own, away = (self.count + 1).to(pixels.dtype).reciprocal(), own_mean - mean
        return mean + own * away, (1 - own) * variance + own * own_variance + own * (1 - own) * away.square()

    def lipschitz_bound(self) -> float:
        """max |gain| / sqrt(n v / (n + 1) + eps), v of the n samples of the reference: the largest slope at a sample.

        J = (I - w 11' / N - w aa' / (N s^2)) / s for N pixels of a sample, a their distances from the mean and w its
        own weight: what is taken from I is positive, and at most 1 + w.
        """
        variance = self.variance * self.count / (self.count + 1)
        return float((self.gain.detach().abs() / (variance + self.eps).sqrt()).max())

    def keep_reference(self, reference: Features) -> tuple[Moment, Moment]:
        """The moments of the reference batch, [c], with their gradient; keeps them without it."""
        mean, variance = moments(wide(reference).transpose(0, 1).flatten(1))
        self.mean.copy_(mean.detach())
        self.variance.copy_(variance.detach())
        self.count.fill_(len(reference))
        self.known.set()
        return mean, variance

    def require_reference(self) -> None:
        """Raises ValueError where no reference batch was set."""
        if not self.known():
            raise ValueError("this VirtualBatchNorm has no reference batch yet: run with_reference(net, reference, x)")


def moments(x: Float[Tensor, "*rest n"]) -> tuple[Float[Tensor, "*rest"], Float[Tensor, "*rest"]]:
    """Mean and variance over the last dimension; of no samples none, without a warning."""
    mean = x.mean(-1, keepdim=True)
    return mean[..., 0], (x - mean).square().mean(-1)


def with_reference(net: nn.Module, reference: Tensor, x: Tensor) -> Tensor:
    """net(x), in one run with net(reference), from which every VirtualBatchNorm of `net` takes its moments.

    The reference batch is the same one throughout training: keep it, say, as a buffer of the network.
    """
    check_range(at_least=1, samples_of_reference=len(reference))
    norms = [module for module in net.modules() if isinstance(module, VirtualBatchNorm)]
    for norm in norms:
        norm.reference_samples = len(reference)
    try:
        both: Tensor = net(torch.cat([reference, x]))
        return both[len(reference) :]
    finally:
        for norm in norms:
            norm.reference_samples = 0
