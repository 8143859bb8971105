"""Games with labels, for discriminators that have class logits."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, one_hot, relu

from ..checks import check_range
from ..critic import Critic, Fakes, Images, Scalar
from .objective import CriticLike, Game, Loss, as_game


def auxiliary_classifier(
    loss: str | Loss | Game = "non_saturating", d_weight: float = 1.0, g_weight: float = 1.0, fakes: bool = True
) -> Game:
    """L_D = L + w_D (C(x) + C(G)), L_G = L + w_G C(G), C = -E log P(c = y) (Odena 2017, arXiv:1610.09585, Eq. 2-3).

    L is another loss. `fakes=False` trains the classifier on reals alone, as WGAN-GP's code does, with `g_weight=0.1`.
    Asks the critic for class logits; needs labels. Of attributes, bool [b, k], C is the mean over them of each one's
    binary cross entropy, and of vectors, float [b, k], the mean squared error of the "class logits".
    """
    check_range(at_least=0, d_weight=d_weight, g_weight=g_weight)
    game = as_game(loss)

    def d(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        seen = (real, fake) if fakes else (real,)
        return game.d(asked, real, fake) + d_weight * torch.stack([_classify(asked, images) for images in seen]).sum()

    def g(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        return game.g(asked, real, fake) + g_weight * _classify(asked, fake)

    return Game(d, g, game.paired, game.state, game.energy)


def multi_hinge(margin: float = 1.0) -> Game:
    """L_D = E max(0, m - C_y(x) + max C_k(x)) + E max(0, m - C_f(G) + max C_k(G)) (Kavalerov 2021, arXiv:1912.04216).

    Crammer and Singer's hinge over the classes and f, "fake", each against the best of the others; L_G is the first
    term on fakes with the class that was asked for. The score of "fake" is minus the logit. Asks the critic for class
    logits; needs labels.
    """
    check_range(above=0, margin=margin)

    def d(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        scores = _scores(asked, fake)
        is_fake = torch.full_like(_classes(asked), scores.shape[1] - 1)
        return _margin(_scores(asked, real), _classes(asked), margin) + _margin(scores, is_fake, margin)

    def g(critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        asked = Critic.of(critic)
        return _margin(_scores(asked, fake), _classes(asked), margin)

    return Game(d, g)


def _classify(critic: Critic, images: Images) -> Scalar:
    labels = _labels(critic)
    answers = critic.class_logits(images)
    if labels.dtype == torch.bool:
        return binary_cross_entropy_with_logits(answers, labels.to(answers))
    return mse_loss(answers, labels.to(answers)) if labels.is_floating_point() else cross_entropy(answers, labels)


def _scores(critic: Critic, images: Images) -> Tensor:
    """[batch, classes + 1], the last one "fake"."""
    return torch.cat([critic.class_logits(images), -critic(images)[:, None]], dim=1)


def _margin(scores: Tensor, right: Tensor, margin: float) -> Scalar:
    """E max(0, m - the right score + the best wrong one)."""
    is_right = one_hot(right, scores.shape[1]).bool()
    wrong = scores.masked_fill(is_right, -torch.inf).amax(1)
    return relu(margin - scores[is_right] + wrong).mean()


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
        raise ValueError(f"multi_hinge is about classes, one an image, not {kind}; auxiliary_classifier takes all")
    return labels
