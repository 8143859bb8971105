"""Self-attention over the pixels of a feature map."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from ..checks import check_range


class SelfAttention(nn.Module):
    """x + gamma W_o sum_j softmax_j(q_i' k_j) v_j, gamma from 0 (Zhang 2019, arXiv:1805.08318, Eq. 1-3).

    q = W_q x and k = W_k x have channels / 8 channels. As in the authors' code, keys and values are the maximum of 2x2
    pixels (fewer at an odd edge) and values have channels / 2; with `pooled=False`, as in the paper's text, they are
    not pooled and values have channels / 8. 1x1 convolutions without biases, which a norm can be applied to. The
    products are written out, as the fused kernels have no second derivative, which gradient penalties need.

    >>> x = torch.randn(2, 16, 5, 3)
    >>> torch.equal(SelfAttention(16)(x), x)  # gamma is 0 at first
    True
    """

    def __init__(self, channels: int, pooled: bool = True) -> None:
        super().__init__()
        check_range(at_least=1, channels=channels)
        narrow = max(1, channels // 8)
        inner = max(1, channels // 2) if pooled else narrow
        self.pooled = pooled
        self.query = nn.Conv2d(channels, narrow, 1, bias=False)
        self.key = nn.Conv2d(channels, narrow, 1, bias=False)
        self.value = nn.Conv2d(channels, inner, 1, bias=False)
        self.output = nn.Conv2d(inner, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Each pixel besides what it attends to."""
        queries, keys, values = self.query(x).flatten(2), self.pool(self.key(x)), self.pool(self.value(x))
        attention = (queries.mT @ keys).softmax(2)
        attended = (values @ attention.mT).unflatten(2, x.shape[2:])
        return x + self.gamma * self.output(attended)

    def pool(self, x: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k m"]:
        """The pixels that are attended to."""
        return (max_pool2d(x, 2, ceil_mode=True) if self.pooled else x).flatten(2)
