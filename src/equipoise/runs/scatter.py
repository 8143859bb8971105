"""Pictures of points: generated ones beside real ones, and the discriminator's landscape beneath them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from PIL import Image

from ..ranges import Range
from ..themes import THEMES, drawn_alike
from .landscape import COARSE, FINE, Landscape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = Float[np.ndarray, "n d"]
RealPoints = Float[np.ndarray, "m d"]
Ends = tuple[float, float]
REACH = 1.4  # how far a picture goes, in what networks see as 1
SHOWN = 2_000  # points of each side
INCHES, DOTS = 4.0, 144
LIGHT = THEMES["light"]
INK, SOFT, REAL, MADE = LIGHT.ink, LIGHT.soft, "#8d93a0", LIGHT.second
BINS = 80


def picture(
    generated: Points,
    range: Range,
    real: RealPoints | None = None,
    terrain: Landscape | None = None,
    density: Callable[[Points], Float[np.ndarray, " n"]] | None = None,
) -> Image.Image:
    """Generated beside real points; beside them the landscape of the discriminator, where it is known.

    Of points on a line histograms, with the exact density where it is known; of more than two dimensions the first two.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here, so that runs of images begin without it
    from matplotlib.figure import Figure

    with drawn_alike():
        figure = Figure(figsize=(INCHES * (1 + (terrain is not None)), INCHES), dpi=DOTS)
        figure.subplots_adjust(left=0.07, right=0.985, top=0.93, bottom=0.07, wspace=0.18)
        panels = [figure.add_subplot(1, 1 + (terrain is not None), 1)]
        ends = ends_of(range)
        draw = _histograms if generated.shape[1] == 1 else _scatter
        draw(panels[0], generated[:SHOWN], None if real is None else real[:SHOWN], ends, density)
        if terrain is not None:
            panels.append(figure.add_subplot(1, 2, 2))
            (_profile if generated.shape[1] == 1 else _contours)(panels[1], terrain, generated[:SHOWN])
        for axes in panels:
            _frame(axes, ends, square=generated.shape[1] > 1)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())


def ends_of(range: Range) -> Ends:
    """From where to where a picture goes."""
    middle, half = (range.low + range.high) / 2, (range.high - range.low) / 2
    return middle - REACH * half, middle + REACH * half


def _scatter(axes: "Axes", generated: Points, real: RealPoints | None, ends: Ends, density: object) -> None:
    axes.set_title("points", loc="left", color=INK)
    if real is not None:
        axes.scatter(real[:, 0], real[:, 1], s=5, color=REAL, linewidths=0, label="real")
    axes.scatter(generated[:, 0], generated[:, 1], s=5, color=MADE, linewidths=0, alpha=0.6, label="generated")
    _legend(axes)


def _histograms(
    axes: "Axes",
    generated: Points,
    real: RealPoints | None,
    ends: Ends,
    density: Callable[[Points], Float[np.ndarray, " n"]] | None,
) -> None:
    axes.set_title("density", loc="left", color=INK)
    bins = np.linspace(*ends, BINS + 1)
    axes.hist(generated[:, 0], bins.tolist(), density=True, color=MADE, alpha=0.6, label="generated")
    if density is not None:
        line = np.linspace(*ends, 400)
        axes.plot(line, np.exp(density(line[:, None])), color=INK, linewidth=1.4, label="real, exactly")
    elif real is not None:
        axes.hist(real[:, 0], bins.tolist(), density=True, color=INK, histtype="step", linewidth=1.2, label="real")
    _legend(axes)


def _contours(axes: "Axes", terrain: Landscape, generated: Float[np.ndarray, "k d"]) -> None:
    axes.set_title("discriminator's logit, and where it grows", loc="left", color=INK)
    grid = lambda values: values.reshape(FINE[2], FINE[2]).T
    x, y, heights = grid(terrain.places[:, 0]), grid(terrain.places[:, 1]), grid(terrain.values)
    low, high = np.quantile(terrain.values, (0.02, 0.98))  # far from the data it may be anything
    levels = np.linspace(low, max(high, low + 1e-6), 25)
    axes.contourf(x, y, heights, levels=levels, cmap="cividis", extend="both")
    axes.contour(x, y, heights, levels=levels[::2], colors="white", linestyles="solid", linewidths=0.3, alpha=0.5)
    norms = np.linalg.norm(terrain.gradients, axis=1, keepdims=True).clip(1e-12)
    arrows = terrain.gradients / np.sqrt(norms * norms.max())  # the root of their lengths can be seen
    axes.quiver(*terrain.at.T, *arrows.T, color="white", pivot="mid", scale=1.4 * COARSE[2], width=0.004, headwidth=4.5)
    axes.scatter(generated[:, 0], generated[:, 1], s=4, color="#ff9a4d", linewidths=0)


def _profile(axes: "Axes", terrain: Landscape, generated: Float[np.ndarray, "k d"]) -> None:
    axes.set_title("discriminator's logit, and where it grows", loc="left", color=INK)
    axes.plot(terrain.places[:, 0], terrain.values, color=LIGHT.first, linewidth=1.6)
    heights = np.interp(terrain.at[:, 0], terrain.places[:, 0], terrain.values)
    largest = max(np.abs(terrain.gradients).max(), 1e-12)
    axes.quiver(
        terrain.at[:, 0], heights, terrain.gradients[:, 0] / largest, 0 * heights, color=INK, scale=12, width=0.006
    )
    axes.plot(generated[:, 0], np.full(len(generated), terrain.values.min()), "|", color=MADE, alpha=0.3)


def _legend(axes: "Axes") -> None:
    axes.legend(loc="upper right", frameon=False, labelcolor=SOFT, markerscale=2, borderaxespad=0, ncols=2)


def _frame(axes: "Axes", ends: Ends, square: bool) -> None:
    axes.set_xlim(*ends)
    if square:
        axes.set_ylim(*ends)
        axes.set_aspect("equal")
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(colors=SOFT, length=0)
