"""How alike generated images are to each other, in structure: a measure of their diversity."""

from functools import partial

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

from ..checks import check_range
from .metric import SetMetric
from .pairs import PairValues, mean, mean_interval

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
MIDDLE, C1, C2 = 127.5, (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ms_ssim(pairs: int = 10_000) -> SetMetric:
    """mean over pairs of ssim_5^w_5 prod_i<5 cs_i^w_i (Wang et al. 2003); less is more diverse (arXiv:1610.09585).

    Pairs are consecutive images in the order in which they come, at most so many; windows shrink with the image, as in
    TensorFlow's code. It has no bias. Noise is diverse too: compare with the value of real images. With labels, pairs
    of one class say whether that class has collapsed. The interval is Student's.
    """
    check_range(at_least=2, pairs=pairs)
    statistic = lambda real: PairValues(pairs, similarities)
    value, interval = partial(mean, "ms_ssim"), partial(mean_interval, "ms_ssim")
    return SetMetric("ms_ssim", statistic, value, interval, sees="images", needs_real=False)


def similarities(x: UInt8[Tensor, "n c h w"], y: UInt8[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
    """MS-SSIM of each pair of images: contrast and structure at five scales, luminance at the coarsest."""
    x, y = x.float() - MIDDLE, y.float() - MIDDLE
    product = x.new_ones(len(x))
    for weight in WEIGHTS[:-1]:
        product = product * ssim(x, y)[1].clamp(0, 1) ** weight
        x, y = _halved(x), _halved(y)
    return product * ssim(x, y)[0].clamp(0, 1) ** WEIGHTS[-1]


def ssim(x: Float[Tensor, "n c h w"], y: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """SSIM = l cs, l = (2 m_x m_y + C1) / (m_x^2 + m_y^2 + C1), cs = (2 s_xy + C2) / (s_x^2 + s_y^2 + C2), and cs.

    Means over Gaussian windows that lie inside the image (Wang et al. 2004); pixels are less 127.5.
    """
    mx, my, xx, yy, xy = _blurred(torch.stack([x, y, x * x, y * y, x * y]))
    structure = (2 * (xy - mx * my) + C2) / (xx - mx * mx + yy - my * my + C2)
    mx, my = mx + MIDDLE, my + MIDDLE
    whole = (2 * mx * my + C1) / (mx * mx + my * my + C1) * structure
    return whole.mean((1, 2, 3)), structure.mean((1, 2, 3))


def _blurred(maps: Float[Tensor, "maps n c h w"]) -> Float[Tensor, "maps n c y x"]:
    flat = maps.flatten(0, 2)[:, None]
    size = min(WINDOW, *maps.shape[-2:])
    window = _window(size, maps.device)
    blurred = conv2d(conv2d(flat, window.view(1, 1, size, 1)), window.view(1, 1, 1, size))
    return blurred.unflatten(0, maps.shape[:3])[:, :, :, 0]


def _window(size: int, device: torch.device) -> Float[Tensor, " s"]:
    """A Gaussian window of so many pixels, narrower where there are fewer than eleven."""
    places = torch.arange(size, device=device) - (size - 1) / 2
    return (-places.square() / (2 * (SIGMA * size / WINDOW) ** 2)).softmax(0)


def _halved(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c y x"]:
    """Means of 2x2 pixels; the last of an odd number counts twice."""
    height, width = images.shape[-2:]
    return avg_pool2d(pad(images, (0, width % 2, 0, height % 2), mode="replicate"), 2)
