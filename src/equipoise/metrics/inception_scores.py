"""What a classifier says of generated images."""

from functools import partial
from math import exp

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..checks import check_range
from .intervals import of_mean
from .kept import Rows, float64
from .metric import Intervals, SetMetric, Values, rows


def inception_score(splits: int = 10) -> SetMetric:
    """exp E_x KL(p(y | x) | p(y)), the mean over splits (Salimans et al. 2016, arXiv:1606.03498); more is better.

    p(y | x) is what the features' own classifier says, Inception's for papers; splits are consecutive. It is at most
    the number of classes, and too small for few images in a split: papers have 5,000.
    """
    check_range(at_least=1, splits=splits)
    value, interval = partial(_score, splits), partial(_interval, splits)
    return SetMetric("inception_score", rows, value, interval, sees="logits", higher=True, needs_real=False)


def scores(logits: Float[Tensor, "n k"], splits: int) -> list[float]:
    """exp(mean_x sum_y p(y | x) (log p(y | x) - log p(y))) of each split, p(y) being its mean."""
    logs = float64(logits).log_softmax(1)
    return [exp(_divergence(part)) for part in logs.tensor_split(min(splits, len(logs)))]


def _divergence(logs: Float64[Tensor, "n k"]) -> float:
    marginal = logs.logsumexp(0) - torch.tensor(float(len(logs)), dtype=logs.dtype).log()
    return (logs.exp() * (logs - marginal)).sum(1).mean().item()


def _score(splits: int, real: Rows | None, generated: Rows) -> Values:
    return {"inception_score": sum(found := scores(generated.rows, splits)) / len(found)}


def _interval(splits: int, real: Rows | None, generated: Rows) -> Intervals:
    found = scores(generated.rows, splits)
    return {"inception_score": of_mean(found)} if len(found) > 1 else {}
