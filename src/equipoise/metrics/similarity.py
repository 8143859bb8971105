"""How alike generated images are to each other, in structure: a measure of their diversity."""

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

from ..checks import check_range
from .full_precision import exact
from .intervals import of_mean
from .metric import Intervals, SetMetric, Values
from .statistics import Labels, check_keys

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
MIDDLE, C1, C2 = 127.5, (0.01 * 255) ** 2, (0.03 * 255) ** 2
CHUNK = 32  # images


def ms_ssim(pairs: int = 10_000) -> SetMetric:
    """mean over pairs of ssim_5^w_5 prod_i<5 cs_i^w_i (Wang et al. 2003); less is more diverse (arXiv:1610.09585).

    Pairs are consecutive images in the order in which they come, at most so many; windows shrink with the image, as in
    TensorFlow's code. It has no bias. Noise is diverse too: compare with the value of real images. With labels, pairs
    of one class say whether that class has collapsed. The interval is Student's.
    """
    check_range(at_least=2, pairs=pairs)
    statistic = lambda real: PairValues(pairs)
    return SetMetric("ms_ssim", statistic, _mean, _interval, sees="images", needs_real=False)


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


class PairValues:
    """The similarity of each pair of consecutive images, computed so many at a time whatever batches they come in."""

    def __init__(self, most: int) -> None:
        self.count, self.most = 0, most
        self._found: list[Tensor] = []
        self._waiting: Tensor | None = None

    def update(self, rows: UInt8[Tensor, "n c h w"], labels: Labels | None = None) -> None:
        """Compares the pairs that are complete, as long as there is room."""
        images = rows[: 2 * self.most - self.count].detach().clone()
        self.count += len(images)
        waiting = images if self._waiting is None else torch.cat([self._waiting, images])
        while len(waiting) >= CHUNK:
            self._found.append(_compared(waiting[:CHUNK]))
            waiting = waiting[CHUNK:]
        self._waiting = waiting.clone()

    @property
    def values(self) -> Float64[Tensor, " n"]:
        """The similarity of each pair."""
        rest = () if self._waiting is None else (_compared(self._waiting),)
        return torch.cat([torch.empty(0, dtype=torch.float64), *self._found, *rest])

    def state_dict(self) -> dict[str, Tensor]:
        """What was found, and the images that wait for others."""
        found = torch.cat([torch.empty(0, dtype=torch.float64), *self._found])
        return {"found": found, "waiting": torch.empty(0, 0, 0, 0).byte() if self._waiting is None else self._waiting}

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        check_keys(tensors, {"found", "waiting"})
        self._found, self._waiting = [tensors["found"]], tensors["waiting"]
        self.count = 2 * len(tensors["found"]) + len(tensors["waiting"])


def _compared(images: Tensor) -> Float64[Tensor, " n"]:
    with exact(images.device):
        count = len(images) // 2 * 2
        return similarities(images[0:count:2], images[1:count:2]).cpu().double()


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


def _mean(real: PairValues | None, generated: PairValues) -> Values:
    return {"ms_ssim": generated.values.mean().item()}


def _interval(real: PairValues | None, generated: PairValues) -> Intervals:
    values = generated.values
    return {"ms_ssim": of_mean(values.tolist())} if len(values) > 1 else {}
