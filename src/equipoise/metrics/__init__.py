"""How far generated images are from real ones: `features` makes vectors of images, a metric compares two sets of them.

>>> from equipoise.metrics import fd, features
>>> import torch
>>> images = torch.randint(256, (32, 3, 16, 16), dtype=torch.uint8)
>>> look, metric = features.random(), fd()
>>> metric.update(look(images), real=True)
>>> metric.update(look(images.flip(0)), real=False)
>>> metric.compute()["fd"] < 1e-6
True
"""

from . import features
from .accuracy import cas
from .copies import memorization
from .evaluation import evaluate
from .frechet import fd, fd_infinity, fid, intra_fd
from .generation import to_uint8
from .inception_scores import inception_score
from .kernel import kid
from .labelled import classifier_scores
from .lpips import lpips_diversity
from .metric import GeneratorMetric, Metric, SetMetric, Subject
from .mode_coverage import modes
from .neighbours import density_coverage, precision_recall
from .path_length import ppl
from .polygon import polygon
from .reconstruction import reconstruction
from .similarity import ms_ssim
from .sliced import sliced_wasserstein
from .transport import wasserstein

__all__ = [
    "GeneratorMetric",
    "Metric",
    "SetMetric",
    "Subject",
    "cas",
    "classifier_scores",
    "density_coverage",
    "evaluate",
    "fd",
    "fd_infinity",
    "features",
    "fid",
    "inception_score",
    "intra_fd",
    "kid",
    "lpips_diversity",
    "memorization",
    "modes",
    "ms_ssim",
    "polygon",
    "ppl",
    "precision_recall",
    "reconstruction",
    "sliced_wasserstein",
    "to_uint8",
    "wasserstein",
]
