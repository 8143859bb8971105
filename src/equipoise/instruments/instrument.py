"""What an instrument is: a function of a critic and of both sides that leaves everything as it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, Protocol, cast, overload, runtime_checkable

import torch
from torch import Tensor, nn

from ..critic import Critic, CriticLike, Fakes, Images
from ..metrics.full_precision import exact
from ..randomness import seeded
from ..weights import device_of

Readings = dict[str, float | list[float]]
"""Numbers by name."""


@dataclass(frozen=True)
class Instrument:
    """A measurement of a network: of its weights alone, or of what it says of images.

    One of your own is any function `(critic, real, fake)` that returns numbers by name.
    """

    name: str
    measure: Callable[..., Readings]
    of: Literal["weights", "critics"] = "critics"

    def __call__(self, critic: CriticLike, real: Images | None = None, fake: Fakes | None = None) -> Readings:
        """The numbers of a network, or of a `Critic`, which also holds labels, on real and fake images."""
        asked = Critic.of(critic)
        if self.of == "critics" and (real is None or fake is None):
            raise ValueError(f"{self.name} looks at images of both sides: {self.name}(D, real, fake)")
        if self.of == "weights" and not isinstance(asked.D, nn.Module):
            raise ValueError(f"{self.name} measures the weights of a network, not a {type(asked.D).__name__}")
        with undisturbed(asked.D):
            return self.measure(asked, real, fake)


@runtime_checkable
class Measuring(Protocol):
    """A function that measures a network, or without one makes an instrument of its options."""

    @overload
    def __call__(
        self, critic: CriticLike, real: Images | None = None, fake: Fakes | None = None, /, **options: Any
    ) -> Readings: ...

    @overload
    def __call__(self, **options: Any) -> Instrument: ...


def measuring(make: Callable[..., Instrument]) -> Measuring:
    """`spectrum(top=8)` is an instrument to keep, and `spectrum(D, top=8)` measures at once."""

    @wraps(make)
    def measured(*critic_and_images: Any, **options: Any) -> Instrument | Readings:
        instrument = make(**options)
        return instrument(*critic_and_images) if critic_and_images else instrument

    return cast(Measuring, measured)


@contextmanager
def undisturbed(net: Callable[..., Any], seed: int = 0) -> Iterator[None]:
    """Inside, float32 and evaluation mode, random numbers of the seed; afterwards everything is as it was before.

    That is, global random state, the modes of all modules and their buffers, such as the u and v of power iteration.
    Gradients are to be taken by `torch.autograd.grad`, which leaves those of the weights alone.
    """
    modules = [*net.modules()] if isinstance(net, nn.Module) else []
    modes = [module.training for module in modules]
    buffers = [(m, name, b, b.clone()) for m in modules for name, b in m._buffers.items() if b is not None]
    device = device_of(net)
    try:
        for module in modules:
            module.training = False  # not `eval()`, which a module may have changed
        with seeded(seed, device), exact(device):
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        for module, name, buffer, before in buffers:
            restore(module, name, buffer, before)


@torch.no_grad()
def restore(module: nn.Module, name: str, buffer: Tensor, before: Tensor) -> None:
    """Gives a module its buffer back, the same tensor with the same numbers."""
    module._buffers[name] = buffer
    if not torch.equal(buffer, before):
        buffer.copy_(before)
