"""From a recipe to objects: the only place where strings become what they name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .. import augment, constraints, growth, losses, networks, norms, penalties
from ..augment import Augmentation
from ..constraints import Constraint
from ..critic import Critic, ask
from ..growth import Growth
from ..losses import Game, Loss
from ..networks import ImageShape
from ..penalties import Penalty
from ..recipe import Recipe
from ..spec import build
from ..training import FLOAT32, Batch, Precision, Rate, State, Stats, adam, steps
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


def assemble(recipe: Recipe, classes: int, device: torch.device) -> Parts:
    """The objects that a complete recipe names, on the device; the seed decides the first weights."""
    loss, growing = build(recipe.loss, losses), build(recipe.growth, growth)
    terms, g_terms = ([build(t, penalties) for t in ts] for ts in (recipe.penalties, recipe.g_penalties))
    constraint = build(recipe.constraint, constraints)
    shown = build(recipe.augment, augment) if recipe.augment != "none" else None
    check(recipe, loss)
    precision = BFLOAT16 if recipe.precision == "bfloat16" else FLOAT32
    G, D = (precision.place(net, device) for net in build_networks(recipe, classes))
    optimizers = adam(G, recipe.lr_g, recipe.betas), adam(D, recipe.lr_d, recipe.betas)
    state = State.start(G, D, *optimizers, components=[loss, growing, *terms, *g_terms, shown])
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
        ema_images=recipe.ema_images,
        rate=parts.rate,
        precision=parts.precision,
        seed=recipe.seed,
    )


def rehearse(recipe: Recipe, classes: int) -> None:
    """Takes one step on noise with parts of its own: raises ValueError for parts that do not work together."""
    size = recipe.height_width()
    assert size is not None
    assert recipe.channels is not None
    small = replace(recipe, batch=2, g_batch=2, d_steps=1, precision="float32")
    parts = assemble(small, classes, torch.device("cpu"))
    labels = torch.arange(2) % classes if classes else None
    try:
        with torch.random.fork_rng([]):
            images = torch.rand(2, recipe.channels, *size) * 2 - 1
            check_g_penalties(parts, small, images, labels)
            next(updates(parts, [(images, labels)], small))
    except ValueError:
        raise
    except Exception as error:  # whatever a user's own file may raise
        raise ValueError(f"these parts do not work together: {type(error).__name__}: {in_one_line(error)}") from error


def check_g_penalties(parts: Parts, recipe: Recipe, images: Tensor, labels: Tensor | None) -> None:
    """Raises ValueError for a penalty of the generator that does not depend on it."""
    G, D = parts.state.G, parts.state.D
    z = torch.randn(len(images), int(G.z_dim), requires_grad=True)  # type: ignore[arg-type]
    fake, weights = ask(G, z, labels), list(G.parameters())
    for name, penalty in zip(recipe.g_penalties, parts.g_penalties, strict=True):
        value = penalty(Critic(D, labels, parts.augment, G, z, learner=G), images, fake)
        reached = value.requires_grad and torch.autograd.grad(value, weights, allow_unused=True, retain_graph=True)
        if not reached or all(gradient is None for gradient in reached):
            raise ValueError(f"{name} has no gradient in the generator: it is one of the discriminator's --penalties")


def in_one_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).splitlines() or [""])[0]


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
    if not isinstance(loss, Loss | Game):
        raise ValueError(f"{recipe.loss} gives {type(loss).__name__}, but a loss is an equipoise.losses.Loss or Game")
    batch, g_batch = recipe.batch, recipe.g_batch
    if loss.paired and g_batch not in (None, batch):
        raise ValueError(
            f"{recipe.loss} looks at as many reals in a step of the generator: g_batch must be {batch}, not {g_batch}"
        )


def rate_of(recipe: Recipe) -> Rate:
    """1, but in the last part of training falling linearly to 0."""
    falling = recipe.decay * recipe.images
    return lambda seen: min(1.0, max(0.0, (recipe.images - seen) / falling)) if falling else 1.0
