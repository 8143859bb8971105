"""What values are called, on which features: FID is a name for Inception's alone."""

from collections.abc import Mapping
from typing import Any

TITLES = {
    "fd": "FD",
    "fid": "FID",
    "fd_infinity": "FD extrapolated",
    "intra_fd": "intra-FD",
    "kid": "KD",
    "inception_score": "IS",
    "sliced_wasserstein": "SWD",
    "ms_ssim": "MS-SSIM",
    "mifid": "MiFD",
    "ppl": "PPL",
    "cas": "CAS",
    "gan_train": "GAN-train",
    "gan_test": "GAN-test",
    "polygon": "F1",
    "polygon.precision": "precision",
    "polygon.recall": "recall",
}
ON_INCEPTION = {
    "fd": "FID",
    "fd_infinity": "FID extrapolated",
    "intra_fd": "intra-FID",
    "kid": "KID",
    "inception_score": "Inception score",
    "mifid": "MiFID",
}


def title(key: str, row: Mapping[str, Any]) -> str:
    """What a value of a row is called.

    >>> title("fd", {"features": "inception"}), title("kid", {"features": "builtin"})
    ('FID', 'KD (builtin)')
    >>> title("intra_fd.1", {"features": "builtin", "classes": ["cat", "dog"]})
    'intra-FD of dog (builtin)'
    >>> title("polygon.recall", {"scores": {"polygon": {"sees": "generator"}}})
    'recall'
    >>> title("fd", {"features": "mobilenet", "output": "a to b"})
    'FD (mobilenet), a to b'
    """
    base, _, part = key.partition(".")
    features, about = str(row.get("features", "unnamed")), row.get("scores", {})
    sees = about.get(base, {}).get("sees", "features")
    on_inception = features == "inception" and ON_INCEPTION.get(base)
    of = on_inception or TITLES.get(base, base.replace("_", " "))
    of = TITLES.get(key, f"{of} {_part(part, row)}") if part else of
    of = of if on_inception or sees in ("images", "generator") else f"{of} ({features})"
    return f"{of}, {row['output']}" if "output" in row else of


def _part(part: str, row: Mapping[str, Any]) -> str:
    classes = row.get("classes", [])
    return f"of {classes[int(part)]}" if part.isdecimal() and int(part) < len(classes) else part
