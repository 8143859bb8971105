"""Spectra of a study: the squared singular values of each layer under every row, as SN-GAN's paper draws them."""

import numpy as np

from .measured import called, keys_of_kind, nets, series
from .plots import Line, Plot
from .record import Record, Values
from .study_results import Results
from .themes import LINES

POINTS = 64  # of a curve
SHARE = "share of the layer's singular values"


def plots(results: Results) -> list[Plot]:
    """For each column and each layer of the discriminator a plot with a line for every row."""
    records = [(outcome.cell, outcome.record) for outcome in results.outcomes if outcome.record]
    found = {(cell.column, cell.row): last_spectra(record) for cell, record in reversed(records)}
    made = []
    for column in results.study.columns:
        by_row = {row: found.get((column, row), {}) for row in results.study.rows}
        layers = dict.fromkeys(layer for by_layer in by_row.values() for layer in by_layer)
        made += [plot(column, layer, by_row) for layer in layers]
    return made


def last_spectra(record: Record) -> dict[str, Values]:
    """The last singular values of each layer's matrix, of the first discriminator, by the layer's name."""
    for net in nets(record):
        found = series(record, net, "spectrum")
        if found and called(net).startswith("Discriminator"):
            last = found[max(found)]
            keys = [key for key in keys_of_kind(found, "reshaped") if last.get(key)]
            return {key.removesuffix(".reshaped"): np.array(last[key], np.float64) for key in keys}
    return {}


def plot(column: str, layer: str, by_row: dict[str, dict[str, Values]]) -> Plot:
    """(sigma_i / sigma_1)^2 of a layer, from the largest to the smallest."""
    lines = [
        Line(row, LINES[at % len(LINES)], np.linspace(0, 1, POINTS), squared(spectra[layer]), dashed=at >= len(LINES))
        for at, (row, spectra) in enumerate(by_row.items())
        if layer in spectra
    ]
    caption = "Squared singular values relative to the largest, at the end, first seed. Steep: few directions are used."
    return Plot(f"{layer}, {column}" if column else layer, caption, SHARE, lines)


def squared(values: Values) -> Values:
    """(sigma / sigma_1)^2 at even distances."""
    share = np.linspace(0, 1, len(values)) if len(values) > 1 else np.array([0.0])
    return np.asarray(np.interp(np.linspace(0, 1, POINTS), share, (values / max(values[0], 1e-12)) ** 2), np.float64)
