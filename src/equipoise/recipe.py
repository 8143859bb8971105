"""A recipe: every choice that makes a run, as plain data."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from tyro.conf import Positional, arg
from tyro.constructors import PrimitiveConstructorSpec

from . import schedules
from .checks import check_choice, check_range
from .ranges import Range
from .schedules import Length, Schedule
from .spec import build

Fit = Literal["crop", "stretch"]
Domains = Literal["none", "unpaired", "a_to_b", "b_to_a"]
CHOICES = {
    **{name: get_args(kind) for name, kind in (("fit", Fit), ("domains", Domains))},
    "precision": ("float32", "tf32", "bfloat16", "float16"),
    "g_condition": ("batch_norm", "concat", "self_modulation"),
    "d_condition": ("projection", "auxiliary", "concat"),
}
AT_LEAST = {
    **dict.fromkeys(("images", "batch", "g_batch", "pieces", "keep", "channels"), 1),
    **dict.fromkeys(("score_every", "sample_every", "save_every", "instruments_every"), 1),
    "score_images": 2,
    "seed": 0,
}
Chosen = TypeVar("Chosen")
_HINTS = {"None": "(automatic)", "": "(none)"}
_hint = partial(arg, help_behavior_hint=lambda default: _HINTS.get(default, f"(default: {default})"))
_braced = lambda field: f"{{{','.join(CHOICES[field])}}}"
Auto = Annotated[Chosen | None, _hint()]
"""A field that is chosen for the data and the machine while it is None."""
_count = PrimitiveConstructorSpec(
    nargs=1,
    metavar="INT",
    instance_from_str=lambda words: None if words == ["auto"] else int(words[0]),
    is_instance=lambda value: value is None or isinstance(value, int),
    str_from_instance=lambda value: [str(value)],
)
AutoCount = Annotated[int | None, _hint(), _count]
"""A whole number that is chosen so; "auto" says that in words, also where a preset has a number of its own."""
NumberOrSchedule = Annotated[int | float | str, arg(metavar="NUMBER|SCHEDULE")]
"""A number, or the call of a schedule."""
Call = Annotated[str, arg(metavar="CALL")]
"""The call of a component, "r1(weight=5)", or its name."""


@dataclass(frozen=True, kw_only=True)
class Usual:
    """What most runs say."""

    data: Annotated[Positional[str], arg(metavar="[DATA]")] = "builtin"
    """Folder or zip of images, .tar shards, hf://owner/name, CIFAR-10, idx files, .npy, .npz; "builtin", which comes
    along: a part of Fashion-MNIST; or a toy set: ring, "grid(side=3)"... of `equipoise list toys`."""
    minutes: Annotated[int | float | None, arg(metavar="MINUTES", help_behavior_hint="")] = None
    """Length of training in minutes, in place of --images, which follows the pace that training has on this machine."""
    images: AutoCount = None
    """Length of training, in real images seen."""
    size: Auto[str] = None
    """Height and width of the images that are learnt: "64", or "48x96" for height x width."""
    labels: Auto[bool] = False
    """Train on labels: sub-folders, labels.json or labels.csv, those of a published set."""
    mirror: Auto[bool] = None
    """Show half of the images flipped left to right."""
    seed: int = 0
    """The seed of weights, data order and noise: the same seed, the same run."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How images are read."""

    channels: AutoCount = None
    """1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
    fit: Fit = "crop"
    """How images get their size: scaled and cut around the centre, or stretched."""
    range: Annotated[str | None, _hint(metavar="{bytes,LOW:HIGH}")] = None
    """The numbers of images: bytes, or floats from low to high, as --range=-3:5, which are never rounded or clipped."""
    domains: Domains = "none"
    """Two domains: trainA and trainB, or any two sub-folders; pairs of equal names, or side by side in one picture."""
    strict: bool = False
    """Refuse data with a broken image instead of leaving that image out."""
    dequantize: bool = False
    """Add noise below one grey level to the real images."""


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Who is trained."""

    network: Annotated[str | None, _hint(metavar="CALL")] = None
    """Generator and discriminator."""
    d_norm: Call = "none"
    """Normalisation of the discriminator's weights."""
    g_norm: Call = "none"
    """Normalisation of the generator's weights."""
    g_condition: Annotated[str | None, _hint(metavar=_braced("g_condition"))] = None
    """How the generator is conditioned; the network knows its usual way."""
    d_condition: Annotated[str | None, _hint(metavar=_braced("d_condition"))] = None
    """How the discriminator is conditioned; the network knows its usual way."""
    g_activation: Annotated[str | None, _hint(metavar="CALL")] = None
    """The generator's hidden activation; the network knows its own."""
    d_activation: Annotated[str | None, _hint(metavar="CALL")] = None
    """The discriminator's hidden activation; the network knows its own."""
    growth: Call = "none"
    """How networks that have levels grow: "progressive", or "progressive(hold=600_000, fade=600_000)"."""
    start: Annotated[str, arg(metavar="RUN")] = "none"
    """Run from whose networks and averages training starts; size and networks are as in that run."""


@dataclass(frozen=True, kw_only=True)
class Game:
    """What the players want."""

    game: Call = "adversarial"
    """Who plays."""
    loss: Annotated[str | None, _hint(metavar="CALL")] = None
    """What the two minimise."""
    penalties: Annotated[tuple[str, ...] | None, _hint(metavar="[CALL ...]")] = None
    """Terms added to the discriminator's objective."""
    g_penalties: Annotated[tuple[str, ...], _hint(metavar="[CALL ...]")] = ()
    """Terms added to the generator's objective."""
    constraint: Call = "none"
    """What is done to the discriminator's weights after each of its steps."""
    augment: Annotated[str | None, _hint(metavar="CALL")] = None
    """How images are changed before the discriminator sees them, real and fake alike."""


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How they learn."""

    batch: AutoCount = None
    """Real images in a step of the discriminator, and as many fakes."""
    g_batch: AutoCount = None
    """Fakes in a step of the generator."""
    d_steps: NumberOrSchedule = 1
    """Steps of the discriminator for one of the generator: a number or a schedule, "steps((100, 5), at=(160000,))"."""
    lr_g: Annotated[int | float | str | None, _hint(metavar="NUMBER|SCHEDULE")] = None
    """Learning rate of all players but the discriminator's."""
    lr_d: Annotated[int | float | str | None, _hint(metavar="NUMBER|SCHEDULE")] = None
    """Learning rate of the player that moves the discriminator."""
    optimizer: Call = "adam(beta1=0.0, beta2=0.99)"
    """The optimizer of all players."""
    ema_images: Annotated[int | float | str | None, _hint(metavar="NUMBER|SCHEDULE")] = None
    """Half-life of the EMA generator."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Precision, and how memory is saved."""

    precision: Annotated[str | None, _hint(metavar=_braced("precision"))] = None
    """The precision of networks; power iteration, averages and metrics are float32 in any case."""
    pieces: AutoCount = None
    """Equal parts that a batch is split into, processed one after the other, to save memory."""
    recompute: bool = False
    """Compute what blocks of networks compute again in the backward (gradient checkpointing), to save memory."""
    compile: bool = False
    """Compile networks and penalties (torch.compile), for GPUs; on a CPU it needs a C++ compiler and seldom pays."""
    shard: bool = False
    """Shard weights over the processes of torchrun (FSDP2), for networks that no single device can hold."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What is measured and kept."""

    features: Annotated[str | None, _hint(metavar="CALL")] = None
    """Features for scores: builtin, mobilenet, inception, resnet56, dinov2, clip, random, pixels."""
    score: Annotated[tuple[str, ...] | None, _hint(metavar="[CALL ...]")] = None
    """Metrics during training, "fd,kid,precision_recall"; the first one chooses the best checkpoint."""
    score_every: AutoCount = None
    """Images between two scores during training."""
    score_images: AutoCount = None
    """Generated images for a score during training."""
    instruments: Annotated[tuple[str, ...], _hint(metavar="[CALL ...]")] = ()
    """What to measure of the networks themselves, "spectrum,gradient_norms"; the run is the same without."""
    instruments_every: AutoCount = None
    """Images between two measurements by instruments."""
    sample_every: AutoCount = None
    """Images between two pictures of samples."""
    save_every: AutoCount = None
    """Images between two checkpoints."""
    keep: int = 2
    """Newest checkpoints to keep, besides the best by score."""


Group = TypeVar("Group", Usual, Reading, Networks, Game, Optimisation, Execution, Scores)


@dataclass(frozen=True, kw_only=True)
class Recipe(Scores, Execution, Optimisation, Game, Networks, Reading, Usual):
    """Every choice that makes a run, in groups. What is None and can be chosen is chosen when the run starts.

    Components are calls written as strings, "r1(weight=5)", and so are numbers that change over time,
    "decay(1e-3, share=0.5)"; time is counted in real images seen.
    """

    def __post_init__(self) -> None:
        for name in {"penalties", "g_penalties", "instruments"} & {n for n, v in vars(self).items() if v == ("none",)}:
            object.__setattr__(self, name, ())  # none switches off a list too
        for name, least in AT_LEAST.items():
            if getattr(self, name) is not None:
                check_range(at_least=least, **{name: getattr(self, name)})
        check_range(below=2**63, seed=self.seed)
        check_range(above=0, minutes=1 if self.minutes is None else self.minutes)
        for name, choices in CHOICES.items():
            if getattr(self, name) is not None:
                check_choice(getattr(self, name), [*choices], f"{name} cannot be {getattr(self, name)!r}")
        for name in ("lr_g", "lr_d", "d_steps", "ema_images"):
            self._check_rate(name)
        if self.labels and self.domains != "none":
            raise ValueError(f"domains={self.domains!r} translates images, which is learnt without labels")
        if self.score == ():
            raise ValueError("score must name at least one metric: the first one chooses the best checkpoint")
        self.height_width()
        if self.range is not None:
            Range.parse(self.range)

    def _check_rate(self, name: str) -> None:
        if getattr(self, name) is not None:
            rate = self.rate(name, images=1)
            if name == "d_steps":
                check_range(at_least=1, d_steps=rate)
            elif name.startswith("lr") and not callable(rate):
                check_range(above=0, **{name: rate})
            else:
                check_range(at_least=0, **{name: rate})  # type: ignore[arg-type]

    def rate(self, name: str, images: int | Length | None = None) -> int | float | Schedule:
        """A field that may be a schedule, as a number or as a function of the images seen in a run of so many."""
        value = getattr(self, name)
        if not isinstance(value, str):
            return known(value)
        return build(value, schedules, schedules.lasting(known(self.images) if images is None else images))

    def height_width(self) -> tuple[int, int] | None:
        """Height and width in pixels, or None while they are to be chosen."""
        if self.size is None:
            return None
        match = re.fullmatch(r"(\d+)(?:x(\d+))?", self.size) if isinstance(self.size, str) else None
        height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if min(height, width) < 8 and (height, width) != (1, 1):
            rule = "pixels like 64 or, height x width, 48x96, and at least 8, or 1 of points"
            quoted = "" if isinstance(self.size, str) else ": it is text, in quotes"
            raise ValueError(f"size must be {rule}, not {self.size!r}{quoted}")
        return height, width

    def part(self, group: type[Group]) -> Group:
        """One group of choices."""
        return group(**{field.name: getattr(self, field.name) for field in fields(group)})

    def to_json(self) -> dict[str, Any]:
        """Plain data, as written to recipe.json."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Recipe":
        """The inverse of `to_json`; raises ValueError for a name that is no field and for one that is missing.

        What an older version did not know is as it was then: left as usual, unless it is to be chosen.
        """
        known = {field.name: field.default for field in fields(cls)}
        for name in values:
            check_choice(name, [*known], f"a recipe has no field {name!r}")
        if missing := [name for name, usual in known.items() if name not in values and usual is None]:
            raise ValueError(f"a complete recipe has also {', '.join(missing)}")
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**plain)

    def save(self, path: Path, **context: object) -> None:
        """Writes the recipe and what is worth knowing beside it."""
        parts = {"recipe": self.to_json(), **context}
        indent = lambda name: None if name == "labels" else 2
        lines = (f"{json.dumps(name)}: {json.dumps(part, indent=indent(name))}" for name, part in parts.items())
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def known(choice: Chosen | None) -> Chosen:
    """A field of a complete recipe, in which none is open."""
    assert choice is not None
    return choice


def differences(new: Recipe, old: Recipe) -> list[str]:
    """What `new` asks for that `old` does not hold, one line a field; fields of `new` left open do not count."""
    pairs = ((f.name, getattr(new, f.name), getattr(old, f.name)) for f in fields(new))
    return [f"{name}: {was!r} there, {now!r} here" for name, now, was in pairs if now is not None and now != was]
