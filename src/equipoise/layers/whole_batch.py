"""Batch normalisation over the batches of all processes that train together."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..numerics import wide
from ..processes import current, whole

Features = Float[Tensor, "b c *space"]


class AnyBatchNorm(nn.BatchNorm2d):
    """Batch normalisation of features of any number of dimensions: [b, c], [b, c, h, w]...

    In training mode the moments are those of the whole batch, of which each process has an equal share.
    """

    def forward(self, x: Features) -> Features:
        """gain (x - mean) / sqrt(variance + eps) + bias, gain and bias where the layer is affine."""
        of_batch = self.training or self.running_mean is None
        return self.over_processes(x) if of_batch and current().size > 1 else super().forward(x)

    def over_processes(self, x: Features) -> Features:
        """The same with the moments of all processes, in one message: variances add up with those of the means."""
        per_channel = (1, -1, *[1] * (x.dim() - 2))
        samples = [0, *range(2, x.dim())]
        of_share = torch.stack([wide(x).mean(samples), wide(x).var(samples, correction=0)])
        means, variances = whole(of_share[None]).unbind(1)
        center = means.mean(0)
        variance = (variances + (means - center).square()).mean(0)
        if self.training and self.running_mean is not None:
            self.follow(center.detach(), variance.detach(), current().size * x.numel() // x.shape[1])
        centred = wide(x) - center.view(per_channel)
        scaled = centred * (variance + self.eps).rsqrt().view(per_channel)
        if self.affine:
            scaled = scaled * self.weight.view(per_channel) + self.bias.view(per_channel)
        return scaled.to(x.dtype)

    @torch.no_grad()
    def follow(self, center: Tensor, variance: Tensor, values: int) -> None:
        """Moves the running moments, as torch does: the variance is that of a sample."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        step = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(center.to(self.running_mean), step)
        self.running_var.lerp_((variance * values / max(values - 1, 1)).to(self.running_var), step)

    def _check_input_dim(self, x: Tensor) -> None:
        pass


def synchronize(net: nn.Module) -> None:
    """Makes every batch normalisation one of all processes, in place: optimizers know its weights already.

    Raises ValueError for a class of somebody else's, whose moments would be those of one process.
    """
    for module in net.modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            module.__class__ = AnyBatchNorm
        elif isinstance(module, _BatchNorm) and not isinstance(module, AnyBatchNorm) and module.training:
            raise ValueError(
                f"{type(module).__name__} would normalise by the batch of one process alone: use nn.BatchNorm2d, "
                f"or equipoise.processes.mean_of_all"
            )
