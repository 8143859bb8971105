"""What a penalty is, lazy evaluation, and state that is made on first use."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_range
from ..critic import Critic, CriticLike, Fakes, Images, Scalar
from ..processes import of_first

Penalty = Callable[[CriticLike, Images, Fakes], Scalar]


def detached(images: Images) -> Images:
    """The images detached, so that no gradient reaches the generator.

    Images that no network made are used as they are, so that a critic which remembers them needs no second run.
    """
    return images if images.is_leaf else images.detach()


def lazily(every: int, penalty: Penalty) -> Penalty:
    """The penalty on each `every`-th call, that many times as strong (Karras 2020, arXiv:1912.04958, Sec. 3.1)."""
    check_range(at_least=1, every=every)
    return penalty if every == 1 else Lazy(every, penalty)


class Lazy(nn.Module):
    """A penalty that is evaluated on the first of each `every` calls; the number of calls is kept in checkpoints."""

    def __init__(self, every: int, penalty: Penalty) -> None:
        super().__init__()
        self.every, self.penalty, self.calls = every, penalty, 0
        self.__qualname__ = getattr(penalty, "__qualname__", type(penalty).__name__)

    def forward(self, critic: CriticLike, real: Images, fake: Fakes) -> Scalar:
        """`every` times the penalty, or 0."""
        due = self.calls % self.every == 0
        self.calls += self.training and Critic.of(critic).completes_batch
        return self.every * self.penalty(critic, real, fake) if due else torch.zeros((), device=real.device)

    def get_extra_state(self) -> int:
        """What a checkpoint keeps besides tensors."""
        return self.calls

    def set_extra_state(self, state: int) -> None:
        """Takes over what `get_extra_state` gave."""
        self.calls = state


class Remembering(nn.Module):
    """An abstract module that keeps tensors by name, made when first asked for and loaded as they were saved."""

    def recall(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """The tensor of this name."""
        key = name.replace(".", "/")
        if key not in self._buffers:
            self.register_buffer(key, of_first(make()))
        return self.get_buffer(key)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        for key in state:
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and "." not in name and name not in self._buffers:
                self.register_buffer(name, torch.empty_like(state[key]))
        super()._load_from_state_dict(state, prefix, *others)
