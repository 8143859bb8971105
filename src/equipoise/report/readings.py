"""What instruments have said of a run's networks: which pictures there are, and what to look for in them."""

from collections.abc import Iterable, Iterator
from itertools import cycle
from math import log
from typing import Any

import numpy as np

from .curves import COLOURS, PLAYERS
from .heat import Heat, Spectra
from .plots import Line, Plot, spans
from .record import Record, Values

Series = dict[int, Any]
"""What was read, by images seen."""
TITLES = {
    "lipschitz_bound": "Lipschitz bound",
    "lipschitz_estimate": "Lipschitz estimate",
    "js_estimate": "JS estimate",
}
TIMES = 9  # at which spectra are drawn
LINES = 3  # names that are curves; of more there is a picture
CELLS = 40  # of a histogram over time
WIDE = 10  # times the smallest mean norm that the largest is, from which the axis is logarithmic

CAPTIONS = {
    "effective_rank": "How many directions each layer uses; at the right the last. Healthy: it does not collapse.",
    "sigma_error": "Power iteration against the SVD. Healthy: within a few hundredths of 0; below, norms are above 1.",
    "lipschitz_bound": "The product of the layers' norms, from above. Far above the estimate: as usual.",
    "lipschitz_estimate": "Largest gradient norm on and between the data, from below. Healthy: does not climb.",
    "js_estimate": "Jensen-Shannon divergence by the logits, at most log 2, dashed: then they tell all apart.",
    "transport_gap": "The earth mover's distance of a batch, and what the critic knows of it. Healthy: both fall.",
}
"""What to look for in the numbers of an instrument."""
KINDS = {
    "reshaped": (
        "largest singular values",
        "Of each layer's weight as a matrix; at the right the last. Healthy: none runs away.",
    ),
    "operator": (
        "norms of convolutions",
        "Of each convolution as an operator on images, whose norm its matrix does not bound.",
    ),
}
"""Of spectra, what is shown of each kind, and what to look for."""
FLOORS = {"js_estimate": log(2)}
OTHER = "Measured by an instrument."


def pictures(record: Record) -> Iterator[Plot | Heat | Spectra]:
    """All pictures of instruments, those of one instrument together."""
    for name in dict.fromkeys(name for row in record.readings.values() for net in row.values() for name in net):
        by_net = {net: series(record, net, name) for net in nets(record)}
        known = {net: found for net, found in by_net.items() if found}
        if name == "spectrum":
            for net, found in known.items():
                yield from (largest(net, found, kind) for kind in KINDS if keys_of_kind(found, kind))
                yield from [spectra(net, found)] * bool(keys_of_kind(found, "reshaped"))
        elif name == "gradient_norms":
            yield from (histogram(net, whole) for net, found in known.items() if (whole := complete(found)))
        else:
            yield from curves_or_heats(name, known)


def nets(record: Record) -> list[str]:
    """The networks that were measured, discriminators first."""
    found = dict.fromkeys(net for row in record.readings.values() for net in row)
    return sorted(found, key=lambda net: (not net.startswith("D"), net))


def series(record: Record, net: str, name: str) -> Series:
    """What an instrument has said of a network."""
    every = {seen: row.get(net, {}).get(name) for seen, row in record.readings.items()}
    return {seen: found for seen, found in every.items() if isinstance(found, dict) and found}


def net_title(net: str) -> str:
    """A network in words: "Discriminator", "Generator ab"."""
    role, _, rest = net.partition("_")
    return f"{PLAYERS.get(role.lower(), role).capitalize()} {rest}".strip()


def words(name: str) -> str:
    """An instrument, or a number of one, in words."""
    return TITLES.get(name, name.replace("_", " "))


def curves_or_heats(name: str, by_net: dict[str, Series]) -> Iterator[Plot | Heat]:
    """Curves of an instrument with few numbers, of all networks in one plot; else a picture for each network."""
    lines: list[Line] = []
    for net, found in by_net.items():
        keys = keys_of(found.values(), float | int)
        if len(keys) > LINES:
            title = f"{net_title(net)}: {words(name)}"
            yield Heat(title, CAPTIONS.get(name, OTHER), keys, seen(found), rows(found, keys))
        else:
            labels = [net_title(net) if len(keys) == 1 else f"{net_title(net)}: {words(key)}" for key in keys]
            lines += [Line(line, "", seen(found), one) for line, one in zip(labels, rows(found, keys), strict=True)]
    coloured = [line._replace(colour=colour) for line, colour in zip(lines, cycle(COLOURS), strict=False)]
    if coloured:
        title = words(name)[:1].upper() + words(name)[1:]
        caption, floor = CAPTIONS.get(name, OTHER), FLOORS.get(name)
        yield Plot(title, caption, "images seen", coloured, floor is None and spans(coloured, WIDE**2), floor=floor)


def largest(net: str, found: Series, kind: str) -> Heat:
    """The largest singular value of each layer over time."""
    layers = keys_of_kind(found, kind)
    first = {at: {key: row[key][0] for key in layers if row.get(key)} for at, row in found.items()}
    names = [key.removesuffix(f".{kind}") for key in layers]
    what, caption = KINDS[kind]
    return Heat(f"{net_title(net)}: {what}", caption, names, seen(found), rows(first, layers))


def spectra(net: str, found: Series) -> Spectra:
    """All singular values of each layer, at some times."""
    times = [*found.values()]
    chosen = [times[round(at)] for at in np.linspace(0, len(times) - 1, min(len(times), TIMES))]
    by_layer = {
        key.removesuffix(".reshaped"): [np.array(row[key], np.float64) for row in chosen if row.get(key)]
        for key in keys_of_kind(found, "reshaped")
    }
    caption = (
        "The singular values of each layer's matrix from the largest to the smallest, at up to nine times, the last "
        "in full colour. Steep: a layer uses few directions."
    )
    return Spectra(f"{net_title(net)}: spectra", caption, by_layer)


def keys_of_kind(found: Series, kind: str) -> list[str]:
    """The names of spectra of matrices, or of operators."""
    return [key for key in keys_of(found.values(), list) if key.endswith(f".{kind}")]


def complete(found: Series) -> Series:
    """The rows with a whole histogram."""
    return {at: row for at, row in found.items() if {"edges", "counts", "mean", "largest"} <= row.keys()}


def histogram(net: str, found: Series) -> Heat:
    """The histogram of gradient norms over time, on one axis."""
    means, top = np.array([row["mean"] for row in found.values()]), max(row["largest"] for row in found.values()) or 1
    low = max(means.min() / WIDE, top * 1e-6)
    log = bool(top > WIDE * means.min() > 0)
    grid = np.geomspace(low, top, CELLS + 1) if log else np.linspace(0, top, CELLS + 1)
    cells = [shares(np.array(row["edges"]), np.array(row["counts"]), grid) for row in found.values()]
    caption = (
        "How often a gradient between real and generated images has a norm, and the mean as a line. Healthy: a band "
        "that stays; under a gradient penalty around its target."
    )
    return Heat(f"{net_title(net)}: gradient norms", caption, [], seen(found), np.array(cells).T, grid, means, log)


def shares(edges: Values, counts: Values, grid: Values) -> Values:
    """A histogram on other edges, as parts of the largest cell."""
    below = np.concatenate([[0.0], np.cumsum(counts)])
    cells = np.diff(np.interp(grid, edges, below))
    return np.asarray(cells / max(cells.max(), 1e-12), dtype=np.float64)


def keys_of(rows: Iterable[dict[str, Any]], kind: Any) -> list[str]:
    """The names in any row, of numbers or of lists."""
    return [*dict.fromkeys(key for row in rows for key, value in row.items() if isinstance(value, kind))]


def seen(found: Series) -> Values:
    """When it was measured, in images."""
    return np.array([*found], np.float64)


def rows(found: Series, keys: list[str]) -> Values:
    """[keys, times], NaN where there is no number."""
    table = [[row.get(key, np.nan) for row in found.values()] for key in keys]
    return np.array(table, np.float64).reshape(len(keys), len(found))
