"""Layers that torch lacks."""

from .conditional import ConditionalBatchNorm as ConditionalBatchNorm
from .shaping import CenterCrop as CenterCrop
from .shaping import CenterPad as CenterPad
