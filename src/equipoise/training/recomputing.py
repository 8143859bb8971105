"""Gradient checkpointing: what blocks compute is computed again in the backward instead of kept."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..networks.chain import Chain, in_turn, layers_of
from ..weights import WEIGHTED

IN_A_ROW = (Chain.forward, nn.Sequential.forward)  # and not what a subclass does besides


def recompute(net: nn.Module) -> nn.Module:
    """Keeps what goes into each block of a network for the backward, and computes the rest again (Chen 2016).

    "Training deep nets with sublinear memory cost", arXiv:1604.06174. A block is a layer of a chain that has a weight,
    with all that follows up to the next one, or a member of an `nn.ModuleList`. Results are the same, bit by bit on
    one machine: a block runs again with the buffers and the random numbers that it had. One more forward is what it
    costs. Changes the network in place and returns it.
    """
    if type(net).forward in IN_A_ROW and len([*segments(layers_of(net))]) > 1:
        vars(net)["forward"] = Segments(net)
    elif isinstance(net, nn.ModuleList):
        for block in net:
            if weighted(block):
                vars(block)["forward"] = Block(block)
    else:
        for child in net.children():
            recompute(child)
    return net


def segments(layers: Sequence[nn.Module]) -> Iterator[list[nn.Module]]:
    """Runs of layers, each of which but the first begins with one that has a weight.

    >>> [len(run) for run in segments([nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)])]
    [3, 1]
    """
    starts = [number for number, layer in enumerate(layers) if weighted(layer)][1:]
    for begin, end in zip([0, *starts], [*starts, len(layers)], strict=True):
        yield [*layers[begin:end]]


def weighted(block: nn.Module) -> bool:
    """Whether there is a layer with a weight in it, which a normalisation's gain is none of."""
    return any(isinstance(part, WEIGHTED) for part in block.modules())


class Block:
    """The forward of a block that is computed again."""

    def __init__(self, block: nn.Module) -> None:
        self.block = block

    def __call__(self, x: Tensor, *condition: Tensor | None) -> Tensor:
        """What the block makes of it."""
        return again([self.block], type(self.block).forward.__get__(self.block), x, *condition)


class Segments:
    """The forward of a chain whose runs of layers are computed again, one by one."""

    def __init__(self, chain: nn.Module) -> None:
        self.chain = chain

    def __call__(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The output of the last layer."""
        for part in segments(layers_of(self.chain)):
            x = again(part, partial(in_turn, part), x, condition)
        return x


def again(modules: Sequence[nn.Module], run: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
    """run(*inputs), whose backward runs it once more; a plain call where there is to be none."""
    if not torch.is_grad_enabled():
        return run(*inputs)
    now = AsItWas(modules)
    return cast(Tensor, checkpoint(run, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), now)))


class AsItWas(AbstractContextManager[None]):
    """Within, modules hold what they held when this was made, besides their weights; a backward may enter it twice."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = [part for module in modules for part in module.modules()]
        self.then = [copied(held(part)) for part in self.modules]

    def __enter__(self) -> None:
        self.now = [held(part) for part in self.modules]
        for part, then in zip(self.modules, self.then, strict=True):
            give(part, copied(then))

    def __exit__(self, *error: object) -> None:
        for part, now in zip(self.modules, self.now, strict=True):
            give(part, now)


class Held(NamedTuple):
    """What a module holds besides its weights."""

    buffers: dict[str, Tensor | None]
    rest: dict[str, Any]
    """The attributes that torch does not manage, and whether the module trains."""


def held(module: nn.Module) -> Held:
    """What a module holds now."""
    rest = {name: value for name, value in vars(module).items() if name[0] != "_" and name != "forward"}
    return Held(dict(module._buffers), rest)


def copied(of: Held) -> Held:
    """The same with buffers of its own, which are changed in place; other attributes are replaced, not changed."""
    return of._replace(buffers={name: x if x is None else x.clone() for name, x in of.buffers.items()})


def give(module: nn.Module, new: Held) -> None:
    """Lets a module hold these buffers, and these attributes and no others."""
    for name in held(module).rest:
        del vars(module)[name]
    vars(module).update(new.rest)
    module._buffers.update(new.buffers)
