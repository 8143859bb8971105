"""A recipe: every choice that makes a run, as plain data."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from tyro.conf import Positional

from . import schedules
from .checks import check_choice, check_range
from .schedules import Schedule
from .spec import build

Choice = TypeVar("Choice")
CHOICES = {
    "fit": ("crop", "stretch"),
    "g_condition": ("batch_norm", "concat", "self_modulation"),
    "d_condition": ("projection", "auxiliary", "concat"),
    "precision": ("float32", "tf32", "bfloat16"),
}
AT_LEAST = {
    **dict.fromkeys(("images", "batch", "g_batch", "pieces", "keep", "channels"), 1),
    **dict.fromkeys(("score_every", "sample_every", "save_every"), 1),
    "score_images": 2,
    "seed": 0,
}
NumberOrSchedule = int | float | str  # a number, or the call of a schedule


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every choice that makes a run. A field that is None is chosen for the data and the machine when the run starts.

    Components are calls written as strings, "r1(weight=5)", and so are numbers that change over time,
    "decay(1e-3, share=0.5)"; time is counted in real images seen.
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

    game: str = "adversarial"
    """Who plays."""
    network: str | None = None
    """Generator and discriminator."""
    loss: str = "relativistic"
    """What the two minimise."""
    penalties: tuple[str, ...] | None = None
    """Terms added to the discriminator's objective."""
    g_penalties: tuple[str, ...] = ()
    """Terms added to the generator's objective."""
    constraint: str = "none"
    """What is done to the discriminator's weights after each of its steps."""
    augment: str | None = None
    """How images are changed before the discriminator sees them, real and fake alike."""
    d_norm: str = "none"
    """Normalisation of the discriminator's weights."""
    g_norm: str = "none"
    """Normalisation of the generator's weights."""
    g_condition: str | None = None
    """How the generator is conditioned: batch_norm, concat, self_modulation; None is the network's usual way."""
    d_condition: str | None = None
    """How the discriminator is conditioned: projection, auxiliary, concat; None is the network's usual way."""
    g_activation: str | None = None
    """The generator's hidden activation; None is the network's own."""
    d_activation: str | None = None
    """The discriminator's hidden activation; None is the network's own."""

    images: int | None = None
    """Length of training, in real images seen."""
    batch: int | None = None
    """Real images in a step of the discriminator, and as many fakes."""
    pieces: int = 1
    """Equal parts that a batch is split into, processed one after the other, to save memory."""
    g_batch: int | None = None
    """Fakes in a step of the generator."""
    d_steps: NumberOrSchedule = 1
    """Steps of the discriminator for one of the generator: a number or a schedule, "steps((100, 5), at=(160000,))"."""
    lr_g: NumberOrSchedule = "decay(1e-3, share=0.5)"
    """Learning rate of all players but the discriminator's: a number or a schedule."""
    lr_d: NumberOrSchedule = "decay(1e-3, share=0.5)"
    """Learning rate of the player that moves the discriminator: a number or a schedule."""
    optimizer: str = "adam(beta1=0.0, beta2=0.99)"
    """The optimizer of both players."""
    ema_images: NumberOrSchedule | None = None
    """Half-life of the EMA generator: a number or a schedule."""
    precision: Literal["float32", "tf32", "bfloat16"] | None = None
    """The precision of networks; penalties, power iteration, averages and metrics are float32 in any case."""
    seed: int = 0
    """The seed of weights, data order and noise: the same seed, the same run."""

    features: str | None = None
    """Features for scores: builtin, mobilenet, inception, resnet56, dinov2, clip, random, pixels."""
    score: tuple[str, ...] = ("fd", "kid(subsets=10)")
    """Metrics during training, "fd,kid,precision_recall"; the first one chooses the best checkpoint."""
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
        for name, least in AT_LEAST.items():
            if getattr(self, name) is not None:
                check_range(at_least=least, **{name: getattr(self, name)})
        check_range(below=2**63, seed=self.seed)
        for name, choices in CHOICES.items():
            if getattr(self, name) is not None:
                check_choice(getattr(self, name), [*choices], f"{name} cannot be {getattr(self, name)!r}")
        for name in ("lr_g", "lr_d", "d_steps", "ema_images"):
            self._check_rate(name)
        if not self.score:
            raise ValueError("score must name at least one metric: the first one chooses the best checkpoint")
        self.height_width()

    def _check_rate(self, name: str) -> None:
        if getattr(self, name) is not None:
            rate = self.rate(name, images=1)
            if name == "d_steps":
                check_range(at_least=1, d_steps=rate)
            elif name.startswith("lr") and not callable(rate):
                check_range(above=0, **{name: rate})
            else:
                check_range(at_least=0, **{name: rate})  # type: ignore[arg-type]

    def rate(self, name: str, images: int | None = None) -> int | float | Schedule:
        """A field that may be a schedule, as a number or as a function of the images seen in a run of so many."""
        value, length = getattr(self, name), self.images if images is None else images
        if not isinstance(value, str):
            return known(value)
        return build(value, schedules, schedules.lasting(known(length)))

    def height_width(self) -> tuple[int, int] | None:
        """Height and width in pixels, or None while they are to be chosen."""
        if self.size is None:
            return None
        match = re.fullmatch(r"(\d+)(?:x(\d+))?", self.size)
        height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if min(height, width) < 8:
            rule = "pixels like 64 or, height x width, 48x96, and at least 8"
            raise ValueError(f"size must be {rule}, not {self.size!r}")
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
