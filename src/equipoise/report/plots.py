"""Curves as SVG."""

import io
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ..themes import Theme, drawn_alike
from . import numbers
from .record import Values

INCHES = (4.2, 2.55)
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif"
STYLE = {
    "svg.hashsalt": "equipoise",
    "svg.fonttype": "none",
    "path.simplify_threshold": 0.3,
}
NOISY = 40  # from so many points on a line is smoothed


class Line(NamedTuple):
    """A curve: its name, the theme's colour that it has, its points, and a band around it where there is one."""

    name: str
    colour: str
    x: Values
    y: Values
    band: tuple[Values, Values] | None = None
    dashed: bool = False


class Mark(NamedTuple):
    """A point with a word to it."""

    x: float
    y: float
    text: str


class Plot(NamedTuple):
    """Curves with the words around them."""

    title: str
    caption: str
    x_label: str
    lines: list[Line]
    log: bool = False
    mark: Mark | None = None
    floor: float | None = None


def spans(lines: Sequence[Line], times: int | float = 10, *others: int | float) -> bool:
    """Whether all numbers are above 0, and the largest is more than so many times the smallest: for a log scale."""
    heights = np.concatenate([*(line.y for line in lines), others])
    return bool(0 < times * np.nanmin(heights) < np.nanmax(heights))


def svg(plot: Plot, theme: Theme) -> bytes:
    """A plot as SVG."""

    def draw(figure: Figure) -> None:
        figure.subplots_adjust(left=0.115, right=0.98, top=0.95, bottom=0.19)
        _draw(figure.add_subplot(), plot, theme)

    return as_svg(draw, INCHES)


def as_svg(draw: Callable[[Figure], None], inches: tuple[float, float]) -> bytes:
    """A figure as SVG: the same bytes for the same data, whatever the user's matplotlib is set to."""
    with drawn_alike(STYLE):
        figure = Figure(figsize=inches)
        draw(figure)
        out = io.BytesIO()
        figure.savefig(out, format="svg", dpi=200, transparent=True, metadata={"Date": None, "Creator": None})
    return re.sub(r"'DejaVu Sans'[^;\"]*", FONT, out.getvalue().decode()).encode()


def _draw(axes: Axes, plot: Plot, theme: Theme) -> None:
    for line in plot.lines:
        _curve(axes, line, getattr(theme, line.colour))
    if plot.floor is not None:
        axes.axhline(plot.floor, color=theme.soft, linewidth=1, dashes=(4, 3))
    if plot.mark:
        _mark(axes, plot.mark, theme, getattr(theme, plot.lines[-1].colour))
    _frame(axes, plot, theme)


def _curve(axes: Axes, line: Line, colour: str) -> None:
    noisy = len(line.x) >= NOISY
    point = "o" if len(line.x) < NOISY else ""
    axes.plot(
        line.x,
        line.y,
        color=colour,
        linewidth=0.7 if noisy else 1.5,
        alpha=0.35 if noisy else 1,
        marker=point,
        markersize=2.4,
        solid_joinstyle="round",
        linestyle="--" if line.dashed else "-",
    )
    if line.band:
        axes.fill_between(line.x, *line.band, color=colour, alpha=0.16, linewidth=0)
    if noisy:
        axes.plot(line.x, smooth(line.y), color=colour, linewidth=1.5, solid_joinstyle="round")


def _mark(axes: Axes, mark: Mark, theme: Theme, colour: str) -> None:
    axes.plot([mark.x], [mark.y], marker="o", markersize=6, markerfacecolor=theme.card, markeredgecolor=colour, mew=1.6)
    low, high = axes.get_xlim()
    place = (mark.x - low) / (high - low)
    axes.annotate(
        mark.text,
        (mark.x, mark.y),
        (0, -7),
        textcoords="offset points",
        ha="left" if place < 0.15 else "right" if place > 0.85 else "center",
        va="top",
        color=theme.ink,
        weight="bold",
        bbox={"facecolor": theme.card, "edgecolor": "none", "pad": 1},
    )


def _frame(axes: Axes, plot: Plot, theme: Theme) -> None:
    if plot.log and _varies(plot):
        _log_scale(axes)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.02, y=0.18 if plot.mark else 0.1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda number, _: numbers.short(round(number, 9))))
    axes.grid(axis="y", color=theme.rule, linewidth=0.7)
    axes.set_axisbelow(True)
    quiet(axes, theme)
    axes.set_xlabel(plot.x_label, color=theme.soft)


def quiet(axes: Axes, theme: Theme) -> None:
    """Leaves of the frame the line below, without ticks."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(theme.rule)
    axes.tick_params(colors=theme.soft, length=0, pad=4)


def _varies(plot: Plot) -> bool:
    y = np.concatenate([line.y for line in plot.lines])
    return bool(np.nanmax(y) > 1.5 * np.nanmin(y))


def _log_scale(axes: Axes) -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high < 10 * low:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,), numticks=9))
    axes.yaxis.set_minor_locator(NullLocator())


def smooth(y: Values) -> Values:
    """The mean of each point and its neighbours, a twenty-fifth of all points; gaps stay gaps."""
    window = np.ones(2 * (len(y) // 50) + 1)
    known = np.isfinite(y)
    around: Callable[[Values], Values] = lambda values: np.convolve(values, window, mode="same")
    return np.where(known, around(np.where(known, y, 0)) / np.maximum(around(known.astype(np.float64)), 1), np.nan)
