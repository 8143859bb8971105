"""Pictures of many numbers over time, as SVG: a map of rows and times, and spectra."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..themes import Theme
from . import numbers
from .plots import INCHES, as_svg, quiet
from .record import Values

ROW = 0.19  # inches
LONGEST = 22  # letters of a name
SHORT = 15  # letters above a panel
PANELS = 12  # layers whose spectra are shown
ACROSS = 4


class Heat(NamedTuple):
    """A map: a row for each name, or for each cell of `grid`, over time; darker is more."""

    title: str
    caption: str
    names: list[str]
    seen: Values
    values: Values
    grid: Values | None = None
    means: Values | None = None
    log: bool = False


class Spectra(NamedTuple):
    """Singular values of each layer, a line for each of some times."""

    title: str
    caption: str
    layers: dict[str, list[Values]]


def svg(picture: Heat | Spectra, theme: Theme) -> bytes:
    """A picture as SVG."""
    if isinstance(picture, Spectra):
        return as_svg(lambda figure: _panels(figure, picture, theme), (INCHES[0], 0.5 + 0.8 * _rows_of(picture)))
    height = INCHES[1] if picture.grid is not None else max(1.2, 0.55 + ROW * len(picture.names))
    return as_svg(lambda figure: _map(figure, picture, theme), (INCHES[0], height))


def in_words(picture: Heat | Spectra) -> str:
    """What a picture shows, for those who do not see it."""
    if isinstance(picture, Spectra):
        ends = {name: lines[-1] for name, lines in picture.layers.items()}
        parts = [f"{name} from {numbers.value(one[0])} to {numbers.value(one[-1])}" for name, one in ends.items()]
        return f"{picture.title}: at the end {'; '.join(parts)}"
    if picture.means is not None:
        first, last = (numbers.value(float(picture.means[at])) for at in (0, -1))
        return f"{picture.title} against images seen: mean from {first} to {last}"
    rows = zip(picture.names, picture.values, strict=True)
    parts = [f"{name} from {numbers.value(float(row[0]))} to {numbers.value(float(row[-1]))}" for name, row in rows]
    return f"{picture.title} against images seen: {'; '.join(parts)}"


def shades(theme: Theme) -> LinearSegmentedColormap:
    """From the card's own colour to the theme's first."""
    return LinearSegmentedColormap.from_list("shades", [theme.card, theme.first])


def _map(figure: Figure, heat: Heat, theme: Theme) -> None:
    height = figure.get_figheight()
    letters = max((min(len(name), LONGEST) for name in heat.names), default=6)
    sides = {"left": max(0.115, 0.03 + 0.0135 * letters), "right": 0.87 if heat.names else 0.98}
    figure.subplots_adjust(**sides, top=1 - 0.12 / height, bottom=0.46 / height)
    axes = figure.add_subplot()
    edges = heat.grid if heat.grid is not None else np.arange(len(heat.names) + 1) - 0.5
    axes.pcolormesh(_edges(heat.seen), edges, heat.values, cmap=shades(theme), norm=_norm(heat), rasterized=True)
    if heat.means is not None:
        axes.plot(heat.seen, heat.means, color=theme.ink, linewidth=1.2)
        axes.set_yscale("log" if heat.log else "linear")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: numbers.short(round(number, 9))))
    else:
        _name_rows(axes, heat, theme)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: numbers.short(round(number, 9))))
    quiet(axes, theme)
    axes.set_xlabel("images seen", color=theme.soft)


def _norm(heat: Heat) -> Normalize:
    """Shades of a histogram are its own; of values, from below the smallest to the largest."""
    known = heat.values[np.isfinite(heat.values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if heat.grid is not None:
        return Normalize(0, 1)
    if low > 0 and high > 10 * low:
        return LogNorm(low / 1.5, high)
    return Normalize(low - 0.15 * ((high - low) or 1), high)


def _name_rows(axes: Axes, heat: Heat, theme: Theme) -> None:
    """Names at the left and last values at the right, the first row at the top."""
    axes.invert_yaxis()
    axes.set_yticks(range(len(heat.names)), [_short(name) for name in heat.names], fontsize=7)
    for at, row in enumerate(heat.values):
        last, place = float(row[-1]), ("axes fraction", "data")
        text = numbers.value(last) if abs(last) >= 0.01 else numbers.short(round(last, 4) or 0)
        axes.annotate(text, (1.02, at), xycoords=place, va="center", fontsize=7, color=theme.ink)


def _edges(seen: Values) -> Values:
    """Where cells around moments begin and end; halfway to the next ones."""
    if len(seen) < 2:
        return np.array([seen[0] - 0.5, seen[0] + 0.5])
    middle = (seen[1:] + seen[:-1]) / 2
    return np.concatenate([[seen[0]], middle, [seen[-1]]])


def _short(name: str, longest: int = LONGEST) -> str:
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


def _rows_of(picture: Spectra) -> int:
    return -(-min(len(picture.layers), PANELS) // ACROSS)


def _panels(figure: Figure, picture: Spectra, theme: Theme) -> None:
    """A small panel a layer; of many layers those at even distances."""
    names = [*picture.layers]
    chosen = [names[round(at)] for at in np.linspace(0, len(names) - 1, min(len(names), PANELS))]
    height = figure.get_figheight()
    room = {"left": 0.07, "right": 0.99, "wspace": 0.35, "hspace": 0.75}
    figure.subplots_adjust(**room, top=1 - 0.2 / height, bottom=0.18 / height)
    for number, name in enumerate(chosen):
        _panel(figure.add_subplot(_rows_of(picture), ACROSS, number + 1), name, picture.layers[name], theme)


def _panel(axes: Axes, name: str, lines: list[Values], theme: Theme) -> None:
    top = max(float(line.max()) for line in lines)
    for at, line in enumerate(lines):
        alpha = 1.0 if at == len(lines) - 1 else 0.12 + 0.38 * at / len(lines)
        place = np.linspace(0, 1, len(line)) if len(line) > 1 else np.array([0.5])
        axes.plot(place, line, color=theme.first, alpha=alpha, linewidth=1.1, marker="." if len(line) < 2 else "")
    axes.set_title(_short(name, SHORT), fontsize=6.5, color=theme.soft, pad=3, loc="left")
    axes.set_ylim(0, 1.08 * top or 1)
    axes.set_xticks([])
    axes.set_yticks([0, top], ["0", numbers.value(top)], fontsize=6.5)
    quiet(axes, theme)
