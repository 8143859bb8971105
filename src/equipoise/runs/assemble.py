"""From a recipe to objects: the only place where strings become what they name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from .. import (
    activations,
    augment,
    constraints,
    games,
    growth,
    losses,
    networks,
    norms,
    optimizers,
    penalties,
)
from ..checks import check_pieces
from ..growth import Growth
from ..labels import LabelSpace
from ..layers import TPReLU, TReLU
from ..losses import CriticLoss, Loss
from ..networks import ImageShape
from ..networks.growing import growing
from ..penalties.on_weights import OF_WEIGHTS
from ..processes import ALONE, World
from ..recipe import Recipe, known
from ..schedules import Length, Rate, lasting
from ..spec import build, find
from ..training import Batch, Players, Precision, State, Stats, compiled, recompute, role, steps
from ..training.precision import PRECISIONS

PARTS = ("loss", "penalties", "g_penalties", "constraint", "augment")
"""The fields of a recipe that are arguments of a game, besides its numbers."""


@dataclass(frozen=True)
class Assembled:
    """What a recipe stands for."""

    state: State
    players: Players
    arguments: dict[str, Any]
    """What the game was made of: loss, penalties..."""
    precision: Precision
    batch: Rate
    """Real images in a batch."""
    length: Length
    """The images of the run, which all schedules that last as long follow."""
    growth: Growth | None = None

    @property
    def sides(self) -> tuple[int, ...]:
        """The shorter side of the images of each level of a network that grows."""
        return sides_of(self.state.nets.values())

    @property
    def G(self) -> nn.Module:
        """The generator."""
        return self.state.nets["G"]

    @property
    def D(self) -> nn.Module:
        """The discriminator."""
        return self.state.nets["D"]


def assemble(recipe: Recipe, labels: LabelSpace, device: torch.device, world: World = ALONE) -> Assembled:
    """The objects that a complete recipe names, on the device; the seed decides the first weights.

    Where the recipe says so, weights are sharded over the processes of a `world`, which all call this.
    """
    precision, length = PRECISIONS[known(recipe.precision)], Length(known(recipe.images))
    arguments = build_arguments(recipe, length)
    check(recipe, arguments["loss"], labels)
    sharded = device if recipe.shard and world.size > 1 else None
    whole = device if sharded is None else torch.device("cpu")  # until a device gets its part
    nets = {name: precision.place(net, whole) for name, net in build_networks(recipe, labels).items()}
    check_energy(recipe, arguments["loss"], nets.get("D"))
    for net in nets.values() if recipe.recompute else ():
        recompute(net)
    players = build_game(recipe, arguments | {"nets": tuple(nets)}, length)
    if "G" not in map(role, nets):
        raise ValueError(f"a run samples and scores the network G, but {recipe.network} has only {', '.join(nets)}")
    field = {name: "lr_d" if "D" in map(role, player.nets) else "lr_g" for name, player in players.items()}
    lr = {name: recipe.rate(of_player, length) for name, of_player in field.items()}
    optimizing, batch = build(recipe.optimizer, optimizers, lasting(length)), known(recipe.batch)
    if recipe.growth == "none":
        state = State.start(nets, players, optimizing, lr, sharded=sharded)
        for name, net in nets.items() if recipe.compile else ():
            if role(name) != "G" or not recipe.g_penalties:  # which may need its second derivatives
                compiled(net)
        return Assembled(state, players, arguments, precision, batch, length)
    plan, sides = build_growth(recipe, nets, length), sides_of(nets.values())
    by_level = {name: plan.lr_at(rate, sides) for name, rate in lr.items()} if plan.lr else lr
    state = State.start(nets, players, optimizing, by_level)
    state.grow(plan, players)
    return Assembled(state, players, arguments, precision, plan.batch_at(batch, sides), length, plan)


def rounds(assembled: Assembled, stream: Iterable[Batch], recipe: Recipe, world: World = ALONE) -> Iterator[Stats]:
    """The training loop over those images, of which a process has its share."""
    return steps(
        assembled.state,
        stream,
        assembled.players,
        ema_images=recipe.rate("ema_images", assembled.length),
        pieces=(recipe.pieces or 1),
        precision=assembled.precision,
        seed=recipe.seed,
        world=world,
    )


def build_growth(recipe: Recipe, nets: Mapping[str, nn.Module], length: Length) -> Growth:
    """How the networks grow; raises ValueError where none can, and where the run ends before they are grown."""
    images, sides = known(recipe.images), sides_of(nets.values())
    if not sides:
        raise ValueError(f"{recipe.network} has no levels, so that it cannot grow: choose pggan, or growth='none'")
    plan: Growth = build(recipe.growth, growth, images=length)
    if plan.grown(sides) > images:
        raise ValueError(
            f"after {images:,} images the networks have grown to {plan.side(images, sides)} of {sides[-1]} pixels; "
            f"growth={recipe.growth!r} takes {plan.grown(sides):,}: choose more --images, or shorter phases, or with "
            f"--minutes leave hold and fade open"
        )
    for batch in plan.batch.values():
        check_pieces(batch, recipe.pieces or 1, "every batch")
    return plan


def sides_of(nets: Iterable[nn.Module]) -> tuple[int, ...]:
    """The shorter side of the images of each level of networks that grow."""
    return next((part.sides for net in nets for part in growing(net)), ())


def build_arguments(recipe: Recipe, length: Length) -> dict[str, Any]:
    """Loss, penalties, constraint and augmentation by the names that games have for them."""
    also = lasting(length)
    return {
        "loss": build(known(recipe.loss), losses, also),
        "penalties": [build(term, penalties, also) for term in known(recipe.penalties)],
        "g_penalties": [build(term, penalties, also) for term in recipe.g_penalties],
        "constraint": build(recipe.constraint, constraints, also),
        "augment": build(known(recipe.augment), augment, also) if recipe.augment != "none" else None,
        "d_steps": recipe.rate("d_steps", length),
        "g_batch": None if recipe.g_batch == recipe.batch else recipe.g_batch,
    }


def build_game(recipe: Recipe, arguments: dict[str, Any], length: Length) -> Players:
    """The players; raises ValueError where the recipe says something that the game has no use for."""
    taken = signature(find(recipe.game, games)).parameters
    usual = {field.name: field.default for field in fields(Recipe)}
    for part in PARTS:
        said = getattr(recipe, part)
        if part not in taken and said not in (usual[part], None, (), "none"):
            raise ValueError(f"{recipe.game} has no use for {part}={said!r}; its arguments: {', '.join(taken)}")
    for number, usual_value in (("d_steps", 1), ("g_batch", recipe.batch)):
        said = getattr(recipe, number)
        if number not in taken and said not in (usual_value, None):
            raise ValueError(f"{recipe.game} has no use for {number}={said!r}; its arguments: {', '.join(taken)}")
    given = {argument: value for argument, value in arguments.items() if argument in taken}
    players: Players = build(recipe.game, games, lasting(length), **given)
    return players


def build_networks(recipe: Recipe, labels: LabelSpace) -> dict[str, nn.Module]:
    """The networks by name, generators and discriminators with their activations and norms; as the seed has them.

    Norms leave alone what starts from zero, which a division by its norm would make jump, and the generator's also what
    embeds labels.
    """
    size = known(recipe.channels), *known(recipe.height_width())
    shape = ImageShape(*size, labels, recipe.g_condition, recipe.d_condition)
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(recipe.seed)
        architecture = build(known(recipe.network), networks)
        try:
            built = architecture(shape)
        except (TypeError, RuntimeError, ZeroDivisionError, IndexError) as error:
            raise ValueError(f"{recipe.network} cannot be built for images {shape[:3]}: {error}") from error
        nets: dict[str, nn.Module] = dict(zip("GD", built, strict=True)) if isinstance(built, tuple) else dict(built)
        for name, net in nets.items():
            if role(name) == "G":
                check_input(recipe, net)
                G = activated(recipe.g_activation, net)
                embedding = [path for path, layer in norms.layers(G) if embeds(path, layer)]
                nets[name] = normalised(recipe, "g_norm", G, embedding)
            elif role(name) == "D":
                nets[name] = normalised(recipe, "d_norm", activated(recipe.d_activation, net))
        return nets


def check_input(recipe: Recipe, G: nn.Module) -> None:
    """Raises ValueError for a generator that does not start from what the data gives it."""
    dimension = getattr(G, "z_dim", None)
    if recipe.domains != "none" and dimension is not None:
        raise ValueError(
            f"{recipe.network} makes images of latent vectors, and domains={recipe.domains!r} needs one that makes "
            f"them of images: cyclegan or pix2pix"
        )
    if recipe.domains == "none" and (dimension or 0) < 1:
        raise ValueError(
            f"{recipe.network} needs latent vectors of at least one dimension: z_dim; or, where it makes images of "
            f"images, two domains of them: --domains unpaired, a_to_b or b_to_a"
        )


def activated(activation: str | None, net: nn.Module) -> nn.Module:
    """The network with this hidden activation in place of its own, where one is named."""
    also = TReLU, TPReLU
    return net if activation is None else activations.apply(build(activation, activations), net, also=also)


def normalised(recipe: Recipe, field: str, net: nn.Module, skip: Sequence[str] = ()) -> nn.Module:
    """The network with the norm that the recipe names in this field, but for layers to skip and those that are zero."""
    name, layers = getattr(recipe, field), dict(norms.layers(net))
    own = [layer for layer in layers.values() if is_parametrized(layer, "weight")]
    if own and name != "none":
        raise ValueError(f"{recipe.network} normalises weights of its own: {field} must be none, not {name!r}")
    zero = [layer for layer, module in layers.items() if not cast(Tensor, module.weight).any()]
    return norms.apply(build(name, norms), net, [*skip, *zero])


def embeds(name: str, layer: nn.Module) -> bool:
    """Whether a layer makes vectors of labels."""
    return isinstance(layer, nn.Embedding) or name.rpartition(".")[2] == "embed"


def check(recipe: Recipe, loss: object, labels: LabelSpace) -> None:
    """Raises ValueError for parts that are not what they should be or cannot work together."""
    if not isinstance(loss, Loss | CriticLoss):
        raise ValueError(f"{recipe.loss} gives {type(loss).__name__}, but a loss is one of equipoise.losses.Loss")
    batch, g_batch = recipe.batch, recipe.g_batch
    if loss.paired and g_batch not in (None, batch):
        raise ValueError(
            f"{recipe.loss} pairs fakes with reals in the generator's step: g_batch must be {batch}, not {g_batch}"
        )
    for name in ("batch", "g_batch"):
        check_pieces(getattr(recipe, name) or 0, recipe.pieces or 1, name)
    if recipe.shard:
        check_shard(recipe)
    for field, usual in {"recompute": False, "shard": False, "growth": "none"}.items() if recipe.compile else ():
        if (said := getattr(recipe, field)) != usual:
            raise ValueError(f"{field}={said!r} does not go with compile: leave one of them out")
    for name in ("g_condition", "d_condition"):
        way = getattr(recipe, name)
        if not labels and way not in (None, "self_modulation"):  # which depends on latent vectors too
            raise ValueError(f"{name}={way!r} conditions a network on labels, but this data is learnt without any")


def check_shares(recipe: Recipe, growth: Growth | None, world: World) -> None:
    """Raises ValueError for batches that processes and pieces cannot share equally, also those of later levels."""
    later = [] if growth is None else [*growth.batch.values()]
    for count in [known(recipe.batch), recipe.g_batch or known(recipe.batch), *later] if world.size > 1 else ():
        if count % (world.size * (recipe.pieces or 1)):
            pieces = f" of {recipe.pieces} pieces each" if (recipe.pieces or 1) > 1 else ""
            raise ValueError(f"a batch of {count} images cannot be shared equally by {world.size} processes{pieces}")


def check_shard(recipe: Recipe) -> None:
    """Raises ValueError for what cannot be had of sharded weights; second derivatives are found out by rehearsing."""
    for call in (*known(recipe.penalties), *recipe.g_penalties):
        if find(call, penalties) in OF_WEIGHTS:
            raise ValueError(f"{call} needs whole weights, which --shard does without: leave it out")
    usual_values = {"growth": "none", "g_norm": "none", "d_norm": "none", "constraint": "none", "instruments": ()}
    for field, usual in usual_values.items():
        if (said := getattr(recipe, field)) != usual:
            raise ValueError(f"{field}={said!r} needs whole weights, which --shard does without: leave it out")
    if recipe.precision == "float16":
        raise ValueError("--shard goes with float32, tf32 or bfloat16, not with float16")


def check_energy(recipe: Recipe, loss: Loss | CriticLoss, D: nn.Module | None) -> None:
    """Raises ValueError where logits are minus energies for one of loss and discriminator alone."""
    reconstructs = getattr(D, "is_autoencoder", False)
    if loss.energy and not reconstructs:
        raise ValueError(
            f"{recipe.loss} is a loss of energies, the reconstruction errors of an auto-encoding discriminator, and "
            f"{recipe.network} has none: choose a network that has, ebgan or began, or a loss of logits"
        )
    if reconstructs and not loss.energy:
        raise ValueError(
            f"{recipe.network} has an auto-encoding discriminator, whose logit is minus an energy and never positive, "
            f"and {recipe.loss} needs logits of both signs: choose energy, boundary_equilibrium or pretrained"
        )
