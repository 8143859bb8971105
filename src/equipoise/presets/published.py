"""What published GANs have in common, where they differ from the default."""

from dataclasses import replace
from typing import Any

from ..recipe import Recipe


def published(**choices: Any) -> Recipe:
    """A recipe with what most papers do: no penalty, no augmentation, batches of 64, constant rates of 2e-4."""
    usual: dict[str, Any] = {
        "penalties": (),
        "d_norm": "none",
        "augment": "none",
        "mirror": False,
        "batch": 64,
        "lr_g": 2e-4,
        "lr_d": 2e-4,
        "optimizer": "adam",
    }
    return replace(Recipe(), **usual | choices)
