"""Feature extractors: each function returns `Features`, a map from uint8 images to vectors.

A distance means something only together with the name and the hash of its features: numbers of different features are
never to be compared. `mobilenet` sees what people see in images of any kind, `inception` is what papers print, `dinov2`
and `clip` are what newer ones print, `resnet56` knows CIFAR-10 and `builtin` clothes and digits; `random` and `pixels`
know nothing. All but `inception`, `resnet56`, `dinov2` and `clip` come along, without a download.
"""

from .extractors import Features as Features
from .extractors import builtin as builtin
from .extractors import clip as clip
from .extractors import dinov2 as dinov2
from .extractors import inception as inception
from .extractors import mobilenet as mobilenet
from .extractors import pixels as pixels
from .extractors import random as random
from .extractors import resnet56 as resnet56
