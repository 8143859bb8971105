"""What a run will be, before it writes anything: its recipe, completed by its data and by trials on this machine."""

from dataclasses import replace
from functools import cached_property
from math import floor
from typing import Any

import torch

from ..data import DomainSources, Source
from ..problems import one_line
from ..processes import World
from ..recipe import Recipe, differences, known
from ..watching import Watch
from .certificate import Certificate, certify, needs, probe_of
from .choices import choose
from .folder import RunFolder, Unusable
from .forecast import Pace, fastest_threads, measure_pace
from .hardware import forget_peak, most_memory, threads_stated, working
from .paths import check_own_files, located
from .real_images import find, load_dataset, sets_in, training_batches
from .references import identity
from .rehearsal import rehearse
from .shortage import explained, more_pieces, out_of_memory
from .warm_start import as_usual

LENGTHS = ("images: ", "minutes: ")  # what differs where a run is to be longer


class Plan:
    """The complete recipe of a run with the reason of each choice, its images, and how fast this machine trains.

    Making one raises ValueError for what cannot work, and for a folder that holds another recipe, with the differences.
    All processes of a world make it together, and what the first one's trials decide holds for all.
    """

    recipe: Recipe
    reasons: dict[str, str]
    found: Source | DomainSources | None = None
    """The data of a new run, looked for once."""
    certificate: Certificate | None = None
    """Whether gradients are those of plain float32, where a new run computes in another way."""

    def __init__(
        self, recipe: Recipe, folder: RunFolder, device: torch.device, world: World, watch: Watch, threads: int | None
    ) -> None:
        self.folder, self.device, self.world, self.watch = folder, device, world, watch
        self.asked, self.asked_threads = located(recipe), threads
        world.together(self.complete)
        self.recipe, self.reasons = world.from_first((self.recipe, self.reasons))

    def complete(self) -> None:
        """Completes the recipe, loads the images, and tries a new recipe on noise and on some of them."""
        self.recipe, self.reasons = self.resolve(self.asked)
        self.dataset = load_dataset(self.recipe, self.watch, self.found)
        if isinstance(self.found, Source) and (broken := self.found.count - len(self.dataset)):
            self.found = replace(self.found, left_out=broken)
            self.recipe, self.reasons = self.resolve(self.asked)
        for part in sets_in(self.dataset):
            if len(part) < 2:
                raise ValueError(f"{part.name} has one image; at least 2 are needed to train and to score")
        self.identity = identity(self.dataset)
        labels = self.dataset.meaning.space
        if not self.folder.recipe_file.exists():
            if self.sharded and self.asked.minutes is not None:
                raise ValueError("--minutes is timed with whole networks, which --shard does without: choose --images")
            if self.sharded:  # trials would need whole networks on the device
                rehearse(self.recipe, labels, torch.device("cpu"))
                return
            trials = (lambda: rehearse(self.recipe, labels, self.device), self.certify, self.adapt)
            for [trial] in self.watch(([trial] for trial in trials), "trials on this machine", len(trials)):
                trial()

    def adapt(self) -> None:
        """Completes the recipe once more where it depends on how fast this machine is, or on its memory."""
        asked = self.asked
        depends = asked.score_every is None or (asked.images is None and asked.minutes is not None)
        if depends or self.device.type == "cuda":
            pace = self.fit()
            found = replace(asked, precision=self.recipe.precision, pieces=self.recipe.pieces)
            self.recipe, reasons = self.resolve(found, pace)
            self.reasons |= reasons

    def resolve(self, recipe: Recipe, pace: Pace | None = None) -> tuple[Recipe, dict[str, str]]:
        """The complete recipe, the one that the folder holds or a new one, with the reason of each choice."""
        folder = self.folder
        if folder.recipe_file.exists():
            held = folder.recipe()
            asked = replace(recipe, **{name: getattr(held, name) for name in as_usual(recipe)})
            if differing := differences(asked, held):
                longer = all(part.startswith(LENGTHS) for part in differing)
                advice = f"; to train its networks longer: --start {folder.path} --out another folder" * longer
                problem = f"{folder.path} holds another recipe; nothing was changed. It differs in "
                raise Unusable(problem + "; ".join(differing) + advice)
            return held, folder.context()["chosen"]
        if folder.path.exists() and (not folder.path.is_dir() or any(f.name[0] != "." for f in folder.path.iterdir())):
            raise ValueError(f"{folder.path} exists and is no run folder; nothing in it was touched")
        check_own_files(recipe, folder.path)
        self.found = self.found or find(recipe)
        found = self.found
        source = found.together if isinstance(found, DomainSources) else found
        return choose(recipe, source, self.device, pace)

    @property
    def sharded(self) -> bool:
        """Whether weights are sharded, so that nothing is timed beforehand."""
        return self.recipe.shard and self.world.size > 1

    @cached_property
    def threads(self) -> int:
        """The threads of a run: those that were asked for, that it was begun with, or that are fastest."""
        available = torch.get_num_threads()
        if self.asked_threads is not None:
            return self.asked_threads
        if self.device.type != "cpu" or self.world.size > 1 or threads_stated():
            return available
        if self.folder.recipe_file.exists():
            begun_with: int = self.folder.context().get("hardware", {}).get("threads", available)
            return min(available, begun_with)
        return fastest_threads(self.recipe, self.dataset.meaning.space, self.device)

    @cached_property
    def pace(self) -> Pace:
        """How fast this machine trains and scores."""
        labels = self.dataset.meaning.space
        with working(self.threads):
            return measure_pace(self.share(self.recipe), labels, self.device, self.watch).shared(self.world.size)

    def share(self, recipe: Recipe) -> Recipe:
        """The recipe with this process's share of its batches, where they can be shared."""
        of_one = lambda batch: batch and (batch if batch % self.world.size else batch // self.world.size)
        return replace(recipe, batch=of_one(recipe.batch), g_batch=of_one(recipe.g_batch))

    def certify(self) -> None:
        """Compares gradients with those in plain float32, which takes the place of a precision that was left open."""
        if not needs(self.recipe):
            return
        self.certificate = self.compared(probe_of(self.recipe))
        if self.certificate is None:
            self.reasons["precision"] = "gradients are not compared with those in float32: there is no memory for them"
        elif not self.certificate.agrees and self.asked.precision is None and self.recipe.precision != "float32":
            self.recipe = replace(self.recipe, precision="float32")
            self.reasons["precision"] = str(self.certificate)
            self.certify()

    def compared(self, probe: Recipe) -> Certificate | None:
        """How far a probe's gradients are from those in plain float32, None where there is no memory for these.

        Raises ValueError for networks that do something else where they are recomputed or compiled, and for some that
        cannot be.
        """
        labels = self.dataset.meaning.space
        batch = next(training_batches(self.dataset, probe, known(probe.batch), 0, self.device))
        kept = replace(probe, recompute=False, compile=False)
        try:
            found = certify(probe, labels, self.device, batch)
            if found.agrees or kept == probe or not certify(kept, labels, self.device, batch).agrees:
                return found
        except RuntimeError as error:
            if out_of_memory(error):
                return None
            if probe.compile:
                problem = f"{type(error).__name__}: {one_line(error)}"
                raise ValueError(f"this cannot be compiled here, leave --compile out: {problem}") from error
            raise
        finally:
            forget_peak(self.device)
        way = "recompute" if probe.recompute else "compile"
        raise ValueError(f"{found}: this network cannot be {way}d, leave --{way} out")

    def fit(self) -> Pace:
        """The pace; in more pieces where a batch needs more memory than there is, if they are left open."""
        share, most = self.share(self.recipe), most_memory(self.device)
        more = more_pieces(share) if self.asked.pieces is None else None
        try:
            with explained(share):
                if more is None or self.pace.memory < most:
                    return self.pace
                more = more_pieces(share, floor((share.pieces or 1) * self.pace.memory / most)) or more
        except torch.OutOfMemoryError:
            if more is None:
                raise
        vars(self).pop("pace", None)
        forget_peak(self.device)
        self.reasons["pieces"] = "a larger part of a batch needs more memory than there is"
        self.recipe = replace(self.recipe, pieces=more)
        return self.fit()

    def disk(self) -> int:
        """The bytes of the checkpoints that the run keeps, which is most of what it writes."""
        return (self.recipe.keep + 1) * self.pace.checkpoint

    def to_json(self) -> dict[str, Any]:
        """What trials on this machine have told, as a recipe file keeps it."""
        told: dict[str, Any] = {}
        if self.certificate is not None:
            told["certificate"] = self.certificate.to_json()
        if "pace" in vars(self):
            training = known(self.recipe.images) * self.pace.image
            told["forecast"] = {"seconds": training, "disk": self.disk()}
            if self.pace.memory:
                told["forecast"]["memory"] = self.pace.memory
        return told
