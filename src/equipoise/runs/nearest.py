"""Generated images beside the training images that are nearest to them: whether a generator copies can be seen."""

import torch
from PIL import Image
from torch import nn

from ..metrics.distances import nearest
from .outputs import Output
from .pictures import grid
from .real_images import real_order
from .scoring import Scorer

ROWS, COLUMNS = 8, 5
"""Generated images, and the training images beside each."""


def nearest_picture(G: nn.Module, scorer: Scorer, output: Output, seed: int) -> Image.Image:
    """A row for each of a few generated images: itself, then the nearest training images by the scorer's features."""
    images, vectors = [], []
    for batch in output.generated(G, output.count(ROWS), seed):
        images.append((batch[0] if isinstance(batch, tuple) else batch).cpu())
        vectors.append(scorer.features(images[-1].to(scorer.device)).cpu())
    kept = scorer.reference.rows_of_features()
    columns = min(COLUMNS, len(kept))
    found, _ = nearest(kept, torch.cat(vectors), columns)
    beside = output.real.take(real_order(output.real)[found.numpy().ravel()])
    rows = [torch.cat(pair) for pair in zip(torch.cat(images).split(1), beside.split(columns), strict=True)]
    return grid(output.real.format.range.to_bytes(torch.cat(rows)), columns + 1)
