"""Layers that torch lacks, and fast forms of what networks often do."""

from .conditional import ConditionalBatchNorm as ConditionalBatchNorm
from .resampling import convolve_then_halve as convolve_then_halve
from .resampling import double as double
from .resampling import double_then_convolve as double_then_convolve
from .shaping import CenterCrop as CenterCrop
from .shaping import CenterPad as CenterPad
