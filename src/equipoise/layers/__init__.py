"""Layers that torch lacks, and fast forms of what networks often do."""

from .attention import SelfAttention as SelfAttention
from .batchwise import MinibatchDiscrimination as MinibatchDiscrimination
from .batchwise import MinibatchStd as MinibatchStd
from .conditional import ConditionalBatchNorm as ConditionalBatchNorm
from .conditional import SelfModulation as SelfModulation
from .feature_norms import InstanceNorm as InstanceNorm
from .feature_norms import LayerNorm as LayerNorm
from .feature_norms import PixelNorm as PixelNorm
from .noise import AdaptiveNoise as AdaptiveNoise
from .noise import InstanceNoise as InstanceNoise
from .resampling import ConvolveThenHalve as ConvolveThenHalve
from .resampling import DoubleThenConvolve as DoubleThenConvolve
from .shaping import CenterCrop as CenterCrop
from .shaping import CenterPad as CenterPad
from .shaping import ToMultiple as ToMultiple
from .trelu import Affine as Affine
from .trelu import TPReLU as TPReLU
from .trelu import TReLU as TReLU
from .virtual import VirtualBatchNorm as VirtualBatchNorm
from .virtual import with_reference as with_reference
