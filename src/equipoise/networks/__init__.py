"""Generators and discriminators. An architecture builds a pair of networks for one image shape.

A generator is called as `G(z, labels) -> images in [-1, 1]` and has `z_dim`; a discriminator is called as
`D(images, labels) -> logits [batch]`, and what its last layer looks at is the output of its submodule `features`.
Labels are class numbers, or None in networks without classes.
"""

from .dcgan import dcgan as dcgan
from .mlp import mlp as mlp
from .shape import Architecture as Architecture
from .shape import ImageShape as ImageShape
from .sn_cnn import sn_cnn as sn_cnn
from .sn_resnet import sn_resnet as sn_resnet
