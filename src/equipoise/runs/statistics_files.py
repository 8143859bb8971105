"""Files of reference statistics, mean and covariance of features: ours and those of pytorch-fid, TTUR and StyleGAN."""

from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import Dataset, inspect
from ..data.arrays import read_arrays
from ..data.pickles import read_pickle
from ..metrics import fd
from ..metrics import features as feature_module
from ..metrics.evaluation import Evaluation
from ..metrics.features import Features
from ..metrics.kept import Moments
from ..spec import build
from ..watching import Watch, unwatched
from ..writing import write_whole
from .choices import usual_features
from .real_images import in_own_size, real_batches

ASSUMED = 2  # images of a file that does not say how many: the Frechet distance needs no number
OURS = ("features", "features_hash", "reference")
MOMENTS = "moments of features"


@dataclass(frozen=True)
class StoredStatistics:
    """Mean and covariance of the features of real images, from a file, and what the file says of them."""

    name: str
    moments: Moments
    count: int | None
    features: str | None = None
    features_hash: str | None = None
    classes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """A hash of the moments."""
        content = b"".join(tensor.numpy().tobytes() for tensor in self.moments.state_dict().values())
        return sha256(content).hexdigest()[:16]

    held_out: Dataset | None = None

    def show_to(self, evaluation: Evaluation, watch: Watch) -> None:
        """Makes these the real side; raises ValueError for metrics that need more, and for other features."""
        own = evaluation.features
        if self.features_hash not in (None, own.hash):
            raise ValueError(f"{self.name} holds statistics of {self.features} features, not of {own.name}")
        if own.dim not in (None, size := len(self.moments.mean)):
            raise ValueError(
                f"{self.name} holds statistics of {size} dimensions, and {own.name} features have {own.dim}"
            )
        if needy := sorted(evaluation.lacking - {MOMENTS}):
            raise ValueError(
                f"{self.name} holds a mean and a covariance, enough for fid, fd and fd_infinity alone, not for the "
                f"{needy[0]}: give images, --against DATA"
            )
        for key in [*evaluation.lacking]:
            evaluation.load_reference(key, self.moments.state_dict())

    def unseen(self, evaluation: Evaluation) -> int:
        """No images: a file has been read."""
        return 0


def is_statistics(path: Path) -> bool:
    """Whether a file holds statistics, not images."""
    if path.suffix == ".pkl":
        return True
    return path.suffix == ".npz" and {"mu", "sigma"} <= read_arrays(path).keys()


def read_statistics(path: Path) -> StoredStatistics:
    """The statistics in an .npz with mu and sigma (pytorch-fid, TTUR, ours) or a .pkl of StyleGAN; no code is run."""
    found = from_stylegan(path) if path.suffix == ".pkl" else {**read_arrays(path)}
    mean, covariance = (np.asarray(found[key], np.float64) for key in ("mu", "sigma"))
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or not np.isfinite(covariance).all():
        raise ValueError(f"{path}: mu must be [d] and sigma [d, d], finite, got {mean.shape} and {covariance.shape}")
    count = int(found["count"]) if "count" in found else None
    state = {
        "count": torch.tensor(count or ASSUMED),
        "mean": torch.tensor(mean),
        "covariance": torch.tensor(covariance),
    }
    features, digest = (str(found[key]) if key in found else None for key in OURS[:2])
    return StoredStatistics(path.name, Moments.from_state_dict(state), count, features, digest)


def from_stylegan(path: Path) -> dict[str, Any]:
    """mu = s / n and sigma = S / n - mu mu^T from the sums that StyleGAN2-ADA and its successors write."""
    record = read_pickle(path.read_bytes(), str(path))
    try:
        count, total, squares = (record[key] for key in (b"num_items", b"raw_mean", b"raw_cov"))
        mean = total / count
        return {"mu": mean, "sigma": squares / count - np.outer(mean, mean), "count": count}
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path} holds no num_items, raw_mean and raw_cov, as StyleGAN's statistics do") from None


def write_statistics(
    data: str | Path,
    out: Path,
    features: str | None = None,
    device: torch.device | str = "cpu",
    watch: Watch = unwatched,
) -> Path:
    """Writes mu, sigma, their count and their features to an .npz file; raises ValueError if it exists."""
    if out.exists():
        raise ValueError(f"{out} exists and was not touched; choose another --out")
    if out.suffix != ".npz":
        raise ValueError(f"statistics are written to an .npz file, not to {out}")
    source = inspect(data)
    dataset = in_own_size(source)
    look: Features = build(features or usual_features(source).value, feature_module)
    evaluation = Evaluation([fd()], look, device)
    evaluation.feed(real_batches(dataset), True, watch, "images", len(dataset))
    state = evaluation.reference(MOMENTS)
    says: dict[str, Any] = dict(zip(OURS, (look.name, look.hash, dataset.name), strict=True))
    content = BytesIO()
    np.savez(content, mu=state["mean"].numpy(), sigma=state["covariance"].numpy(), count=len(dataset), **says)
    write_whole(out, lambda beside: beside.write_bytes(content.getvalue()))
    return out
