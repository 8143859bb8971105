"""Random numbers that are a function of a seed and a position, so that a resumed run is the same run."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

# These keep random numbers apart that are drawn from one seed and position.
STEPS = int.from_bytes(b"steps")
LATENTS = int.from_bytes(b"latents")
NOISE = int.from_bytes(b"noise")  # of images of bytes
SECOND_DOMAIN = int.from_bytes(b"domain b")  # whose order is apart from that of the first


def mixed(*numbers: int) -> int:
    """A seed made of several numbers: different ones give independent streams."""
    return int(np.random.SeedSequence([number % 2**64 for number in numbers]).generate_state(1, np.uint64)[0])


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draws torch's randomness from the seed inside, on the CPU and on this device; leaves all others untouched.

    The caller's generators come back as they were, and those of other GPUs are never seeded.
    """
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def normal(seed: int, count: int, size: int, device: torch.device) -> Tensor:
    """N(0, I), [count, size], a function of the seed alone."""
    return torch.randn(count, size, device=device, generator=torch.Generator(device).manual_seed(seed))


def random_state(device: torch.device) -> list[Tensor]:
    """The state of all generators that a network on this device may draw from: the CPU's, and that of a GPU."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_random_state(device: torch.device, states: list[Tensor]) -> None:
    """Puts back what `random_state` gave."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)


def has_drawn(device: torch.device, before: list[Tensor]) -> bool:
    """Whether a random number has been drawn since."""
    return not all(map(torch.equal, before, random_state(device)))
