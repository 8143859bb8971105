"""What a classifier learns of generated images that bear labels, and what it makes of them."""

from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..checks import check_range
from ..numerics import wide
from .intervals import of_share
from .kept import Classes, Rows, once
from .metric import Intervals, SetMetric, Values, pair_of_rows, rows

STEPS = 200  # of L-BFGS at most


def classifier_scores(ridge: int | float = 1e-3) -> SetMetric:
    """gan_train: accuracy on real x of argmax W x fitted on generated; gan_test: the reverse (arXiv:1807.09499).

    The classifier of Shmelkov et al. 2018 is multinomial logistic regression here, on standardised features, with
    ridge |W|^2 / 2. `gan_train` falls with poor quality and with little diversity, `gan_test` with poor quality alone:
    it may exceed the accuracy among real images. Few images make `gan_train` too low. The intervals are Wilson's over
    the images that are tested.
    """
    check_range(at_least=0, ridge=ridge)
    value, interval = partial(_values, ridge), partial(_intervals, ridge)
    return SetMetric("classifier_scores", rows, value, interval, labelled=True, higher=True)


def accuracy(
    fitted: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    tested: Float[Tensor, "m d"],
    expected: Int64[Tensor, " m"],
    ridge: int | float,
) -> float:
    """The share of rows whose class is told by a logistic regression that was fitted to others."""
    fitted, tested = wide(fitted), wide(tested)
    mean, deviation = fitted.mean(0), fitted.std(0)
    scale = torch.where(deviation > 0, deviation, 1)
    known, asked = (fitted - mean) / scale, (tested - mean) / scale
    weight, bias = regression(known, labels, int(torch.cat([labels, expected]).max()) + 1, ridge)
    return ((asked @ weight + bias).argmax(1) == expected).double().mean().item()


def regression(
    rows: Float[Tensor, "n d"], labels: Classes, classes: int, ridge: int | float
) -> tuple[Float[Tensor, "d k"], Float[Tensor, " k"]]:
    """argmin_W,b mean cross-entropy(softmax(W x + b), y) + ridge |W|^2 / 2, by L-BFGS."""
    weight = rows.new_zeros(rows.shape[1], classes, requires_grad=True)
    bias = rows.new_zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(rows @ weight + bias, labels) + ridge / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return weight.detach(), bias.detach()


def _values(ridge: int | float, real: Rows, generated: Rows) -> Values:
    x, y = pair_of_rows("classifier_scores", real, generated)
    one, other = (side.labels.to(y.device) for side in (real, generated))
    return {
        "gan_train": once(real, generated, ("train", ridge), lambda: accuracy(y, other, x, one, ridge)),
        "gan_test": once(real, generated, ("test", ridge), lambda: accuracy(x, one, y, other, ridge)),
    }


def _intervals(ridge: int | float, real: Rows, generated: Rows) -> Intervals:
    tested = {"gan_train": real.count, "gan_test": generated.count}
    return {name: of_share(share, tested[name]) for name, share in _values(ridge, real, generated).items()}
