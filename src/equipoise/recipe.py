"""A recipe: every choice that makes a run, as plain data."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import inf
from pathlib import Path
from typing import Any, Literal, TypeVar

from tyro.conf import Positional

from .checks import check_choice

Choice = TypeVar("Choice")
WAYS = {
    "g_condition": ("batch_norm", "concat", "self_modulation"),
    "d_condition": ("projection", "auxiliary", "concat"),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every choice that makes a run. A field that is None is chosen for the data and the machine when the run starts.

    Components are calls written as strings, "r1(weight=5)"; time is counted in images shown to the discriminator.
    """

    data: Positional[str] = "builtin"
    """Folder or zip of images, CIFAR-10, idx files, .npy, .npz; "builtin" comes along: a part of Fashion-MNIST."""
    labels: bool | None = False
    """Train on labels: sub-folders, labels.json or labels.csv, those of a published set. None: where there are some."""
    size: str | None = None
    """Height and width of the images that are learnt: "64", or "48x96" for height x width."""
    channels: int | None = None
    """1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
    fit: Literal["crop", "stretch"] = "crop"
    """How images get that size: scaled and cut around the centre, or stretched."""
    strict: bool = False
    """Refuse data with a broken image instead of leaving that image out."""
    mirror: bool = False
    """Show half of the images flipped left to right."""
    dequantize: bool = False
    """Add noise below one grey level to the real images."""

    network: str | None = "sn_resnet"
    """Generator and discriminator."""
    loss: str = "hinge"
    """What the two play for."""
    penalties: tuple[str, ...] | None = ()
    """Terms added to the discriminator's objective."""
    g_penalties: tuple[str, ...] = ()
    """Terms added to the generator's objective."""
    constraint: str = "none"
    """What is done to the discriminator's weights after each of its steps."""
    augment: str | None = "none"
    """How images are changed before the discriminator sees them, real and fake alike."""
    d_norm: str = "spectral"
    """Normalisation of the discriminator's weights."""
    g_norm: str = "none"
    """Normalisation of the generator's weights."""
    growth: str = "fixed"
    """How images and networks grow."""
    g_condition: str | None = None
    """How the generator hears of labels: batch_norm, concat, self_modulation; None is the network's usual way."""
    d_condition: str | None = None
    """How the discriminator hears of labels: projection, auxiliary, concat; None is the network's usual way."""
    g_activation: str | None = None
    """The generator's hidden activation; None is the network's own."""
    d_activation: str | None = None
    """The discriminator's hidden activation; None is the network's own."""

    images: int | None = 1_000_000
    """Length of training, in real images shown."""
    batch: int | None = 64
    """Real images in a step of the discriminator, and as many fakes."""
    g_batch: int | None = None
    """Fakes in a step of the generator."""
    d_steps: int = 1
    """Steps of the discriminator for one of the generator."""
    lr_g: float = 2e-4
    """Learning rate of the generator."""
    lr_d: float = 2e-4
    """Learning rate of the discriminator."""
    optimizer: str = "adam"
    """How both players step along their gradients."""
    decay: float = 0.0
    """The last part of training, as a share of it, in which the learning rates fall linearly to zero."""
    ema_images: int | None = 10_000
    """Half-life of the averaged generator."""
    precision: Literal["float32", "bfloat16"] | None = None
    """What networks run in; penalties, power iteration, averages and metrics are float32 in any case."""
    seed: int = 0
    """The seed of weights, data order and noise: the same seed, the same run."""

    features: str | None = None
    """What looks at images for scores: builtin, random, pixels, inception."""
    score_every: int | None = None
    """Images between two scores during training."""
    score_images: int | None = None
    """Generated images for a score during training."""
    sample_every: int | None = None
    """Images between two pictures of samples."""
    save_every: int | None = None
    """Images between two checkpoints."""
    keep: int = 2
    """Newest checkpoints to keep, besides the best by score."""

    def __post_init__(self) -> None:
        counts = ("images", "batch", "d_steps", "ema_images", "keep", "channels", "g_batch")
        for name in (*counts, "score_every", "sample_every", "save_every"):
            _require(getattr(self, name) is None or getattr(self, name) >= 1, name, "at least 1", self)
        for name in ("lr_g", "lr_d"):
            _require(0 < getattr(self, name) < inf, name, "positive and finite", self)
        check_choice(self.fit, ["crop", "stretch"], f"fit cannot be {self.fit!r}")
        check_choice(str(self.precision), ["None", "float32", "bfloat16"], f"precision cannot be {self.precision!r}")
        for name, ways in WAYS.items():
            check_choice(str(getattr(self, name)), ["None", *ways], f"{name} cannot be {getattr(self, name)!r}")
        _require(0 <= self.seed < 2**63, "seed", "at least 0 and below 2**63", self)
        _require(self.score_images is None or self.score_images >= 2, "score_images", "at least 2", self)
        _require(0 <= self.decay <= 1, "decay", "in [0, 1]", self)
        self.height_width()

    def height_width(self) -> tuple[int, int] | None:
        """Height and width in pixels, or None while they are to be chosen."""
        if self.size is None:
            return None
        match = re.fullmatch(r"(\d+)(?:x(\d+))?", self.size)
        height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        _require(min(height, width) >= 8, "size", "pixels like 64 or, height x width, 48x96, and at least 8", self)
        return height, width

    def to_json(self) -> dict[str, Any]:
        """Plain data, as written to recipe.json."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Recipe":
        """The inverse of `to_json`; raises ValueError for a name that is no field and for a field that is missing."""
        known = [field.name for field in fields(cls)]
        for name in values:
            check_choice(name, known, f"a recipe has no field {name!r}")
        if missing := [name for name in known if name not in values]:
            raise ValueError(f"a complete recipe has also {', '.join(missing)}")
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**plain)

    def save(self, path: Path, **context: object) -> None:
        """Writes the recipe and what is worth knowing beside it."""
        parts = {"recipe": self.to_json(), **context}
        lines = (
            f"{json.dumps(name)}: {json.dumps(part, indent=2 * (name != 'labels') or None)}"
            for name, part in parts.items()
        )
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def known(choice: Choice | None) -> Choice:
    """A field of a complete recipe, in which none is open."""
    assert choice is not None
    return choice


def differences(new: Recipe, old: Recipe) -> list[str]:
    """What `new` asks for that `old` does not hold, one line a field; fields of `new` left open do not count."""
    pairs = ((f.name, getattr(new, f.name), getattr(old, f.name)) for f in fields(new))
    return [f"{name}: {was!r} there, {now!r} here" for name, now, was in pairs if now is not None and now != was]


def _require(holds: bool, name: str, rule: str, recipe: Recipe) -> None:
    if not holds:
        raise ValueError(f"{name} must be {rule}, not {getattr(recipe, name)!r}")
