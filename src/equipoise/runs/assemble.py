"""From a recipe to objects: the only place where strings become what they name."""

from dataclasses import dataclass

import torch

from .. import growth, losses, networks, norms, penalties
from ..growth import Growth
from ..losses import Loss
from ..networks import ImageShape
from ..penalties import Penalty
from ..recipe import Recipe
from ..spec import build
from ..training import FLOAT32, Precision, Rate, State, adam
from ..training.precision import BFLOAT16


@dataclass(frozen=True)
class Parts:
    """What a training loop is made of."""

    state: State
    loss: Loss
    penalties: list[Penalty]
    growth: Growth
    precision: Precision
    rate: Rate


def assemble(recipe: Recipe, classes: int, device: torch.device) -> Parts:
    """The objects that a complete recipe names, on the device; the seed decides the first weights."""
    loss, growing = build(recipe.loss, losses), build(recipe.growth, growth)
    terms = [build(term, penalties) for term in recipe.penalties]
    check(recipe, loss)
    precision = BFLOAT16 if recipe.precision == "bfloat16" else FLOAT32
    G, D = (precision.place(net, device) for net in build_networks(recipe, classes))
    optimizers = adam(G, recipe.lr_g, recipe.betas), adam(D, recipe.lr_d, recipe.betas)
    state = State.start(G, D, *optimizers, components=[loss, growing, *terms])
    return Parts(state, loss, terms, growing, precision, rate_of(recipe))


def build_networks(recipe: Recipe, classes: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Generator and discriminator with their norms; the same seed, the same weights."""
    size = recipe.height_width()
    assert size is not None
    assert recipe.channels is not None
    with torch.random.fork_rng([]):
        torch.manual_seed(recipe.seed)
        architecture, shape = build(str(recipe.network), networks), ImageShape(recipe.channels, *size, classes)
        try:
            G, D = architecture(shape)
        except (TypeError, RuntimeError, ZeroDivisionError, IndexError) as error:
            raise ValueError(f"{recipe.network} cannot be built for images {shape[:3]}: {error}") from error
        if getattr(G, "z_dim", 0) < 1:
            raise ValueError(f"{recipe.network} needs latent vectors of at least one number: z_dim")
        return norms.apply(build(recipe.g_norm, norms), G), norms.apply(build(recipe.d_norm, norms), D)


def check(recipe: Recipe, loss: object) -> None:
    """Raises ValueError for parts that are not what they should be or cannot work together."""
    if not isinstance(loss, Loss):
        raise ValueError(f"{recipe.loss} gives {type(loss).__name__}, but a loss is an equipoise.losses.Loss")
    batch, g_batch = recipe.batch, recipe.g_batch
    if loss.paired and g_batch not in (None, batch):
        raise ValueError(f"{recipe.loss} compares reals and fakes in pairs: g_batch must be {batch}, not {g_batch}")


def rate_of(recipe: Recipe) -> Rate:
    """1, but in the last part of training falling linearly to 0."""
    falling = recipe.decay * recipe.images
    return lambda seen: min(1.0, max(0.0, (recipe.images - seen) / falling)) if falling else 1.0
