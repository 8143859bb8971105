"""What the numbers of images are: bytes, or floats in a stated range; networks see either in [-1, 1]."""

from dataclasses import dataclass
from math import isfinite

import torch
from jaxtyping import Float, Real, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Range:
    """From `low` to `high`; floats are never rounded and never clipped.

    >>> Range.parse("-3:5").from_networks(torch.tensor([-1.0, 0.0, 1.5]))
    tensor([-3.,  1.,  7.])
    """

    low: int | float
    high: int | float
    is_bytes: bool = False

    def __post_init__(self) -> None:
        if not (isfinite(self.low) and isfinite(self.high) and self.low < self.high):
            raise ValueError(f"a range goes from a number to a larger one, not from {self.low} to {self.high}")

    @classmethod
    def parse(cls, text: str) -> "Range":
        """The inverse of `str`: "bytes", or "low:high"."""
        if text == "bytes":
            return BYTES
        low, _, high = text.partition(":")
        try:
            return cls(float(low), float(high))
        except ValueError:
            rule = "'bytes' or, for floats, the lowest and the highest value like 0:1 or -3:5"
            raise ValueError(f"range must be {rule}, not {text!r}") from None

    def __str__(self) -> str:
        return "bytes" if self.is_bytes else f"{float(self.low)}:{float(self.high)}"

    def to_networks(self, images: Real[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """2 (x - low) / (high - low) - 1."""
        if self.is_bytes:
            return images / 127.5 - 1
        return (images - (self.low + self.high) / 2) * (2 / (self.high - self.low))

    def from_networks(self, images: Float[Tensor, "*shape"]) -> Real[Tensor, "*shape"]:
        """The inverse of `to_networks`: of bytes rounded and clipped to 0..255."""
        if self.is_bytes:
            return (images.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).contiguous()
        return images.float() * ((self.high - self.low) / 2) + (self.low + self.high) / 2

    def to_bytes(self, images: Real[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
        """As images to be looked at: low is black, high is white."""
        return images if self.is_bytes else BYTES.from_networks(self.to_networks(images))


BYTES = Range(0, 255, is_bytes=True)
