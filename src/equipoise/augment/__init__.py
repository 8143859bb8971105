"""Augmentations of what the discriminator sees, real and fake alike: differentiable functions of images.

Every sample draws its own transform from torch's generator of the images' device. Gradients of any order reach the
images that were given, so that penalties such as R1 can ask for the gradient at the images before augmentation.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from .adaptive import ada as ada
from .adaptive import transforms as transforms
from .diffaug import diffaug as diffaug

Images = Float[Tensor, "b c h w"]
Augmentation = Callable[[Images], Images]


def none() -> Augmentation:
    """T(x) = x: shows the discriminator the images as they are."""
    return lambda images: images
