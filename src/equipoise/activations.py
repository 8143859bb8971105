"""Activations between the layers of a network, and how to exchange those of a network from outside."""

from collections.abc import Sequence
from copy import deepcopy
from fnmatch import fnmatch
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.functional import softplus

Net = TypeVar("Net", bound=nn.Module)


def relu() -> nn.Module:
    """max(x, 0) (Nair and Hinton 2010)."""
    return nn.ReLU()


def leaky_relu(slope: float = 0.2) -> nn.Module:
    """max(x, 0) + slope min(x, 0) (Maas 2013; 0.2 by Radford 2016, arXiv:1511.06434)."""
    return nn.LeakyReLU(slope)


def elu() -> nn.Module:
    """x above 0 and e^x - 1 below (Clevert 2016, arXiv:1511.07289); its second derivative jumps at 0."""
    return nn.ELU()


def smooth_elu() -> nn.Module:
    """softplus(2x + 2) / 2 - 1 (Gulrajani 2017, arXiv:1704.00028, Sec. 4): ELU with a continuous second derivative.

    For critics under a penalty of their gradient, which is trained by second derivatives.
    """
    return SmoothELU()


def silu() -> nn.Module:
    """x sigmoid(x), also called swish (Hendrycks and Gimpel 2016, arXiv:1606.08415; Elfwing 2018, arXiv:1702.03118)."""
    return nn.SiLU()


def gelu() -> nn.Module:
    """x P(n < x), n ~ N(0, 1) (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""
    return nn.GELU()


def tanh() -> nn.Module:
    """tanh(x), smooth and bounded."""
    return nn.Tanh()


class SmoothELU(nn.Module):
    """softplus(2x + 2) / 2 - 1."""

    def forward(self, x: Tensor) -> Tensor:
        """About x far above 0, and -1 far below."""
        return softplus(2 * x + 2) / 2 - 1


TORCH_HAS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.SiLU, nn.GELU, nn.Mish)
HIDDEN: tuple[type[nn.Module], ...] = (*TORCH_HAS, nn.Softplus, nn.Hardswish, SmoothELU)


def apply(
    activation: nn.Module, net: Net, skip: str | Sequence[str] = (), also: tuple[type[nn.Module], ...] = ()
) -> Net:
    """Puts a copy of `activation` wherever `net` has a module that is a hidden activation, in place; returns `net`.

    Hidden activations are those of `HIDDEN` and the classes in `also`; `nn.Tanh` and `nn.Sigmoid` are not, since they
    end networks. `skip` names modules to leave alone, by patterns such as `"head.*"`. Weights stay as they are, also
    where they were initialised for another activation.

    >>> apply(silu(), nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1), nn.Tanh()))
    Sequential(
      (0): Linear(in_features=2, out_features=2, bias=True)
      (1): SiLU()
      (2): Linear(in_features=2, out_features=1, bias=True)
      (3): Tanh()
    )
    """
    patterns = [skip] if isinstance(skip, str) else skip
    kinds = (*HIDDEN, *also)
    names = [name for name, module in net.named_modules(remove_duplicate=False) if name and isinstance(module, kinds)]
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in names):
            raise ValueError(f"no activation to skip is called {pattern!r}; activations: {', '.join(names)}")
    chosen = [name for name in names if not any(fnmatch(name, pattern) for pattern in patterns)]
    if not chosen:
        raise ValueError(f"{type(net).__name__} has no module that is a hidden activation, nothing to exchange")
    for name in chosen:
        net.set_submodule(name, deepcopy(activation), strict=True)
    return net
