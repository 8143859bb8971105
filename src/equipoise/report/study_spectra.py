"""Spectra of a study: the squared singular values of each layer under every row, as SN-GAN's paper draws them."""

import numpy as np

from ..themes import LINES
from .plots import Line, Plot
from .readings import keys_of_kind, net_title, nets, series
from .record import Record, Values
from .study_results import Results

POINTS = 64  # of a curve
SHARE = "share of the layer's singular values"
CAPTION = (
    "Squared singular values relative to the largest, at the end. Steep: few directions are used. Means over seeds, "
    "bands from the least to the most."
)
Spectra = dict[str, Values]
"""Singular values by the name of the layer."""


def plots(results: Results) -> list[Plot]:
    """For each column and each layer of the discriminator a plot with a line for every row."""
    found: dict[str, dict[str, list[Spectra]]] = {column: {} for column in results.study.columns}
    for outcome in results.outcomes:
        if outcome.last and outcome.record and (spectra := last_spectra(outcome.record)):
            found[outcome.cell.column].setdefault(outcome.cell.row, []).append(spectra)
    made = []
    for column, by_row in found.items():
        layers = dict.fromkeys(layer for runs in by_row.values() for spectra in runs for layer in spectra)
        made += [plot(column, layer, {row: by_row.get(row, []) for row in results.study.rows}) for layer in layers]
    return made


def last_spectra(record: Record) -> Spectra:
    """The last singular values of each layer's matrix, of the first discriminator, by the layer's name."""
    for net in nets(record):
        found = series(record, net, "spectrum")
        if found and net_title(net).startswith("Discriminator"):
            last = found[max(found)]
            keys = [key for key in keys_of_kind(found, "reshaped") if last.get(key)]
            return {key.removesuffix(".reshaped"): np.array(last[key], np.float64) for key in keys}
    return {}


def plot(column: str, layer: str, by_row: dict[str, list[Spectra]]) -> Plot:
    """(sigma_i / sigma_1)^2 of a layer, from the largest to the smallest: means over seeds, with bands."""
    lines = []
    for at, (row, runs) in enumerate(by_row.items()):
        table = np.array([squared(spectra[layer]) for spectra in runs if layer in spectra])
        if len(table):
            band = (table.min(axis=0), table.max(axis=0)) if len(table) > 1 else None
            x, colour = np.linspace(0, 1, POINTS), LINES[at % len(LINES)]
            lines.append(Line(row, colour, x, table.mean(axis=0), band, dashed=at >= len(LINES)))
    return Plot(f"{layer}, {column}" if column else layer, CAPTION, SHARE, lines)


def squared(values: Values) -> Values:
    """(sigma / sigma_1)^2 at even distances."""
    share = np.linspace(0, 1, len(values)) if len(values) > 1 else np.array([0.0])
    return np.asarray(np.interp(np.linspace(0, 1, POINTS), share, (values / max(values[0], 1e-12)) ** 2), np.float64)
