"""Losses with labels, for discriminators that have class logits."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, one_hot, relu

from ..checks import check_range
from ..critic import Critic, CriticLike, Fakes, Images, Scalar, heads, per_sample
from .logits import non_saturating
from .objective import CriticLoss, Loss, of_critic


def auxiliary_classifier(
    loss: Loss | CriticLoss | None = None, d_weight: float = 1.0, g_weight: float = 1.0, fakes: bool = True
) -> CriticLoss:
    """L_D = L + w_D (C(x) + C(G)), L_G = L + w_G C(G), C = -E log P(c = y) (Odena 2017, arXiv:1610.09585, Eq. 2-3).

    L is another loss, None for `non_saturating()`. `fakes=False` trains the classifier on reals alone, as WGAN-GP's
    code does, with `g_weight=0.1`. Asks the critic for class logits; needs labels. Of attributes, bool [b, k], C is the
    mean over them of each one's binary cross entropy, and of vectors, float [b, k], the mean squared error of the
    "class logits". Of several heads the values of C are summed.
    """
    check_range(at_least=0, d_weight=d_weight, g_weight=g_weight)
    adversarial = of_critic(non_saturating() if loss is None else loss)

    def d(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        seen = (real, fake) if fakes else (real,)
        classified = torch.stack([_classify(asked, images) for images in seen]).sum()
        return adversarial.d(asked, real, fake) + d_weight * classified

    def g(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        return adversarial.g(asked, real, fake) + g_weight * _classify(asked, fake)

    return replace(adversarial, d=d, g=g)


def multi_hinge(margin: float = 1.0) -> CriticLoss:
    """L_D = E max(0, m - C_y(x) + max C_k(x)) + E max(0, m - C_f(G) + max C_k(G)) (Kavalerov 2021, arXiv:1912.04216).

    Crammer and Singer's hinge over the classes and f, "fake", each against the best of the others; L_G is the first
    term on fakes with the class that they are conditioned on. The score of "fake" is minus the logit. Asks the critic
    for class logits; needs labels.
    """
    check_range(above=0, margin=margin)

    def d(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        classes = _classes(asked)
        reals, fakes = _scores(asked, real), _scores(asked, fake)
        of_fakes = [_margin(scores, torch.full_like(classes, scores.shape[1] - 1), margin) for scores in fakes]
        return torch.stack([_margin(scores, classes, margin) for scores in reals] + of_fakes).sum()

    def g(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        return torch.stack([_margin(scores, _classes(asked), margin) for scores in _scores(asked, fake)]).sum()

    return CriticLoss(d, g)


def _classify(critic: Critic, images: Images) -> Scalar:
    labels = _labels(critic)
    return torch.stack([_cross_entropy(logits, labels) for logits in critic.class_logits(images)]).sum()


def _cross_entropy(logits: Tensor, labels: Tensor) -> Scalar:
    if labels.dtype == torch.bool:
        return binary_cross_entropy_with_logits(logits, labels.to(logits))
    return mse_loss(logits, labels.to(logits)) if labels.is_floating_point() else cross_entropy(logits, labels)


def _scores(critic: Critic, images: Images) -> list[Tensor]:
    """[batch, classes + 1] of each head, the last one "fake"."""
    pairs = zip(critic.class_logits(images), heads(critic(images)), strict=True)
    return [torch.cat([classes, -per_sample(logits, len(images))[:, None]], dim=1) for classes, logits in pairs]


def _margin(scores: Tensor, right: Tensor, margin: float) -> Scalar:
    """E max(0, m - the right score + the best wrong one)."""
    is_right = one_hot(right, scores.shape[1]).bool()
    wrong = scores.masked_fill(is_right, -torch.inf).amax(1)
    return relu(margin - scores.gather(1, right[:, None]).squeeze(1) + wrong).mean()


def _labels(critic: Critic) -> Tensor:
    if critic.labels is None:
        raise ValueError(
            "this loss is about labels and needs data with some, and a critic with them: Critic(D, labels)"
        )
    return critic.labels


def _classes(critic: Critic) -> Tensor:
    labels = _labels(critic)
    if labels.ndim != 1:
        kind = "attributes" if labels.dtype == torch.bool else "vectors"
        raise ValueError(f"multi_hinge is about classes, one per image, not {kind}; auxiliary_classifier takes all")
    return labels
