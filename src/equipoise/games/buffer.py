"""Fakes of earlier steps, shown to a discriminator again."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..checks import check_range
from ..penalties.lazy import Remembering
from ..processes import of_first, of_whole_batch

Images = Float[Tensor, "b c h w"]


class ImageBuffer(Remembering):
    """New fakes or, each with probability 1/2, one of earlier steps (Zhu 2017, arXiv:1703.10593, Sec. 4).

    The new one takes the place of the other. Until `size` images are kept, and always where that is 0, the images come
    back as they are. Images of another size, of networks that have grown, begin a new buffer. Checkpoints keep it.

    >>> _ = torch.manual_seed(0)
    >>> buffer, fakes = ImageBuffer(size=2), torch.arange(6.0).reshape(6, 1, 1, 1)
    >>> buffer(fakes).flatten().tolist()  # 0 and 1 were kept; then each new one or one that was kept
    [0.0, 1.0, 1.0, 2.0, 3.0, 5.0]
    """

    def __init__(self, size: int = 50) -> None:
        super().__init__()
        check_range(at_least=0, size=size)
        self.size = size

    @torch.no_grad()
    def forward(self, fakes: Images) -> Images:
        """As many images."""
        if not self.size:
            return fakes
        kept = self.recall("images", lambda: fakes.new_zeros(self.size, *fakes.shape[1:]))
        count = self.recall("count", lambda: torch.zeros((), dtype=torch.int64))
        if kept.shape[1:] != fakes.shape[1:]:  # the networks have grown
            kept = self.images = fakes.new_zeros(self.size, *fakes.shape[1:])
            count.zero_()
        return of_whole_batch(partial(self.exchange, kept, count), fakes)

    def exchange(self, kept: Float[Tensor, "size c h w"], count: Tensor, fakes: Images) -> Images:
        """What is shown in place of a whole batch."""
        shown = fakes.clone()
        earlier = (of_first(torch.rand(len(fakes))) < 0.5).tolist()
        places = of_first(torch.randint(self.size, (len(fakes),))).tolist()
        filled = int(count)
        for number, fake in enumerate(fakes):
            if filled < self.size:
                kept[filled] = fake
                filled += 1
            elif earlier[number]:
                shown[number], kept[places[number]] = kept[places[number]].clone(), fake
        count.fill_(filled)
        return shown
