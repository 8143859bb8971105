"""Generators and discriminators. An architecture builds a pair of networks for one image shape.

A generator is called as `G(z, labels) -> images in [-1, 1]` and has `z_dim`; a discriminator is called as
`D(images, labels) -> logits [batch]`, and the input of its last layer is the output of its submodule `features`.
Networks that are built without labels are called without.
"""

from .autoencoding import began as began
from .autoencoding import ebgan as ebgan
from .biggan import biggan as biggan
from .biggan_deep import biggan_deep as biggan_deep
from .dcgan import dcgan as dcgan
from .growing_translation import growing_cyclegan as growing_cyclegan
from .improved_gan import improved_gan as improved_gan
from .infogan import infogan as infogan
from .lapgan import lapgan as lapgan
from .mlp import mlp as mlp
from .pggan import pggan as pggan
from .r3 import r3 as r3
from .sagan import sagan as sagan
from .shape import Architecture as Architecture
from .shape import ImageShape as ImageShape
from .sn_cnn import sn_cnn as sn_cnn
from .sn_resnet import sn_resnet as sn_resnet
from .translation import cyclegan as cyclegan
from .translation import pix2pix as pix2pix
from .wgan_gp import wgan_gp_cnn as wgan_gp_cnn
from .wgan_gp import wgan_gp_resnet as wgan_gp_resnet
from .wn_gan import wn_gan as wn_gan
from .wn_resnet import wn_resnet as wn_resnet
