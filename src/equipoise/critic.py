"""The discriminator as losses and penalties see it: a function of images alone."""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .calls import ask, has_mapping
from .numerics import autocast_to, wide
from .trees import leaves, map_leaves

Images = Float[Tensor, "batch *shape"]
Fakes = Float[Tensor, "fakes *shape"]  # as many as a step of the generator has, which need not be a batch
Logits = Tensor | Sequence[Any]  # of one head [batch, ...], or a list of them: one per scale, period, patch size...
Scalar = Float[Tensor, ""]
CriticLike = Callable[[Tensor], Any]


class Output(NamedTuple):
    """The parts of what a discriminator returns."""

    logits: Logits
    features: list[Tensor]
    class_logits: list[Tensor]


class Run(NamedTuple):
    """One run of the discriminator, and under which conditions it was made."""

    images: Tensor
    version: int
    autocast: bool
    graph: bool
    output: Output


def heads(logits: Logits) -> list[Tensor]:
    """The logits of each head, also of an output that holds features besides.

    >>> [head.shape[0] for head in heads([torch.zeros(4), torch.zeros(4, 1, 3, 3)])]
    [4, 4]
    """
    return leaves(taken_apart(logits).logits)


def mean(logits: Logits) -> Scalar:
    """The mean over heads of the mean over a head's values."""
    return torch.stack([head.mean() for head in heads(logits)]).mean()


def per_sample(logits: Logits, count: int) -> Float[Tensor, "batch"]:
    """One number per sample: the sum over heads of the mean over a head's values."""
    for head in heads(logits):
        if head.ndim < 1 or len(head) != count:
            raise ValueError(
                f"logits of shape {[*head.shape]} for {count} images: the first dimension of a head must be the batch"
            )
    return torch.stack([head.flatten(1).mean(1) if head.ndim > 1 else head for head in heads(logits)]).sum(0)


def centred(real: Logits, fake: Logits) -> list[Tensor]:
    """Real logits minus the midpoint of the means of both sides: what a loss of differences of logits depends on.

    >>> centred(torch.tensor([5.0, 7.0]), torch.tensor([2.0, 2.0]))[0].tolist()  # the means are 6 and 2
    [1.0, 3.0]
    """
    pairs = zip(heads(real), heads(fake), strict=True)
    return [of_real - (of_real.mean() + of_fake.mean()) / 2 for of_real, of_fake in pairs]


class Critic:
    """images -> logits of at least float32, with labels and augmentation closed over: one step's view of D.

    Make a new one for each step of either network: it remembers the outputs of D, with their graphs. D returns logits:
    a tensor [batch, ...], a list of them, one per head; or logits with features, as a pair of both, a mapping or an
    object with `logits`, `features` and `class_logits`, or a list of pairs, one per head. Where D returns logits alone,
    `features` and `class_logits` are the outputs of its submodules of these names, at whatever depth (an `nn.Identity`
    marks them; of other networks `features` and `class_logits` give the submodules' names).

    Penalties share the run that the loss has paid for, but where that was in another precision or had no graph and they
    need one, and where the images have been changed since; `again()` is a critic without that memory.

    With a `dtype` D runs under autocast to it, float32 is none, and without one in the precision of its surroundings: a
    critic of bfloat16 can be asked by penalties whose own arithmetic is float32.

    `generator` and `latents` say what made the fakes, and `learner` which of the networks is updated; `seen` how
    many images were seen, for schedules; `piece` which of how many pieces of a batch the images are.
    A plain module or function is made a critic by `Critic.of`.
    """

    def __init__(
        self,
        D: Callable[..., Any],
        labels: Tensor | None = None,
        augment: Callable[[Tensor], Tensor] | None = None,
        generator: Callable[..., Any] | None = None,
        latents: Tensor | None = None,
        learner: nn.Module | None = None,
        features: str = "features",
        class_logits: str = "class_logits",
        seen: int | None = None,
        piece: tuple[int, int] = (0, 1),
        dtype: torch.dtype | None = None,
    ) -> None:
        self.D, self.labels, self.augment = D, labels, augment
        self.generator, self.latents = generator, latents
        self._learner = learner
        self.names = {"features": features, "class_logits": class_logits}
        self.seen, self.piece, self.dtype = seen, piece, dtype
        self.runs: list[Run] = []

    @classmethod
    def of(cls, critic: Callable[..., Any]) -> "Critic":
        """Any function from images to logits as a critic."""
        return critic if isinstance(critic, Critic) else cls(critic)

    def __call__(self, images: Images) -> Logits:
        """The logits: a tensor, [batch] or a map [batch, ...], or a list of them."""
        return self.run(images).logits

    def gradient(self, images: Images) -> Images:
        """The gradient of each sample's logit with respect to that sample, differentiable in the weights of D.

        Of several heads and of maps the logit is the sum over heads of the mean over a head's values. Images that are
        leaves and require a gradient are used as they are, so that a run which is remembered needs no second one; of
        others, such as a generator's, a detached copy is used, so that no gradient reaches the generator. D whose
        forward has an `input_gradient` of its own is asked for that: see `training.compiled`.
        """
        images = images if images.requires_grad and images.is_leaf else images.detach().requires_grad_(True)
        compiled = getattr(getattr(self.D, "forward", None), "input_gradient", None)
        if compiled is None:
            return torch.autograd.grad(per_sample(self(images), len(images)).sum(), images, create_graph=True)[0]
        with autocast_to(self.dtype, images.device):
            if self.augment is None:
                return cast(Tensor, compiled(images, self.labels))
            shown = self.augment(images)
            return torch.autograd.grad(shown, images, compiled(shown, self.labels), create_graph=True)[0]

    def features(self, images: Images) -> list[Float[Tensor, "batch _"]]:
        """All features of all heads, those of one layer in a row."""
        return [part.flatten(1) for part in self.part("features", images)]

    def class_logits(self, images: Images) -> list[Float[Tensor, "batch classes"]]:
        """One logit per class, of each head that has some."""
        return self.part("class_logits", images)

    def again(self) -> "Critic":
        """The same critic without memory: an independent run, with its own dropout and augmentation."""
        other = copy(self)
        other.runs = []
        return other

    def exact(self) -> "Critic":
        """The same critic in float32, for what is small beside the loss, which rounding would hide."""
        other = copy(self)
        other.dtype = torch.float32
        return other

    @property
    def learner(self) -> nn.Module:
        """The network that is updated, by default D."""
        net = self.D if self._learner is None else self._learner
        if not isinstance(net, nn.Module):
            raise ValueError(f"a penalty on weights needs the network itself, not a {type(net).__name__}")
        return net

    @property
    def generator_learns(self) -> bool:
        """Whether the penalty is one of the generator's."""
        return self._learner is not None and self._learner is self.generator

    @property
    def completes_batch(self) -> bool:
        """Whether the images are the last piece of their batch, so that what counts steps may count one."""
        return self.piece[0] == self.piece[1] - 1

    def require_whole_batch(self, what: str) -> None:
        """Raises ValueError for images that are a piece of their batch, where that is not the same."""
        if self.piece[1] > 1:
            raise ValueError(f"{what} looks at a whole batch, which is in {self.piece[1]} pieces here: use pieces=1")

    def made_from(self) -> Tensor:
        """The latents that the fakes were made from."""
        if self.latents is None:
            raise ValueError("this penalty asks what the fakes were made from: it needs Critic(D, latents=z)")
        return self.latents

    def generate(self, latents: Tensor) -> Tensor:
        """What the generator makes of other latents, with the same labels."""
        if self.generator is None:
            raise ValueError("this penalty runs the generator again: it needs Critic(D, generator=G, latents=z)")
        if has_mapping(self.generator):
            return wide(self.generator.synthesis(latents))
        return wide(ask(self.generator, latents, self.labels))

    def part(self, name: str, images: Images) -> list[Tensor]:
        """Features or class logits."""
        parts: list[Tensor] = getattr(self.run(images), name)
        if not parts:
            what = f"{type(self.D).__name__} has no submodule {self.names[name]!r} that it runs, and returns none"
            hint = "; d_condition='auxiliary' gives the built-in networks some" if name == "class_logits" else ""
            raise ValueError(f"this needs the discriminator's {name.replace('_', ' ')}, but {what}{hint}")
        return parts

    def run(self, images: Images) -> Output:
        """What D returned for these very images."""
        device, version = images.device.type, 0 if images.is_inference() else images._version
        with autocast_to(self.dtype, images.device):
            autocast, graph = torch.is_autocast_enabled(device), torch.is_grad_enabled()
            for run in self.runs:
                same = run.images is images and (run.version, run.autocast) == (version, autocast)
                if same and (run.graph or not graph):
                    return run.output if graph else map_leaves(Tensor.detach, run.output)
            self.runs.append(Run(images, version, autocast, graph, self.run_afresh(images)))
        return self.runs[-1].output

    def run_afresh(self, images: Images) -> Output:
        """The output of D for augmented images, with what its marked submodules gave where it returns logits alone."""
        asked: dict[str, list[Tensor]] = {"features": [], "class_logits": []}
        hooks = [module.register_forward_hook(_keep(asked[name])) for name, module in self.marked()]
        try:
            output = taken_apart(ask(self.D, images if self.augment is None else self.augment(images), self.labels))
        finally:
            for hook in hooks:
                hook.remove()
        features, class_logits = output.features or asked["features"], output.class_logits or asked["class_logits"]
        whole = Output(map_leaves(_squeezed, output.logits), features, class_logits)
        return map_leaves(wide, whole)

    def marked(self) -> list[tuple[str, nn.Module]]:
        """The submodules of D whose outputs can be asked for: the outermost of each name, of every head."""
        modules = dict(self.D.named_modules()) if isinstance(self.D, nn.Module) else {}
        found = []
        for name, marked in self.names.items():
            paths = [path for path in modules if f".{path}".endswith(f".{marked}")]
            inside = [path for path in paths for other in paths if path.startswith(f"{other}.")]
            found += [(name, modules[path]) for path in paths if path not in inside]
        return found


def taken_apart(output: Any) -> Output:
    """What a discriminator returned, as `Critic` describes it; raises ValueError for anything else.

    >>> taken_apart([(torch.zeros(4), [torch.ones(4, 2)]), (torch.zeros(4), [torch.ones(4, 3)])]).features[1].shape
    torch.Size([4, 3])
    """
    if isinstance(output, Tensor):
        return Output(output, [], [])
    named = output if isinstance(output, dict) else {name: getattr(output, name, None) for name in Output._fields}
    if named.get("logits") is not None:
        logits = named["logits"]
        return Output(logits if isinstance(logits, Tensor) else leaves(logits), *_parts(named))
    if isinstance(output, tuple) and len(output) == 2 and not _alike(*output):
        logits = output[0] if isinstance(output[0], Tensor) else leaves(output[0])
        return Output(logits, leaves(output[1]), [])
    if isinstance(output, list) and output and not any(isinstance(head, list) for head in output):
        several = [taken_apart(head) for head in output]
        flat = (leaves([getattr(head, name) for head in several]) for name in Output._fields)
        return Output(*flat)
    raise ValueError(
        f"a discriminator returns logits, a list of them, or logits with features as a pair or by name, "
        f"not a {type(output).__name__}{f' of {len(output)}' if isinstance(output, tuple) else ''}"
    )


def _alike(logits: Any, features: Any) -> bool:
    """Whether a pair may be two heads instead, which are to stand in a list."""
    return isinstance(logits, Tensor) and isinstance(features, Tensor) and logits.shape == features.shape


def _parts(named: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
    return leaves(named.get("features")), leaves(named.get("class_logits"))


def _squeezed(logits: Tensor) -> Tensor:
    """[batch, 1], as many a network has them, as [batch]."""
    return logits.squeeze(1) if logits.ndim == 2 and logits.shape[1] == 1 else logits


def _keep(outputs: list[Tensor]) -> Callable[[nn.Module, object, Any], None]:
    return lambda module, inputs, output: outputs.extend(leaves(output))
