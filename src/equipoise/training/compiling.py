"""Networks compiled by torch.compile, which alone gives no gradients of gradients."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache, partial
from logging import getLogger
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..calls import ask
from ..critic import per_sample, taken_apart
from ..numerics import wide
from ..trees import map_leaves

log = getLogger("equipoise.training")
Seen = tuple[int, Any, Any]
"""The number of a layer, what it has taken and what it has given."""


def compiled(net: nn.Module, **how: Any) -> nn.Module:
    """Compiles a network by torch.compile when it runs first, for each shape of its inputs.

    Needs a C++ compiler on a CPU and Triton on a GPU. Penalties on the gradient of the discriminator work, which they
    do not after `torch.compile(D)`: theirs is compiled too, by torch.func, unless a layer of D changes its buffers in
    the forward, as spectral norm and batch normalisation do. What draws random numbers draws those that it would draw
    otherwise. `how` is for torch.compile; with a mode or another backend random numbers are that one's own. Changes the
    network in place and returns it; raises ValueError for one that is compiled or recomputed already.
    """
    if any("forward" in vars(part) for part in net.modules()):
        raise ValueError("this network, or a part of it, is compiled or recomputed already")
    vars(net)["forward"] = Compiled(net, settings(**how), {*inner_hooks(net)})
    return net


def settings(**how: Any) -> dict[str, Any]:
    """The arguments of torch.compile: shapes are static, and random numbers those of eager where it can have them."""
    usual = {"dynamic": False} | how
    if "mode" in how or how.get("backend", "inductor") != "inductor":
        return usual
    return usual | {"options": {"fallback_random": True} | how.get("options", {})}


def is_compiled(net: nn.Module) -> bool:
    """Whether `compiled` has changed it."""
    return isinstance(net.forward, Compiled)


class Compiled:
    """The forward of a network, compiled, also with the outputs of inner layers that hooks ask for."""

    def __init__(self, net: nn.Module, how: dict[str, Any], hooks: set[tuple[nn.Module, Any]]) -> None:
        self.net, self.how, self.hooks = net, how, hooks  # these are compiled too
        self.forward = type(net).forward.__get__(net)
        self.runs: dict[tuple[nn.Module, ...], Callable[..., Any]] = {}
        self.gradient: Callable[..., Tensor] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Compiled":
        """Of a copied network, compiled anew."""
        return Compiled(deepcopy(self.net, memo), self.how, deepcopy(self.hooks, memo))

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """What the network returns; hooks on the outputs of inner layers see them when it has."""
        new = [found for found in inner_hooks(self.net) if found not in self.hooks]
        if any(hook in layer._forward_pre_hooks.values() for layer, hook in new):  # they may change inputs
            return self.forward(*inputs, **named)
        layers = tuple(dict.fromkeys(layer for layer, _ in new))
        if layers not in self.runs:
            self.runs[layers] = self.watching(layers)
        output, seen = self.runs[layers](*inputs, **named)
        for number, taken, given in seen:
            for hook in [hook for layer, hook in new if layer is layers[number]]:
                if hook(layers[number], taken, given) is not None:
                    raise ValueError("a hook that changes what a layer gives has to be there before `compiled`")
        return output

    def watching(self, layers: Sequence[nn.Module]) -> Callable[..., Any]:
        """The forward, compiled: what it gives, and what each of these layers, by its number, has taken and given."""
        seen: list[Seen] = []

        def run(*inputs: Any, **named: Any) -> Any:
            return self.forward(*inputs, **named), [*seen]

        fast = self.compile(run)
        hooks = [OrderedDict[int, Any](self.own_hooks(layer)) for layer in layers]
        for number, of_layer in enumerate(hooks):
            of_layer[-1] = partial(keep, seen, number)

        def watched(*inputs: Any, **named: Any) -> Any:
            seen.clear()
            with hooked(layers, hooks):
                return fast(*inputs, **named)

        return watched

    def own_hooks(self, layer: nn.Module) -> Iterator[tuple[int, Any]]:
        """The hooks on its outputs that it had from the beginning, by their key."""
        return (item for item in layer._forward_hooks.items() if (layer, item[1]) in self.hooks)

    def input_gradient(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """The gradient of each sample's logit with respect to x, differentiable in the weights."""
        if self.net._forward_pre_hooks or self.net._forward_hooks:  # such as those of norms of all layers together
            return self.plain_gradient(x, labels)
        if self.gradient is not None:
            return self.gradient(x, labels)

        def gradient(x: Tensor, labels: Tensor | None) -> Tensor:
            return torch.func.grad(partial(total, self.forward))(x, labels)

        self.gradient = self.compile(gradient, fullgraph=True)
        try:
            return self.gradient(x, labels)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # a layer that changes its buffers, such as batch normalisation
            log.debug("torch.func cannot have it: %s", error)
            say_once("penalties on gradients are not compiled, since a layer does what torch.func cannot follow")
            self.gradient = self.plain_gradient
        return self.gradient(x, labels)

    def plain_gradient(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """The same by torch.autograd, of the network as it was."""
        x = x if x.requires_grad else x.detach().requires_grad_()
        now = vars(self.net).pop("forward")
        try:
            logits = total(self.net, x, labels)
        finally:
            vars(self.net)["forward"] = now
        return torch.autograd.grad(logits, x, create_graph=True)[0]

    def compile(self, function: Callable[..., Any], **how: Any) -> Callable[..., Any]:
        """The function compiled, as one with code of its own: torch gives up code that it has compiled too often."""
        function = cast(FunctionType, function)
        code, closure = function.__code__.replace(), function.__closure__
        return torch.compile(FunctionType(code, function.__globals__, closure=closure), **self.how, **how)


def total(D: Callable[..., Any], x: Tensor, labels: Tensor | None) -> Tensor:
    """The sum of all samples' logits."""
    return per_sample(map_leaves(wide, taken_apart(ask(D, x, labels)).logits), len(x)).sum()


@cache
def say_once(problem: str) -> None:
    """Once in a process, however many networks have the problem."""
    log.warning(problem)


def inner_hooks(net: nn.Module) -> Iterator[tuple[nn.Module, Any]]:
    """The forward hooks of the modules inside, with the module."""
    for layer in net.modules():
        if layer is not net:
            yield from ((layer, hook) for hook in (*layer._forward_pre_hooks.values(), *layer._forward_hooks.values()))


def keep(seen: list[Seen], number: int, layer: nn.Module, taken: Any, given: Any) -> None:
    """A hook that keeps what a layer has taken and given."""
    seen.append((number, taken, given))


@contextmanager
def hooked(layers: Sequence[nn.Module], hooks: Sequence[OrderedDict[int, Any]]) -> Iterator[None]:
    """Within, layers have these hooks on their outputs and no others."""
    before = [layer._forward_hooks for layer in layers]
    try:
        for layer, now in zip(layers, hooks, strict=True):
            layer._forward_hooks = now
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer._forward_hooks = was
