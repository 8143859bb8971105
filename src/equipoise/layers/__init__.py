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
from .resampling import ConvolveThenHalve as ConvolveThenHalve
from .resampling import DoubleThenConvolve as DoubleThenConvolve
from .shaping import CenterCrop as CenterCrop
from .shaping import CenterPad as CenterPad
from .virtual import VirtualBatchNorm as VirtualBatchNorm
from .virtual import with_reference as with_reference
