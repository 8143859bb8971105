"""A rehearsal: what does not work together is found on noise, before a run writes anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..critic import Critic, ask
from ..labels import LabelSpace
from ..losses import Pretraining
from ..recipe import Recipe, known
from ..training import Batch, Stats
from .assemble import Parts, assemble, updates


def rehearse(recipe: Recipe, labels: LabelSpace) -> None:
    """Takes a step on noise with parts of its own: raises ValueError for parts that do not work together."""
    shape = known(recipe.channels), *known(recipe.height_width())
    batch = min(2, known(recipe.batch))
    small = replace(recipe, batch=batch, g_batch=min(2, recipe.g_batch or batch), d_steps=1, precision="float32")
    parts = assemble(small, labels, torch.device("cpu"))
    try:
        with torch.random.fork_rng([]):
            images = torch.rand(batch, *shape) * 2 - 1, labels.example(batch)
            check_penalties(parts, small, *images)
            check_g_penalties(parts, small, *images)
            check_numbers(check_classifier(parts, small, images))
            check_labels_matter(parts.state.G, parts.state.D, small, images[0][:1], labels)
    except ValueError:
        raise
    except Exception as error:  # whatever a user's own file may raise
        raise ValueError(f"these parts do not work together: {type(error).__name__}: {in_one_line(error)}") from error


def play(parts: Parts, recipe: Recipe, batch: Batch) -> Stats:
    """One step, and where a loss lets the discriminator learn alone first, one more after that; its statistics."""
    stream = updates(parts, repeat(batch), recipe)
    stats = next(stream)
    if isinstance(parts.loss.state, Pretraining):
        parts.loss.state.finish()
        stats = next(stream)
    return stats


def check_numbers(stats: Stats) -> None:
    """Raises ValueError for a first step that has no finite loss or gradient."""
    bad = ", ".join(f"{name} {value.item()}" for name, value in stats.items() if not value.isfinite())
    if bad:
        raise ValueError(f"these parts break in their first step, on noise: {bad}; look at norms and penalties first")


def check_classifier(parts: Parts, recipe: Recipe, batch: Batch) -> Stats:
    """Plays; raises ValueError for a discriminator whose classifier the loss never asks."""
    classifier = dict(Critic(parts.state.D).marked()).get("class_logits", nn.Identity())
    with gradients_through(classifier) as passed:
        stats = play(parts, recipe, batch)
    if not passed and any(True for _ in classifier.parameters()):
        raise ValueError(
            f"{recipe.loss} never asks the discriminator's classifier, which would learn nothing: choose another "
            f"d_condition than 'auxiliary', or a loss that asks it, auxiliary_classifier(loss=...) or multi_hinge"
        )
    return stats


def check_penalties(parts: Parts, recipe: Recipe, images: Tensor, labels: Tensor | None) -> None:
    """Raises ValueError for a penalty on the gradient of each sample under batch normalisation.

    Layers that append how samples differ are let pass, since published systems have them under such penalties.
    """
    G, D = parts.state.G, parts.state.D
    if not any(isinstance(module, _BatchNorm) for module in D.modules()):
        return
    z = torch.randn(len(images), int(G.z_dim))  # type: ignore[arg-type]
    fake = ask(G, z, labels).detach()
    for name, penalty in zip(known(recipe.penalties), parts.penalties, strict=True):
        with gradients_through(D) as passed:
            penalty(Critic(D, labels, parts.augment, G, z, learner=D), images, fake)
        if any(passed):
            raise ValueError(
                f"{name} penalises the gradient of each sample, but batch normalisation in the discriminator makes the "
                f"logit of one depend on all: choose a discriminator without, by d_feature_norm='layer' or 'none' "
                f"where the network has that choice"
            )


@torch.no_grad()
def check_labels_matter(G: nn.Module, D: nn.Module, recipe: Recipe, image: Tensor, labels: LabelSpace) -> None:
    """Moves all weights off their start; raises ValueError for a network to which another label is the same.

    A discriminator may hear of labels by its classifier alone; in an energy they may weigh too little to be seen.
    """
    if not labels or labels == LabelSpace("classes", 1):
        return
    for net in (G, D):
        net.eval()
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    one, other = known(labels.example(2)).split(1)
    z = torch.randn(1, int(G.z_dim))  # type: ignore[arg-type]
    elsewhere = getattr(D, "is_autoencoder", False) or "class_logits" in dict(Critic(D).marked())
    asked = [("generator", G, z)] if elsewhere else [("generator", G, z), ("discriminator", D, image)]
    if deaf := [name for name, net, x in asked if alike(net, x, one, other)]:
        who = " and ".join(deaf)
        raise ValueError(f"{recipe.network}: to the {who} one label is as another; train without labels, or use them")


def alike(net: nn.Module, x: Tensor, one: Tensor, other: Tensor) -> bool:
    """Whether the label changes nothing."""
    return torch.equal(ask(net, x, one), ask(net, x, other))


@contextmanager
def gradients_through(module: nn.Module) -> Iterator[list[bool]]:
    """Collects, for each gradient that passes through the module's output, whether it will be differentiated again."""
    passed: list[bool] = []

    def watch(module: nn.Module, inputs: object, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda slope: passed.append(torch.is_grad_enabled()))

    handle = module.register_forward_hook(watch)
    try:
        yield passed
    finally:
        handle.remove()


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
