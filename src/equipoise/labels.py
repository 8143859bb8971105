"""What labels are: classes, boolean attributes, or vectors."""

from typing import Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from .checks import check_choice

Kind = Literal["none", "classes", "attributes", "vectors"]
Labels = Int64[Tensor, "b"] | Bool[Tensor, "b k"] | Float[Tensor, "b k"]


class LabelSpace(NamedTuple):
    """The labels of a set of images: their kind, and how many classes, attributes or dimensions there are.

    "classes" are indices, int64 [b]; "attributes" are booleans, bool [b, size]; "vectors" are any numbers of about unit
    size, float32 [b, size]. Where networks take class indices they also take weights of all classes, float32 [b, size]:
    a mixture.

    >>> bool(LabelSpace()), bool(LabelSpace("classes", 10))
    (False, True)
    """

    kind: Kind = "none"
    size: int = 0

    def __bool__(self) -> bool:
        return self.kind != "none"

    def example(self, count: int) -> Labels | None:
        """Some labels of this kind, the first ones of which differ."""
        check_choice(self.kind, ["none", "classes", "attributes", "vectors"], f"labels cannot be {self.kind!r}")
        numbers = torch.arange(count)
        if self.kind == "attributes":
            return (numbers[:, None] + torch.arange(self.size)) % 2 == 0
        if self.kind == "vectors":
            return torch.sin(1.0 + numbers[:, None] + torch.arange(self.size))
        return numbers % self.size if self else None


SomeLabels = TypeVar("SomeLabels", Tensor, Tensor | None)


def in_turn(labels: SomeLabels, count: int) -> SomeLabels:
    """`count` labels: one after the other, and from the first one again.

    >>> in_turn(torch.tensor([5, 7]), 3).tolist()
    [5, 7, 5]
    """
    return None if labels is None else labels[torch.arange(count, device=labels.device) % len(labels)]
