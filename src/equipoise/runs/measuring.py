"""Instruments in a run: held to the same inputs each time, and nothing of the run changes."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .. import instruments
from ..critic import Critic
from ..instruments import Readings, undisturbed
from ..metrics.generation import generate, latents
from ..problems import one_line
from ..ranges import BYTES
from ..spec import build, name_of
from ..training import role
from .outputs import FromImages, Output, translated
from .real_images import real_order

log = logging.getLogger("equipoise.runs")
MEASURED = 64  # real images, and as many generated ones
LISTED = 64  # values that are kept of a longer list, evenly chosen
Measure = Callable[..., Readings]
"""An instrument that is ready: its options are given."""
Measured = dict[str, dict[str, Readings]]
"""What was measured, by network and by instrument."""


class Inputs(NamedTuple):
    """What a network is held to: of a generator what it starts from, of a discriminator images of both sides."""

    real: Tensor | None = None
    fake: Tensor | None = None
    labels: Tensor | None = None


class Bench:
    """The instruments of a run, and what they are held to.

    They are held to the networks that are trained, not to their averages: those of weights to every generator and
    discriminator, those of critics to each discriminator, with held-out images (real images of training where there
    are none) and what its generator makes of fixed latent vectors.
    """

    def __init__(self, calls: Sequence[str], outputs: Sequence[Output], device: torch.device) -> None:
        self.outputs, self.device = outputs, device
        self.instruments: dict[str, Measure] = {name_of(call): build(call, instruments) for call in calls}
        self.seconds = 0.0  # that `check` took
        self.told: set[str] = set()  # instruments of which was said that they failed
        if len(self.instruments) < len(calls):
            raise ValueError(f"each instrument needs a name of its own: {', '.join(calls)}")

    def check(self, nets: nn.ModuleDict) -> None:
        """Raises ValueError for an instrument that can be held to no network."""
        mark = time.perf_counter()
        found, problems = self.tried(nets)
        self.seconds = time.perf_counter() - mark
        used = {name for readings in found.values() for name in readings}
        for name in [name for name in self.instruments if name not in used]:
            why = problems.get(name, "there is no discriminator of such images")
            raise ValueError(f"the instrument {name} has nothing to measure here: {why}")

    def measure(self, nets: nn.ModuleDict) -> Measured:
        """What each instrument says of each network, without what cannot be measured, as of a network that broke."""
        found, problems = self.tried(nets)
        for name in sorted(problems.keys() - {name for readings in found.values() for name in readings} - self.told):
            log.warning("%s could not be measured: %s", name, problems[name])
            self.told.add(name)
        return found

    def tried(self, nets: nn.ModuleDict) -> tuple[Measured, dict[str, str]]:
        """What was measured, and for each instrument that failed somewhere the last reason."""
        found: Measured = {}
        problems: dict[str, str] = {}
        for net in (name for name in nets if self.instruments and role(name) in ("G", "D")):
            inputs = self.inputs(net, nets)
            for name, instrument in self.instruments.items():
                if inputs.fake is not None or is_of_weights(instrument):
                    try:
                        found.setdefault(net, {})[name] = held_to(instrument, nets[net], inputs)
                    except ValueError as error:  # such as of a network that is not spectrally normalised
                        problems[name] = str(error)
        return found, problems

    def inputs(self, net: str, nets: nn.ModuleDict) -> Inputs:
        """What a network of the run is held to; nothing for one that takes more than images or latent vectors."""
        for output in self.outputs:
            if net in (output.net, judge_of(output)):
                with undisturbed(nets[output.net]):
                    G = nets[output.net]
                    inputs = of_images(output, G) if isinstance(output, FromImages) else of_latents(output, G)
                start, judged = inputs
                given = Inputs(start, None, judged.labels) if net == output.net else judged
                return Inputs(*(None if part is None else part.to(self.device) for part in given))
        return Inputs()


def of_latents(output: Output, G: nn.Module) -> tuple[Tensor, Inputs]:
    """Latent vectors, and real images beside what becomes of them, with the labels of the real ones."""
    real = output.real if output.real.held_out is None or len(output.real.held_out) < 2 else output.real.held_out
    chosen = real_order(real)[:MEASURED]
    labels = None if real.labels is None else real.labels.tensor()[chosen]
    z = latents(G, len(chosen), seed=0)
    range = real.format.range
    fake = torch.cat([*generate(G, z, labels, range=range)])
    return z, Inputs(range.to_networks(real.take(chosen)), range.to_networks(fake), labels)


def of_images(output: FromImages, G: nn.Module) -> tuple[Tensor, Inputs]:
    """Images to translate, and real images beside what becomes of them; of pairs, each after its input."""
    starts, targets = output.sides
    count = min(MEASURED, len(starts), len(targets))
    start = starts.take(real_order(starts)[:count])
    sides = targets.take(real_order(targets)[:count]), translated(G, start)
    seen = [torch.cat([start, side], 1) if output.paired else side for side in sides]
    return BYTES.to_networks(start), Inputs(*map(BYTES.to_networks, seen))


def judge_of(output: Output) -> str:
    """The discriminator that sees an output: D of G, D_b of G_ab."""
    way = output.net.partition("_")[2]
    return f"D_{way[-1]}" if way else "D"


def is_of_weights(instrument: Measure) -> bool:
    """Whether it looks at no images, so that it can be held to generators too."""
    return getattr(instrument, "of", "critics") == "weights"


def held_to(instrument: Measure, net: nn.Module, inputs: Inputs) -> Readings:
    """What an instrument says of a network; raises ValueError for whatever goes wrong."""
    try:
        with undisturbed(net):
            readings = instrument(Critic(net, inputs.labels), inputs.real, inputs.fake)
    except ValueError:
        raise
    except Exception as error:  # whatever a user's own network or instrument may raise
        raise ValueError(f"{type(error).__name__}: {one_line(error)}") from error
    return {name: few(value) for name, value in readings.items()} if is_of_weights(instrument) else readings


def few(value: float | list[float]) -> float | list[float]:
    """A number, or a list of at most 64: those at even distances, with both ends."""
    if not isinstance(value, list) or len(value) <= LISTED:
        return value
    return [value[round(at)] for at in torch.linspace(0, len(value) - 1, LISTED).tolist()]
