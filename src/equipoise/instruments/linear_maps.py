"""The linear map of a layer and its singular values: of the weight as a matrix, and of a convolution as an operator."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ..calls import ask
from ..norms.operator import SIZE, Convolution
from ..numerics import wide
from ..weights import layers, rows_of

DENSE = 512  # dimensions of an input up to which the matrix of an operator is made
SPARE = 2  # vectors in a block beyond the values that are asked for
Sizes = dict[str, list[int]]
Values = Float[Tensor, " values"]


def shown(layer: nn.Module) -> Tensor:
    """The weight that the layer works with, normalised if it is."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return wide(weight.detach())


def reshaped(layer: nn.Module) -> Values:
    """All singular values of the weight as a matrix [outputs, rest], by SVD."""
    return torch.linalg.svdvals(rows_of(layer).matrix(shown(layer)))


def operator(layer: nn.Module, size: list[int], top: int, steps: int) -> Values:
    """The largest singular values of a convolution on inputs of this size, stride, padding and groups included.

    Exact, by the SVD of its matrix, where inputs have up to 512 dimensions; beyond, from below by block Lanczos.
    """
    weight, convolution = shown(layer), Convolution(layer)
    shape = (convolution.inputs, *size)
    if prod(shape) <= DENSE:
        basis = torch.eye(prod(shape), dtype=weight.dtype, device=weight.device).view(-1, *shape)
        return torch.linalg.svdvals(convolution(basis, weight).flatten(1))[:top]
    return lanczos(convolution, weight, shape, top, steps)


def lanczos(convolution: Convolution, weight: Tensor, shape: tuple[int, ...], top: int, steps: int) -> Values:
    """sigma(A K), K = orth(X, A'A X, ..., (A'A)^q X) (Musco and Musco 2015, arXiv:1504.05477, Alg. 2).

    Every block is orthogonalised against all before it. Values are those of A on a subspace: never too large, and
    better with more steps; several equal ones are found, which a single vector would miss.
    """
    block = basis_of(torch.randn(prod(shape), top + SPARE, dtype=weight.dtype, device=weight.device))
    space, images = block[:, :0], []
    for _ in range(steps):
        space, x = torch.cat([space, block], 1), block.mT.reshape(-1, *shape)
        image, back = there_and_back(convolution, x, weight)
        images.append(image)
        block = back.flatten(1).mT
        for _ in range(2):  # once leaves rounding behind
            block = block - space @ (space.mT @ block)
        block = basis_of(block)
    return torch.linalg.svdvals(torch.cat(images).flatten(1))[:top]


def there_and_back(convolution: Convolution, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """A x and A'A x, the gradient of <A x, A x> / 2."""
    with torch.enable_grad():
        image = convolution(x.requires_grad_(), weight)
        (back,) = torch.autograd.grad(image, x, image.detach())
    return image.detach(), back


def basis_of(block: Float[Tensor, "n b"]) -> Float[Tensor, "n b"]:
    """An orthonormal basis of what the columns span."""
    return torch.linalg.qr(block).Q


def norm(layer: nn.Module, size: list[int] | None, steps: int) -> float:
    """The largest singular value: of a convolution's operator where a size is given, else of the matrix."""
    if isinstance(layer, _ConvNd) and size is not None:
        return operator(layer, size, 1, steps)[0].item()
    return reshaped(layer)[0].item()


def input_sizes(net: nn.Module, inputs: Tensor | None, labels: Tensor | None) -> Sizes:
    """Height and width of each convolution's input: those of its last one when `net` runs, else 16 in each direction.

    A convolution that is not run, or where there are no inputs to run on, has the latter, or its kernel's if larger.
    """
    convolutions = {name: layer for name, layer in layers(net) if isinstance(layer, _ConvNd)}
    sizes = {name: [max(SIZE, kernel) for kernel in layer.kernel_size] for name, layer in convolutions.items()}
    if inputs is not None and convolutions:
        with watched(convolutions, sizes):
            ask(net, inputs, labels)
    return sizes


@contextmanager
def watched(convolutions: dict[str, _ConvNd], sizes: Sizes) -> Iterator[None]:
    """Notes the size of what each convolution is given."""

    def note(name: str, inputs: tuple[Tensor, ...]) -> None:
        if inputs:
            sizes[name] = [*inputs[0].shape[-len(sizes[name]) :]]

    handles = [
        layer.register_forward_pre_hook(lambda layer, inputs, name=name: note(name, inputs))
        for name, layer in convolutions.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
