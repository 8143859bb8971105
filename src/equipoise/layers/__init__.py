"""Layers that torch lacks, and fast forms of what networks often do."""

from .activations import Affine as Affine
from .activations import TPReLU as TPReLU
from .activations import TReLU as TReLU
from .attention import SelfAttention as SelfAttention
from .batchwise import MinibatchDiscrimination as MinibatchDiscrimination
from .batchwise import MinibatchStd as MinibatchStd
from .conditional import ConditionalBatchNorm as ConditionalBatchNorm
from .conditional import SelfModulation as SelfModulation
from .noise import AdaptiveNoise as AdaptiveNoise
from .noise import InstanceNoise as InstanceNoise
from .normalising import InstanceNorm as InstanceNorm
from .normalising import LayerNorm as LayerNorm
from .normalising import PixelNorm as PixelNorm
from .resampling import convolve_then_halve as convolve_then_halve
from .resampling import double as double
from .resampling import double_then_convolve as double_then_convolve
from .shaping import CenterCrop as CenterCrop
from .shaping import CenterPad as CenterPad
from .virtual import VirtualBatchNorm as VirtualBatchNorm
from .virtual import with_reference as with_reference
