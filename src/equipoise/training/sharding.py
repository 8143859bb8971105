"""Networks that no single device can hold: their weights are sharded over the processes (FSDP2)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from warnings import filterwarnings

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from ..layers.whole_batch import synchronize
from ..networks.chain import Chain
from ..processes import connected, is_sharded
from ..trees import map_leaves

WORTH = 10_000  # weights of a layer that is sharded by itself; smaller ones go with the network as a whole
CONTAINERS = (Chain, nn.Sequential, nn.ModuleList, nn.ModuleDict)


def shard(net: nn.Module, device: torch.device) -> None:
    """Moves a network to the devices of all processes, each of which keeps its part of every weight, in place.

    A layer is whole while it works, and no longer. Single numbers stay with all. Optimizers that are made afterwards
    have the same parts of moments. Gradients of what is sharded are means over all processes.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    filterwarnings("ignore", "FSDP2-wrapped module .* returned a view", UserWarning)  # nothing writes into outputs
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    synchronize(net)  # classes of layers change, and afterwards batch normalisation would not be known
    net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # FSDP2 knows no other
    numbers = {weight for weight in net.parameters() if not weight.ndim}
    for layer in units(net):
        if sum(weight.numel() for weight in layer.parameters()) >= WORTH:
            fully_shard(layer, mesh=mesh, ignored_params=numbers)
    fully_shard(net, mesh=mesh, reshard_after_forward=True, ignored_params=numbers)
    net.to(device)


def check_apart(nets: Mapping[str, nn.Module]) -> None:
    """Raises ValueError for networks that have weights in common, which can be sharded once only."""
    owners: dict[int, str] = {}
    for name, net in nets.items():
        for weight in net.parameters():
            if owners.setdefault(id(weight), name) != name:
                raise ValueError(f"{owners[id(weight)]} and {name} have weights in common, which cannot be sharded")


def units(net: nn.Module) -> Iterator[nn.Module]:
    """The layers of the chains of a network: what runs at once."""
    for child in net.children():
        if isinstance(child, CONTAINERS):
            yield from units(child)
        else:
            yield child


def unsharded(x: Tensor) -> Tensor:
    """All of a tensor: of one that is sharded by a message, to which all processes have to come."""
    if not is_sharded(x):
        return x
    with connected():
        return x.full_tensor()  # type: ignore[attr-defined]


def norm(gradients: Sequence[Tensor]) -> Tensor:
    """|g| over all gradients, of which some are sharded and some are not."""
    kinds = ([x for x in gradients if is_sharded(x) == kind] for kind in (True, False))
    found = [unsharded(nn.utils.get_total_norm(kind)) for kind in kinds if kind]
    return torch.stack(found).norm() if found else torch.zeros(())


def gathered(part: Any) -> Any:
    """The state of a module or an optimizer as on one process; the first process alone has the tensors, on its CPU.

    They are gathered one by one, so that no device ever holds more than one whole weight.
    """

    def gather(x: Tensor) -> Tensor:
        found = unsharded(x)
        return found.cpu() if dist.get_rank() == 0 else found.new_empty(0, device="cpu")

    return map_leaves(gather, part.state_dict())


def scatter(part: Any, saved: Any) -> None:
    """Takes over what `gathered` gave, whole on the CPU of each process, which keeps its part."""
    if isinstance(part, Optimizer):
        weights = [weight for group in part.param_groups for weight in group["params"]]
        moments = {at: {name: part_of(x, weights[at]) for name, x in own.items()} for at, own in saved["state"].items()}
        saved = {**saved, "state": moments}
    elif isinstance(part, nn.Module):
        now = part.state_dict()
        saved = {name: part_of(x, now[name]) for name, x in saved.items()}
    part.load_state_dict(saved)


def part_of(x: Any, weight: Any) -> Any:
    """A whole tensor sharded as a weight of the same shape is; anything else as it is."""
    from torch.distributed.tensor import distribute_tensor

    if not (isinstance(weight, Tensor) and is_sharded(weight) and isinstance(x, Tensor) and x.shape == weight.shape):
        return x
    mesh, placements = weight.device_mesh, weight.placements  # type: ignore[attr-defined]
    return distribute_tensor(x.to(weight.device), mesh, placements, src_data_rank=None)  # each has it: no message
