"""A rehearsal: what does not work together is found on noise, before a run writes anything."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .. import games
from ..calls import ask, generate
from ..checks import check_pieces
from ..critic import Critic
from ..labels import LabelSpace
from ..networks.growing import shown
from ..problems import one_line
from ..recipe import Recipe, known
from ..spec import find
from ..training import Batch, Players, Stats
from ..training.hidden import plain_values
from ..trees import leaves
from .assemble import Assembled, assemble, rounds
from .shortage import explained, out_of_memory
from .trial_batches import batch_of_noise

log = logging.getLogger("equipoise.runs")

TRIED = 16  # samples of each label


def rehearse(recipe: Recipe, labels: LabelSpace, device: torch.device) -> None:
    """Plays two rounds on noise with parts of its own, one of the run's beginning and one of its end.

    Raises ValueError for parts that do not work together.
    """
    whole = recipe.pieces or 1
    for count in (known(recipe.batch), recipe.g_batch or known(recipe.batch)):
        check_pieces(count, whole)
    pieces = min(2, whole)
    batch = pieces * min(2, known(recipe.batch) // whole)
    g_batch = pieces * min(2, (recipe.g_batch or known(recipe.batch)) // whole)
    small = replace(recipe, batch=batch, g_batch=g_batch, pieces=pieces, d_steps=1, precision="float32", compile=False)
    try:
        with explained(small), torch.random.fork_rng([device] if device.type == "cuda" else []):
            assembled = assemble(small, labels, device)
            torch.manual_seed(recipe.seed)
            images = batch_of_noise(small, labels, device)
            if find(recipe.game, games) is games.adversarial and recipe.domains == "none":
                rehearse_adversarial(assembled, small, images, labels)
            else:
                check_numbers(play(assembled, small, images))
    except ValueError:
        raise
    except Exception as error:  # whatever a user's own file may raise
        if out_of_memory(error):
            raise
        raise ValueError(f"these parts do not work together: {type(error).__name__}: {one_line(error)}") from error


def rehearse_adversarial(assembled: Assembled, recipe: Recipe, batch: Batch, labels: LabelSpace) -> None:
    """What is to be found out of the usual game of two."""
    check_penalties(assembled, recipe, *batch)
    check_g_penalties(assembled, recipe, *batch)
    check_numbers(check_classifier(assembled, recipe, batch))
    perturb_weights(assembled)
    check_labels_matter(assembled, recipe, batch[0], labels)
    warn_of_refuge(assembled, recipe, *batch)


def play(assembled: Assembled, recipe: Recipe, batch: Batch) -> Stats:
    """A round of the beginning and one of the end, with all that schedules have come to; the statistics of both.

    Raises ValueError for a part that keeps something where no checkpoint finds it.
    """
    stream, before = rounds(assembled, repeat(batch), recipe), plain_values(assembled.players)
    first = next(stream)
    assembled.state.seen = max(known(recipe.images) - 1, assembled.state.seen)
    last = next(stream)
    check_kept_plainly(assembled.players, before)
    return {f"{name} (at first)": value for name, value in first.items()} | last


def check_kept_plainly(players: Players, before: dict[str, list[Any]]) -> None:
    """Raises ValueError where a number or a list in the closure of a function has changed."""
    for name, values in plain_values(players).items():
        if values != before[name]:
            raise ValueError(
                f"a part of the player {name!r} keeps something that changes from step to step where checkpoints would "
                f"miss it, in a variable or a list: keep it in a buffer of an nn.Module"
            )


def check_numbers(stats: Stats) -> None:
    """Raises ValueError for rounds without finite losses and gradients."""
    bad = ", ".join(f"{name} {value.item()}" for name, value in stats.items() if not value.isfinite())
    if bad:
        raise ValueError(f"not finite in the first rounds, on noise: {bad}; check norms and penalties first")


def check_classifier(assembled: Assembled, recipe: Recipe, batch: Batch) -> Stats:
    """Plays; raises ValueError for a discriminator whose classifier the loss never uses."""
    classifier = dict(Critic(assembled.D).marked()).get("class_logits", nn.Identity())
    with gradients_through(classifier) as passed:
        stats = play(assembled, recipe, batch)
    if not passed and any(True for _ in classifier.parameters()):
        raise ValueError(
            f"{recipe.loss} never uses the discriminator's classifier, which would learn nothing: choose another "
            f"d_condition than 'auxiliary', or a loss that asks it, auxiliary_classifier(loss=...) or multi_hinge"
        )
    return stats


def check_penalties(assembled: Assembled, recipe: Recipe, images: Tensor, labels: Tensor | None) -> None:
    """Raises ValueError for a penalty on the gradient of each sample under batch normalisation or on sharded weights.

    Layers that append how samples differ are let pass, since published systems have them under such penalties.
    """
    G, D = assembled.G, assembled.D
    if not (recipe.shard or any(isinstance(module, _BatchNorm) for module in D.modules())):
        return
    z = torch.randn(len(images), cast(int, G.z_dim), device=images.device)
    fake = ask(G, z, labels).detach()
    images = shown(D, images)
    for name, penalty in zip(known(recipe.penalties), assembled.arguments["penalties"], strict=True):
        with gradients_through(D) as passed:
            penalty(Critic(D, labels, assembled.arguments["augment"], G, z, D, seen=0), images, fake)
        if any(passed) and recipe.shard:
            raise ValueError(
                f"{name} needs a second derivative, which --shard cannot have: choose approximate_r1 or "
                f"approximate_r2, in R1's units"
            )
        if any(passed):
            raise ValueError(
                f"{name} penalises the gradient of each sample, but batch normalisation in the discriminator makes the "
                f"logit of one depend on all: choose a discriminator without, by d_feature_norm='layer' or 'none' "
                f"where the network has that choice"
            )


@torch.no_grad()
def perturb_weights(assembled: Assembled) -> None:
    """Moves all weights off their start, as training will; in evaluation mode from here on."""
    for net in (assembled.G, assembled.D):
        net.eval()
        for weight in net.parameters():
            inputs = weight.numel() / len(weight) if weight.ndim > 1 else 1.0
            weight.add_(0.1 * torch.randn_like(weight) / inputs**0.5)  # so that signals stay as large as they are


@torch.no_grad()
def warn_of_refuge(assembled: Assembled, recipe: Recipe, images: Tensor, labels: Tensor | None) -> None:
    """Says so where D(0) = 0 whatever the weights: under a loss that parts real from fake at 0 that is a refuge."""
    if images.shape[2:] == (1, 1):
        return
    logits = leaves(ask(assembled.D, torch.zeros_like(shown(assembled.D, images)), labels))
    if all((part == 0).all() for part in logits):
        log.warning(
            "%s: without biases the discriminator gives 0 to the image of zeros, whatever it learns; under losses that "
            "part real from fake at 0 a generator may hide there, and its samples are grey: give its layers biases",
            recipe.network,
        )


@torch.no_grad()
def check_labels_matter(assembled: Assembled, recipe: Recipe, images: Tensor, labels: LabelSpace) -> None:
    """Raises ValueError for a network to which another label is the same.

    Of one sample it may be by chance: its pixels are all saturated, or no unit is on. A discriminator may be
    conditioned through its classifier alone; in an energy labels may weigh too little to be seen.
    """
    if not labels or labels == LabelSpace("classes", 1):
        return
    G, D = assembled.G, assembled.D
    one, other = (
        label.expand(TRIED, *label.shape[1:]) for label in known(labels.example(2)).to(images.device).split(1)
    )
    z = torch.randn(TRIED, cast(int, G.z_dim), device=images.device)
    noise = shown(D, torch.randn(TRIED, *images.shape[1:], device=images.device))
    elsewhere = getattr(D, "is_autoencoder", False) or "class_logits" in dict(Critic(D).marked())
    asked = [("generator", G, z)] if elsewhere else [("generator", G, z), ("discriminator", D, noise)]
    if same := [name for name, net, x in asked if alike(net, x, one, other)]:
        who = " and ".join(same)
        raise ValueError(
            f"{recipe.network}: the output of the {who} does not depend on the label; train without labels, or use them"
        )


def alike(net: Any, x: Tensor, one: Tensor, other: Tensor) -> bool:
    """Whether the label changes nothing."""
    pairs = zip(*(leaves(ask(net, x, label)) for label in (one, other)), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@contextmanager
def gradients_through(module: nn.Module) -> Iterator[list[bool]]:
    """Collects, for each gradient that passes through the module's output, whether it will be differentiated again."""
    passed: list[bool] = []

    def watch(module: nn.Module, inputs: object, output: Any) -> None:
        for part in leaves(output):
            if part.requires_grad:
                part.register_hook(lambda gradient: passed.append(torch.is_grad_enabled()))

    handle = module.register_forward_hook(watch)
    try:
        yield passed
    finally:
        handle.remove()


def check_g_penalties(assembled: Assembled, recipe: Recipe, images: Tensor, labels: Tensor | None) -> None:
    """Raises ValueError for a penalty of the generator that does not depend on it."""
    G, D = assembled.G, assembled.D
    z, images = torch.randn(len(images), cast(int, G.z_dim), device=images.device, requires_grad=True), shown(D, images)
    (fake, latents), weights = generate(G, z, labels), list(G.parameters())
    for name, penalty in zip(recipe.g_penalties, assembled.arguments["g_penalties"], strict=True):
        value = penalty(Critic(D, labels, assembled.arguments["augment"], G, latents, G, seen=0), images, fake)
        reached = value.requires_grad and torch.autograd.grad(value, weights, allow_unused=True, retain_graph=True)
        if not reached or all(gradient is None for gradient in reached):
            raise ValueError(f"{name} has no gradient in the generator: it is one of the discriminator's --penalties")
