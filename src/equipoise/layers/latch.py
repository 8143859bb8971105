"""A flag that is set once."""

import torch
from torch import Tensor, nn


class Latch(nn.Module):
    """False until `set` is called, then True for good; kept in the state dict.

    The flag is a tensor, so that it is saved, loaded and copied like a weight. While it is unset, asking reads it from
    the device; once that has given True, it is known and nothing waits for the device.
    """

    flag: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("flag", torch.zeros((), dtype=torch.bool))
        self.known = False
        self.register_load_state_dict_post_hook(_forget)

    def forward(self) -> bool:
        """Whether it is set."""
        self.known = self.known or bool(self.flag)
        return self.known

    def set(self) -> None:
        """Sets the flag."""
        self.flag.fill_(True)


def _forget(latch: nn.Module, _: object) -> None:
    latch.known = False  # type: ignore[assignment]
