"""The loop: a generator of rounds, in which the players of a game take turns."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..checks import check_range
from ..layers.whole_batch import synchronize
from ..processes import ALONE, World, is_sharded
from ..profiling import span
from ..randomness import STEPS, mixed, seeded
from ..schedules import Rate, at
from ..trees import first, size
from .compiling import is_compiled
from .hidden import check_kept
from .loss_scale import LossScale
from .player import Batch, Player, Players, Turn
from .precision import FLOAT32, Precision
from .sharding import norm
from .state import State
from .statistics import Means, Stats, adapted

OWN = ("gradient", "loss_scale")  # statistics of every player


def steps(
    state: State,
    batches: Iterable[Batch],
    players: Players,
    *,
    ema_images: Rate = 10_000,
    pieces: int = 1,
    precision: Precision = FLOAT32,
    seed: int = 0,
    world: World = ALONE,
) -> Iterator[Stats]:
    """Plays rounds for as long as it is iterated, until the batches end; yields the statistics of each.

    In a round every player makes its updates in turn; each statistic is the mean over them, "d.loss", and stays on the
    device. `ema_images` is the half-life of the averages. Latents are drawn from (seed, images seen), other randomness
    from (seed, rank, images seen), so that a resumed run is the same run. The processes of a `world` each get their
    share of every batch, and begin from the first one's state; sharded weights have to be parts of equal networks.

    `pieces` is into how many parts a batch is split, one after the other, to save memory. The result is that of the
    whole batch, but batch normalisation, minibatch statistics, power iteration and augmentations are those of a piece.
    """
    check_range(at_least=1, pieces=pieces)
    check_range(at_least=0, ema_images=ema_images)
    check_players(players)
    check_kept(state, players)
    if precision.needs_scale:
        state.scale_losses()
    if world.size > 1:
        synchronize(state.nets)
        world.agree(state.tensors())
    for part in (*(state.nets[name] for name in state.moved), state.components):
        train(part)
    stream, batch, following = iter(batches), None, state.following()
    while True:
        begin, means, kept = state.seen, Means(), [dict[str, Any]() for _ in range(pieces)]
        plan = [name for name, player in players.items() for _ in range(round(at(player.updates, begin)))]
        with span("data"):
            fresh = [*islice(stream, sum(players[name].fresh for name in plan))]
        if len(fresh) < sum(players[name].fresh for name in plan):
            return
        if not plan or not players[plan[0]].fresh:
            raise ValueError("a round begins with an update on a fresh batch: its updates must be at least 1")
        state.begun, unseen, device = begin, iter(fresh), first(fresh[0]).device
        randomness = seeded(mixed(seed, world.rank, begin, STEPS), device)
        with randomness, precision.settings(device), world.active():
            for follow in following:
                follow(begin)
            for number, name in enumerate(plan):
                player = players[name]
                batch = next(unseen) if player.fresh else batch
                drawn = mixed(seed, begin, STEPS, number)
                turn = Turn(state.nets, batch, begin, seed=drawn, world=world, dtype=precision.of_critics)
                with span(f"{name}: forward"):
                    means.add(move(player, name, state, turn, kept, precision), f"{name}.")
                with span(f"{name}: after"):
                    player.after(turn.as_whole(kept))
                state.seen += player.fresh * size(batch) * world.size
            with span("averages"):
                state.average(state.seen - begin, at(ema_images, begin))
            means.add(adapted(state.components))
        yield means.means()


def move(
    player: Player, name: str, state: State, turn: Turn, kept: Sequence[dict[str, Any]], precision: Precision
) -> Stats:
    """One update of a player of that name; its terms and the norm of its gradient.

    Gradients reach the player's own weights alone, so that no other network has to be frozen, but where weights are
    sharded or a network is compiled. Gradients that overflow in float16 are no update and have no norm.
    """
    optimizer = state.optimizers[name]
    scale = cast(LossScale, state.scales[name]) if precision.needs_scale else None
    weights = [weight for group in optimizer.param_groups for weight in group["params"] if weight.requires_grad]
    optimizer.zero_grad(set_to_none=True)
    means, frozen = Means(), state.sharded or any(map(is_compiled, state.nets.values()))
    for piece in turn.in_pieces(kept):
        with moving_alone(weights, state.nets) if frozen else nullcontext():
            with precision.autocast(turn.device):
                terms = player.objective(piece)
            total = torch.stack([*terms.values()]).sum() if terms else torch.zeros(())
            if total.requires_grad:
                with span(f"{name}: backward"):
                    mean = total / len(kept)
                    chosen = None if frozen else weights
                    (mean if scale is None else scale(mean)).backward(inputs=chosen)
        if {*OWN, *piece.notes} & {*terms} or {*OWN} & {*piece.notes}:
            raise ValueError(
                f"terms and notes need names of their own, other than {' and '.join(OWN)}: {[*terms, *piece.notes]}"
            )
        means.add(dict(terms) | piece.notes)
    turn.world.average_gradients([weight for weight in weights if not is_sharded(weight)])
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    with span(f"{name}: optimizer"):
        usable = scale is None or not gradients or scale.unscale(gradients)
        if gradients and usable:
            optimizer.step()
    stats = means.means()
    if scale is not None:
        stats["loss_scale"] = scale.scale.clone()
    if scale is None or usable or scale.exhausted:  # an overflow has no norm, unless it is none of the factor's
        stats["gradient"] = norm(gradients).to(turn.device)
    return stats


@contextmanager
def moving_alone(weights: Iterable[Tensor], nets: nn.Module) -> Iterator[None]:
    """Within, no other weights ask for a gradient.

    A backward cannot choose among sharded weights, and of a compiled network it is for all that asked for one.
    """
    own = {id(weight) for weight in weights}
    others = [weight for weight in nets.parameters() if weight.requires_grad and id(weight) not in own]
    try:
        for weight in others:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in others:
            weight.requires_grad_(True)


def train(module: nn.Module) -> None:
    """Puts a module in training mode, but for parts of it that are frozen and in eval mode, such as a backbone."""
    weights = [*module.parameters()]
    if weights and not module.training and not any(weight.requires_grad for weight in weights):
        return
    module.training = True
    for child in module.children():
        train(child)


def check_players(players: Players) -> None:
    """Raises ValueError for a game that nobody can begin."""
    if not players or not next(iter(players.values())).fresh:
        raise ValueError("the first player of a round takes a fresh batch: Player(..., fresh=True)")
