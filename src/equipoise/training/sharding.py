"""Networks that no single device can hold: their weights are shared out over the processes (FSDP2)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from warnings import filterwarnings

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..layers.whole_batch import synchronize
from ..networks.chain import Chain
from ..trees import map_leaves

WORTH = 10_000  # weights of a layer that is shared out by itself; smaller ones go with the network as a whole


def shard(net: nn.Module) -> None:
    """Leaves each process its part of every weight, in place; a layer is whole while it works, and no longer.

    Optimizers that are made afterwards have their parts of moments too. Gradients are means over all processes.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    filterwarnings("ignore", "FSDP2-wrapped module .* returned a view", UserWarning)  # nothing writes into outputs
    device = next(net.parameters()).device
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    synchronize(net)  # classes of layers change, and afterwards batch normalisation would not be known
    net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for layer in units(net):
        if sum(weight.numel() for weight in layer.parameters()) >= WORTH:
            fully_shard(layer, mesh=mesh)
    fully_shard(net, mesh=mesh, reshard_after_forward=True)


def units(net: nn.Module) -> Iterator[nn.Module]:
    """The layers of the chains of a network: what runs at once."""
    for child in net.children():
        if isinstance(child, Chain | nn.Sequential):
            yield from units(child)
        else:
            yield child


def is_sharded(weight: Tensor) -> bool:
    """Whether a process has a part of it alone."""
    return hasattr(weight, "full_tensor")


def whole(x: Tensor) -> Tensor:
    """All of a tensor; of one that is shared out by a message, to which all processes have to come."""
    return x.full_tensor() if is_sharded(x) else x  # type: ignore[attr-defined]


@contextmanager
def alone(weights: Sequence[Tensor], nets: nn.Module) -> Iterator[None]:
    """Within, no other weights are learnt: a backward cannot choose among weights that are shared out."""
    own = {id(weight) for weight in weights}
    others = [weight for weight in nets.parameters() if weight.requires_grad and id(weight) not in own]
    try:
        for weight in others:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in others:
            weight.requires_grad_(True)


def whole_state(part: Any) -> Any:
    """The state of a module or an optimizer, nothing of it shared out: as on one process."""
    return map_leaves(whole, part.state_dict())


def load_whole(part: Any, saved: Any) -> None:
    """Takes over what `whole_state` gave; a process keeps its part of what is shared out."""
    if isinstance(part, Optimizer):
        weights = [weight for group in part.param_groups for weight in group["params"]]
        of_each = {at: like(own, weights[at]) for at, own in saved["state"].items()}
        saved = {**saved, "state": of_each}
    elif isinstance(part, nn.Module):
        saved = like(saved, part.state_dict())
    part.load_state_dict(saved)


def like(saved: Mapping[str, Any], shared: Tensor | Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a state shared out as a weight of the same shape is, or as those of the same names are."""
    from torch.distributed.tensor import distribute_tensor

    found = {}
    for name, value in saved.items():
        own = shared if isinstance(shared, Tensor) else shared.get(name)
        alike = isinstance(own, Tensor) and is_sharded(own) and isinstance(value, Tensor) and own.shape == value.shape
        found[name] = distribute_tensor(value, own.device_mesh, own.placements) if alike else value  # type: ignore
    return found
