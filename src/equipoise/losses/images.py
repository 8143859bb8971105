"""Losses that look at images or features besides logits."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from ..checks import check_choice, check_range
from ..critic import Critic, CriticLike, Fakes, Images, Scalar, per_sample
from ..processes import mean_of_all
from .logits import non_saturating
from .objective import CriticLoss, Loss, of_critic


def loss_sensitive(margin: float = 2e-4, real_weight: float = 0.0, slope: float = 0.0) -> CriticLoss:
    """L_D = w E L(x) + E max(0, m |x - G|_1 + L(x) - L(G)), L_G = E L(G), L = -D (Qi 2017, arXiv:1701.06264, Eq. 6-7).

    Reals and fakes are compared in pairs, and the margin shrinks as fakes come close: m times the sum of absolute
    differences over all values of an image in [-1, 1]. Defaults are those of the author's code for 64x64 RGB; the
    paper's w is 1. `slope` is that of a leaky ReLU in place of max(0, .): GLS-GAN, which at 1 is the Wasserstein loss.
    Of several heads and maps D is the sum over heads of the mean over a head's values.
    """
    check_range(at_least=0, margin=margin, real_weight=real_weight)
    check_range(at_least=0, at_most=1, slope=slope)

    def d(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        distance = margin * (real - fake).detach().abs().flatten(1).sum(1)
        real_loss, fake_loss = -per_sample(critic(real), len(real)), -per_sample(critic(fake), len(fake))
        gap = leaky_relu(distance + real_loss - fake_loss, slope)
        return real_weight * real_loss.mean() + gap.mean()

    def g(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        return -per_sample(critic(fake), len(fake)).mean()

    return CriticLoss(d, g, relative=not real_weight)


def feature_matching(
    loss: Loss | CriticLoss | None = None,
    norm: Literal["l1", "l2"] = "l1",
    of: Literal["means", "pairs"] = "means",
) -> CriticLoss:
    """L_G = |E f(x) - E f(G)|, f features of D, L_D that of `loss` (Salimans 2016, arXiv:1606.03498, Sec. 3.1).

    The mean absolute difference, as in the authors' code, which made the paper's results; `norm="l2"` is the paper's
    text, the sum of squared differences. Of several layers and heads the values are summed. `of="pairs"` compares each
    fake with the real that it was made from, E |f(x) - f(G(x))| (Larsen 2016, arXiv:1512.09300), the mean over values
    in "l1" and their sum in "l2": for auto-encoders, codecs and vocoders. Asks the critic for features; `loss` None is
    `non_saturating()`.
    """
    check_choice(norm, ["l1", "l2"], f"norm cannot be {norm!r}")
    check_choice(of, ["means", "pairs"], f"features are compared by means or by pairs, not by {of!r}")
    adversarial = of_critic(non_saturating() if loss is None else loss)

    def distance(real: Tensor, fake: Tensor) -> Scalar:
        difference = mean_of_all(real.mean(0).detach() - fake.mean(0)) if of == "means" else real.detach() - fake
        return difference.abs().mean() if norm == "l1" else difference.square().sum(-1).mean()

    def g(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        if of == "means":
            asked.require_whole_batch("matching of features' means")
        pairs = zip(asked.features(real), asked.features(fake), strict=True)
        return torch.stack([distance(*pair) for pair in pairs]).sum()

    return replace(adversarial, g=g, paired=True)
