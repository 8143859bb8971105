"""Instruments of weights: singular values, and what follows from them."""

from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any, Literal, NoReturn, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.parametrize import is_parametrized

from ..checks import check_choice, check_range
from ..critic import Critic, Fakes, Images
from ..norms.operator import OperatorSpectral
from ..norms.parametrization import PowerIteration, chain_of
from ..numerics import wide
from ..weights import flat, layers
from .instrument import Instrument, Readings, measuring
from .linear_maps import Values, input_sizes, norm, operator, reshaped

STEPS = 16  # blocks of Lanczos
BICUBIC = 1.375**2  # the sizes of the weights of cubic interpolation add up to at most 1.375 along each dimension
SEVERAL = (nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)  # layers whose weights have other names


@measuring
def spectrum(*, top: int = 4, steps: int = STEPS) -> Instrument:
    """sigma_i(W) of each layer, as a matrix [outputs, rest] and as an operator (Musco 2015, arXiv:1504.05477, Alg. 2).

    `layer.reshaped` has all values of the matrix, exactly. `layer.operator` has the `top` largest ones of a convolution
    as a map from images to images, on inputs of the size that the layer has when the network runs on `real` (of a
    generator, what it starts from), 16 in each direction where none are given. These are exact for inputs of up to 512
    dimensions; above they come from `steps` blocks of Lanczos, never too large, and of the default within a per cent of
    the exact ones. An FFT would be exact for circular padding and stride 1 alone (Sedghi 2019, arXiv:1805.10408).
    Recurrent, bilinear and attention layers have a matrix for each of their weights.

    >>> D = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", bias=False))
    >>> nn.init.ones_(D[0].weight) is D[0].weight
    True
    >>> [round(values[0], 3) for values in spectrum(D, torch.zeros(1, 1, 8, 8)).values()]  # |W|_F, and its sum
    [3.0, 9.0]
    """
    check_range(at_least=1, top=top, steps=steps)

    def measure(critic: Critic, real: Images | None, fake: Fakes | None) -> Readings:
        found: Readings = {}
        sizes = input_sizes(net_of(critic), real, critic.labels)
        convolutions = {name: layer for name, layer in layers(net_of(critic)) if name in sizes}
        for name, values in spectra(critic).items():
            found[f"{name}.reshaped"] = values.tolist()
            if name in convolutions:
                found[f"{name}.operator"] = operator(convolutions[name], sizes[name], top, steps).tolist()
        return found

    return Instrument("spectrum", measure, "weights")


@measuring
def effective_rank() -> Instrument:
    """exp(H(p)), p_i = sigma_i / sum sigma, of each layer's weight as a matrix (Roy and Vetterli 2007).

    Between 1 and the rank: how many directions a layer uses; 0 of a weight that is 0.

    >>> layer = nn.Linear(4, 4)
    >>> _ = nn.init.eye_(layer.weight)
    >>> effective_rank(nn.Sequential(layer))
    {'0': 4.0}
    """

    def rank(values: Values) -> float:
        if not values.any():
            return 0.0
        p = values.double() / values.double().sum()
        return torch.special.entr(p).sum().exp().item()

    def measure(critic: Critic, real: Images | None, fake: Fakes | None) -> Readings:
        return {name: rank(values) for name, values in spectra(critic).items()}

    return Instrument("effective_rank", measure, "weights")


@measuring
def lipschitz_bound(*, kind: Literal["operator", "reshaped"] = "operator", steps: int = STEPS) -> Instrument:
    """prod sigma(W_l) over layers, an upper bound of |D|_Lip (Miyato 2018, arXiv:1802.05957, Eq. 7).

    It holds for a chain of layers, one that stands in it twice counted twice. Batch normalisation counts with
    max |gamma| / sqrt(variance), other normalisations with max |gamma| / sqrt(eps), activations with their largest
    derivative, affine layers with their largest gain, upsampling, overlapping pools and padding with the square root of
    how many times they may give a pixel on, a module that has a method `lipschitz_bound()` with what that gives;
    embeddings of labels do not count. What a forward does besides, a shortcut or a sum over pixels, recurrent, bilinear
    and attention layers, and modules of one's own, which count with 1, are not seen. `kind="reshaped"` is the paper's,
    whose factor for a convolution may be too small by up to the square root of the kernel's area.

    >>> D = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    >>> D[0].weight.data, D[2].weight.data = 2 * torch.eye(3), 5 * torch.eye(3)
    >>> lipschitz_bound(D)
    {'lipschitz_bound': 10.0}
    """
    check_choice(kind, ["operator", "reshaped"], f"kind cannot be {kind!r}")
    check_range(at_least=1, steps=steps)

    def measure(critic: Critic, real: Images | None, fake: Fakes | None) -> Readings:
        sizes = input_sizes(net_of(critic), real, critic.labels) if kind == "operator" else {}
        times = Counter(module for _, module in net_of(critic).named_modules(remove_duplicate=False))
        weighted = [(n, layer) for n, layer in layers_of(critic) if not isinstance(layer, nn.Embedding)]
        norms = [norm(layer, sizes.get(name), steps) ** times[layer] for name, layer in weighted]
        others = [factor(module) ** count for module, count in times.items()]
        return {"lipschitz_bound": prod(norms + others)}

    return Instrument("lipschitz_bound", measure, "weights")


@measuring
def sigma_error(*, steps: int = STEPS) -> Instrument:
    """sigma' / sigma - 1 of each spectrally normalised layer: what power iteration has found, against the SVD.

    sigma' is what the weight was divided by, sigma its norm: at -0.05 the normalised weight has norm 1.05. Power
    iteration finds norms from below, u'Wv <= sigma, so that the error is not positive; of an operator, whose sigma is
    found from below too, it may be by a little. Of PyTorch's own spectral normalisation as well.
    """
    check_range(at_least=1, steps=steps)

    def measure(critic: Critic, real: Images | None, fake: Fakes | None) -> Readings:
        known = {name: estimate(layer, steps) for name, layer in layers_of(critic)}
        found: Readings = {name: error for name, error in known.items() if error is not None}
        if not found:
            raise ValueError(f"no layer of {type(critic.D).__name__} is spectrally normalised")
        return found

    return Instrument("sigma_error", measure, "weights")


def net_of(critic: Critic) -> nn.Module:
    """The network, which the instrument has made sure is one."""
    return cast(nn.Module, critic.D)


def spectra(critic: Critic) -> dict[str, Values]:
    """All singular values of each weight as a matrix, by the layer's name; of a layer with several, by theirs."""
    found = {name: reshaped(layer) for name, layer in layers(net_of(critic))}
    for name, module in net_of(critic).named_modules():
        if isinstance(module, SEVERAL):
            weights = ((part, weight) for part, weight in module.named_parameters(name, False) if weight.ndim > 1)
            found |= {part: torch.linalg.svdvals(flat(wide(weight.detach()))) for part, weight in weights}
    return found or nothing_in(critic)


def nothing_in(critic: Critic) -> NoReturn:
    """Raises ValueError for a network without weights."""
    raise ValueError(f"{type(critic.D).__name__} has no layer with a weight")


def layers_of(critic: Critic) -> list[tuple[str, nn.Module]]:
    """The layers with a weight, by name; raises ValueError where there are none."""
    return [*layers(net_of(critic))] or nothing_in(critic)


def estimate(layer: nn.Module, steps: int) -> float | None:
    """sigma' / sigma - 1 of a layer, whose weight is shown with norm sigma / sigma'; None without normalisation."""
    size, gain = None, 1.0
    if is_parametrized(layer, "weight") and isinstance(one := chain_of(layer)[0], PowerIteration):
        size = [*one.v.shape[2:]] if isinstance(one, OperatorSpectral) else None
        gain = 1.0 if one.gain is None else one.gain.detach().abs().item()
    elif not is_torchs(layer):
        return None
    value = norm(layer, size, steps)
    return gain / value - 1 if value else 0.0


def is_torchs(layer: nn.Module) -> bool:
    """Whether PyTorch's own spectral normalisation is on the weight, the parametrization or the older hook."""
    if is_parametrized(layer, "weight"):
        return hasattr(chain_of(layer)[0], "_u")
    return hasattr(layer, "weight_orig") and hasattr(layer, "weight_u")


LARGEST_DERIVATIVES: dict[type, Callable[[nn.Module], float]] = {
    nn.GELU: lambda module: 1.129,
    nn.SiLU: lambda module: 1.0999,
    nn.Mish: lambda module: 1.0885,
    nn.SELU: lambda module: 1.7581,
    nn.Hardswish: lambda module: 1.5,
    nn.RReLU: lambda module: max(1.0, abs(cast(nn.RReLU, module).lower), abs(cast(nn.RReLU, module).upper)),
    nn.ELU: lambda module: max(1.0, cast(nn.ELU, module).alpha),
    nn.LeakyReLU: lambda module: max(1.0, abs(cast(nn.LeakyReLU, module).negative_slope)),
    nn.PReLU: lambda module: max(1.0, cast(nn.PReLU, module).weight.detach().abs().max().item()),
}


PADS = (nn.modules.padding._ReflectionPadNd, nn.modules.padding._CircularPadNd, nn.modules.padding._ReplicationPadNd)
POOLS = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.LPPool1d, nn.LPPool2d, nn.LPPool3d, nn.Unfold),
)


def of_upsampling(module: Any) -> float:
    """sqrt(how many times a pixel is given on), in two dimensions unless the factors are stated one by one."""
    scale = module.scale_factor or 1.0
    each = scale if isinstance(scale, tuple) else (scale, scale)
    return prod(map(float, each)) ** 0.5 * (BICUBIC if module.mode == "bicubic" else 1.0)


def of_padding(module: nn.Module) -> float:
    """sqrt(how many times a pixel at most is there afterwards)."""
    sides = cast(tuple[int, ...], module.padding)
    if not isinstance(module, nn.modules.padding._ReplicationPadNd):
        sides = tuple(map(bool, sides))  # twice, of either side, however wide
    return prod(1 + before + after for before, after in zip(sides[::2], sides[1::2], strict=True)) ** 0.5


def of_pool(module: Any) -> float:
    """sqrt(in how many windows a pixel is), and what a sum of powers or a mean makes of a window."""
    dimensions = 2 if isinstance(module, nn.Unfold) else int(type(module).__name__[-2])
    each = lambda value: value if isinstance(value, tuple) else (value,) * dimensions
    kernel, stride = each(module.kernel_size), each(module.stride or module.kernel_size)
    spread = each(getattr(module, "dilation", 1))
    windows = prod(k if by > 1 else -(-k // step) for k, step, by in zip(kernel, stride, spread, strict=True))
    power = getattr(module, "norm_type", 2.0)
    if "Avg" in type(module).__name__:
        cut = each(0 if getattr(module, "count_include_pad", True) else module.padding)
        fewest = prod(k - pad for k, pad in zip(kernel, cut, strict=True))  # pixels of a window at a corner
        return max(1.0, windows / fewest) ** 0.5
    return windows**0.5 * max(1.0, prod(kernel) ** (1 / power - 0.5))


def factor(module: nn.Module) -> float:
    """What a module without a linear map's weight contributes: 1, unless it can make differences larger."""
    if isinstance(module, PowerIteration):
        return 1.0  # its gain is in the weight
    for kind, of in LARGEST_DERIVATIVES.items():
        if isinstance(module, kind):
            return of(module)
    if isinstance(module, _BatchNorm) and module.running_var is not None:
        return (largest_gain(module.weight, module.running_var) / (module.running_var + module.eps).sqrt()).max().item()
    if callable(own := getattr(module, "lipschitz_bound", None)):
        return float(own())
    for kinds, of_kind in ((nn.Upsample, of_upsampling), (PADS, of_padding), (POOLS, of_pool)):
        if isinstance(module, kinds):
            return of_kind(module)
    if isinstance(module, _BatchNorm | _InstanceNorm | nn.LayerNorm | nn.GroupNorm):
        return largest_gain(module.weight, torch.ones(1)).max().item() / float(module.eps) ** 0.5
    gain = getattr(module, "gain", None)  # of an affine layer
    return gain.detach().abs().max().item() if isinstance(gain, Tensor) else 1.0


def largest_gain(gain: Tensor | None, like: Tensor) -> Tensor:
    """|gamma|, 1 where there is none."""
    return torch.ones_like(like) if gain is None else gain.detach().abs()
