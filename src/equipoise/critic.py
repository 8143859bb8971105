"""The discriminator as losses and penalties see it: a function of images alone."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .numerics import wide

Images = Float[Tensor, "batch *shape"]
Fakes = Float[Tensor, "fakes *shape"]  # as many as a step of the generator has, which need not be a batch
Logits = Float[Tensor, "batch"]
Scalar = Float[Tensor, ""]
CriticLike = Callable[[Tensor], Tensor]


def ask(net: Callable[..., Tensor], x: Tensor, labels: Tensor | None) -> Tensor:
    """The answer of a network, which hears of labels only where there are some."""
    return net(x) if labels is None else net(x, labels)


class Run(NamedTuple):
    """What came of one run of the discriminator."""

    images: Tensor
    autocast: bool
    logits: Logits
    parts: dict[str, Tensor]


class Critic:
    """images -> logits of at least float32, with labels and augmentation closed over: one step's view of D.

    Make a new one for each step of either network: it remembers what D answered, with the graphs of the answers.

    Besides logits it can be asked for `features` and `class_logits`, where D has submodules of these names, at whatever
    depth, whose outputs they are (an `nn.Identity` marks them; of other networks `features` and `class_logits` give the
    submodules' names). Penalties share the run that the loss has paid for, but where that was under autocast and they
    are not; `again()` is a critic without that memory.

    `generator` and `latents` say what made the fakes, and `learner` which of the two networks learns just now.
    A plain module or function is made a critic by `Critic.of`.
    """

    def __init__(
        self,
        D: Callable[..., Tensor],
        labels: Tensor | None = None,
        augment: Callable[[Tensor], Tensor] | None = None,
        generator: nn.Module | None = None,
        latents: Tensor | None = None,
        learner: nn.Module | None = None,
        features: str = "features",
        class_logits: str = "class_logits",
    ) -> None:
        self.D, self.labels, self.augment = D, labels, augment
        self.generator, self.latents = generator, latents
        self._learner = learner
        self.names = {"features": features, "class_logits": class_logits}
        self.runs: list[Run] = []

    @classmethod
    def of(cls, critic: Callable[..., Tensor]) -> "Critic":
        """Any function from images to logits as a critic."""
        return critic if isinstance(critic, Critic) else cls(critic)

    def __call__(self, images: Images) -> Logits:
        """One logit an image."""
        return self.run(images).logits

    def features(self, images: Images) -> Float[Tensor, "batch features"]:
        """What D's last layer looks at."""
        return self.part("features", images).flatten(1)

    def class_logits(self, images: Images) -> Float[Tensor, "batch classes"]:
        """One logit a class."""
        return self.part("class_logits", images)

    def again(self) -> "Critic":
        """The same critic without memory: an independent run, with its own dropout and augmentation."""
        return Critic(self.D, self.labels, self.augment, self.generator, self.latents, self._learner, **self.names)

    @property
    def learner(self) -> nn.Module:
        """The network that learns just now, D unless told otherwise."""
        net = self.D if self._learner is None else self._learner
        if not isinstance(net, nn.Module):
            raise ValueError(f"a penalty on weights needs the network itself, not a {type(net).__name__}")
        return net

    @property
    def generator_learns(self) -> bool:
        """Whether the penalty is one of the generator's."""
        return self._learner is not None and self._learner is self.generator

    def made_from(self) -> Tensor:
        """The latents that the fakes were made from."""
        if self.latents is None:
            raise ValueError("this penalty asks what the fakes were made from: it needs Critic(D, latents=z)")
        return self.latents

    def generate(self, latents: Tensor) -> Tensor:
        """What the generator makes of other latents, with the same labels."""
        if self.generator is None:
            raise ValueError("this penalty runs the generator again: it needs Critic(D, generator=G, latents=z)")
        return wide(ask(self.generator, latents, self.labels))

    def part(self, name: str, images: Images) -> Tensor:
        """The output of the submodule that goes by this name."""
        parts = self.run(images).parts
        if name not in parts:
            what = f"{type(self.D).__name__} has no submodule {self.names[name]!r} that it runs"
            hint = "; d_condition='auxiliary' gives the built-in networks some" if name == "class_logits" else ""
            raise ValueError(f"this needs the discriminator's {name.replace('_', ' ')}, but {what}{hint}")
        return wide(parts[name])

    def run(self, images: Images) -> Run:
        """The run of D on these very images."""
        autocast = torch.is_autocast_enabled(images.device.type)
        for run in self.runs:
            if run.images is images and run.autocast == autocast:
                return run
        parts: dict[str, Tensor] = {}
        hooks = [module.register_forward_hook(_keep(parts, name)) for name, module in self.marked()]
        try:
            shown = images if self.augment is None else self.augment(images)
            logits = wide(ask(self.D, shown, self.labels))
        finally:
            for hook in hooks:
                hook.remove()
        if logits.shape == (len(images), 1):  # as many a network has them
            logits = logits.squeeze(1)
        self.runs.append(Run(images, autocast, logits, parts))
        return self.runs[-1]

    def marked(self) -> list[tuple[str, nn.Module]]:
        """The submodules of D whose outputs can be asked for."""
        modules = dict(self.D.named_modules()) if isinstance(self.D, nn.Module) else {}
        called = {name: next((p for p in modules if f".{p}".endswith(f".{m}")), None) for name, m in self.names.items()}
        return [(name, modules[path]) for name, path in called.items() if path is not None]


def _keep(parts: dict[str, Tensor], name: str) -> Callable[[nn.Module, object, Tensor], None]:
    return lambda module, inputs, output: parts.__setitem__(name, output)
