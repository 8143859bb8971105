"""From a recipe to objects: the only place where strings become what they name."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from .. import activations, augment, constraints, growth, losses, networks, norms, optimizers, penalties
from ..augment import Augmentation
from ..constraints import Constraint
from ..growth import Growth
from ..labels import LabelSpace
from ..layers import TPReLU, TReLU
from ..losses import Game, Loss
from ..networks import ImageShape
from ..penalties import Penalty
from ..recipe import Recipe, known
from ..spec import build
from ..training import FLOAT32, Batch, Precision, Rate, State, Stats, steps
from ..training.precision import BFLOAT16


@dataclass(frozen=True)
class Parts:
    """What a training loop is made of."""

    state: State
    loss: Loss | Game
    penalties: list[Penalty]
    g_penalties: list[Penalty]
    constraint: Constraint
    augment: Augmentation | None
    growth: Growth
    precision: Precision
    rate: Rate


def assemble(recipe: Recipe, labels: LabelSpace, device: torch.device) -> Parts:
    """The objects that a complete recipe names, on the device; the seed decides the first weights."""
    loss, growing = build(recipe.loss, losses), build(recipe.growth, growth)
    terms, g_terms = ([build(t, penalties) for t in ts] for ts in (known(recipe.penalties), recipe.g_penalties))
    constraint = build(recipe.constraint, constraints)
    shown = build(known(recipe.augment), augment) if recipe.augment != "none" else None
    check(recipe, loss, labels)
    precision = BFLOAT16 if recipe.precision == "bfloat16" else FLOAT32
    G, D = (precision.place(net, device) for net in build_networks(recipe, labels))
    check_energy(recipe, loss, D)
    optimize = build(recipe.optimizer, optimizers)
    pair = optimize(G, recipe.lr_g), optimize(D, recipe.lr_d)
    state = State.start(G, D, *pair, components=[loss, growing, *terms, *g_terms, shown])
    return Parts(state, loss, terms, g_terms, constraint, shown, growing, precision, rate_of(recipe))


def updates(parts: Parts, stream: Iterable[Batch], recipe: Recipe) -> Iterator[Stats]:
    """The training loop over those images."""
    return steps(
        parts.state,
        stream,
        parts.loss,
        parts.penalties,
        parts.g_penalties,
        parts.constraint,
        parts.augment,
        growth=parts.growth,
        d_steps=recipe.d_steps,
        g_batch=recipe.g_batch,
        ema_images=known(recipe.ema_images),
        rate=parts.rate,
        precision=parts.precision,
        seed=recipe.seed,
    )


def build_networks(recipe: Recipe, labels: LabelSpace) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator with their activations and norms; the same seed, the same weights.

    Norms leave alone what starts from zero, which a division by its length would make jump, and the generator's also
    what embeds labels.
    """
    size = known(recipe.channels), *known(recipe.height_width())
    shape = ImageShape(*size, labels, recipe.g_condition, recipe.d_condition)
    with torch.random.fork_rng([]):
        torch.manual_seed(recipe.seed)
        architecture = build(str(recipe.network), networks)
        try:
            G, D = architecture(shape)
        except (TypeError, RuntimeError, ZeroDivisionError, IndexError) as error:
            raise ValueError(f"{recipe.network} cannot be built for images {shape[:3]}: {error}") from error
        if getattr(G, "z_dim", 0) < 1:
            raise ValueError(f"{recipe.network} needs latent vectors of at least one number: z_dim")
        G, D = activated(recipe.g_activation, G), activated(recipe.d_activation, D)
        G = normalised(recipe, "g_norm", G, [name for name, layer in norms.layers(G) if embeds(name, layer)])
        return G, normalised(recipe, "d_norm", D)


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
    if not isinstance(loss, Loss | Game):
        raise ValueError(f"{recipe.loss} gives {type(loss).__name__}, but a loss is an equipoise.losses.Loss or Game")
    batch, g_batch = recipe.batch, recipe.g_batch
    if loss.paired and g_batch not in (None, batch):
        raise ValueError(
            f"{recipe.loss} looks at as many reals in a step of the generator: g_batch must be {batch}, not {g_batch}"
        )
    for name in ("g_condition", "d_condition"):
        way = getattr(recipe, name)
        if not labels and way not in (None, "self_modulation"):  # which is told of latent vectors too
            raise ValueError(f"{name}={way!r} says how a network hears of labels, but this data is learnt without any")


def check_energy(recipe: Recipe, loss: Loss | Game, D: nn.Module) -> None:
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


def rate_of(recipe: Recipe) -> Rate:
    """1, but in the last part of training falling linearly to 0."""
    images = known(recipe.images)
    falling = recipe.decay * images
    return lambda seen: min(1.0, max(0.0, (images - seen) / falling)) if falling else 1.0
