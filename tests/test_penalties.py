"""Laws of all penalties, each on a small discriminator, a small generator and its latents."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from equipoise import penalties, spec
from equipoise.critic import Critic

ALL = spec.names(penalties)
READY = {  # what makes a penalty at work from its second call on
    "lecam": "lecam(warm_up=0, decay=0.5)",
    "path_length": "path_length(every=1)",
}
VARIANTS = [
    *("wgan_gp(sided='one', target=0.1)", "wgan_gp(sided='one_unsquared', target=0.1)", "wgan_gp(target=750.0)"),
    *("consistency(kind='bcr')", "consistency(kind='zcr')", "consistency_term(margin=0.001, features=0.0)"),
]
EVERY = ALL + VARIANTS
over_all = pytest.mark.parametrize("name", EVERY)
LAZY = [name for name in ALL if "every" in inspect.signature(getattr(penalties, name)).parameters]
GENERATORS = ("pulling_away", "path_length")
ON_WEIGHTS = ("spectral_regularization", "orthonormal", "orthogonal_offdiagonal", "historical_averaging")
SHAPE = (2, 3, 4)


class Judge(nn.Module):
    """A small smooth discriminator with features and dropout."""

    def __init__(self, values):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(values, 5), nn.Tanh(), nn.Dropout(0.3))
        self.out = nn.Linear(5, 1)

    def forward(self, images):
        return self.out(self.features(images))[:, 0]


class Scene:
    """All that a penalty may look at; `batch` images of each side."""

    def __init__(self, batch=4, shape=SHAPE, dtype=torch.float64):
        values = torch.Size(shape).numel()
        self.D = Judge(values).to(dtype)
        self.G = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, values), nn.Unflatten(1, shape)).to(dtype)
        self.z = torch.randn(batch, 3, dtype=dtype, requires_grad=True)
        self.real = torch.randn(batch, *shape, dtype=dtype)

    def value(self, name, penalty, seed=3, real=None, z=None):
        """The penalty with the same draws at every call."""
        torch.manual_seed(seed)
        z = self.z if z is None else z
        critic = Critic(self.D, generator=self.G, latents=z, learner=self.learner(name))
        return penalty(critic, self.real if real is None else real, self.G(z))

    def learner(self, name):
        return self.G if name.partition("(")[0] in GENERATORS else self.D


def build(name):
    return spec.build(READY.get(name, name), penalties)


def at_work(name, scene):
    """The penalty after two calls, between which weights have moved; its state is frozen."""
    penalty = build(name)
    for seed in (1, 2):
        scene.value(name, penalty, seed)
        with torch.no_grad():
            for weight in [*scene.D.parameters(), *scene.G.parameters()]:
                weight += 0.1 * torch.randn_like(weight)
    return penalty.eval() if isinstance(penalty, nn.Module) else penalty


def test_the_public_penalties():
    assert set(ALL) == {
        *(
            "approximate_r1",
            "approximate_r2",
            "consistency",
            "consistency_term",
            "dragan",
            "drift",
            "historical_averaging",
            "lecam",
            "max_gradient",
        ),
        *("orthogonal_offdiagonal", "orthonormal", "path_length", "pulling_away", "r1", "r2"),
        *("spectral_regularization", "wgan_gp", "zero_centered"),
    }


SILENT = {  # weights that the penalty says nothing about; of D where nothing else is said
    **{name: {"out.bias"} for name in EVERY},  # a constant has no slope, and no difference
    **{name: set() for name in ("drift", "lecam", "historical_averaging", "pulling_away")},
    **{name: {"features.1.bias", "out.bias"} for name in ("spectral_regularization", "orthonormal")},
    "orthogonal_offdiagonal": {"features.1.bias", "out.bias", "out.weight"},  # one output is orthogonal to no other
    "path_length": {"2.bias"},
}


@over_all
def test_every_weight_gets_a_gradient(name):
    scene = Scene()
    value = scene.value(name, at_work(name, scene))
    value.backward()
    weights = scene.learner(name).named_parameters()
    assert {n for n, w in weights if w.grad is None or not w.grad.any()} == SILENT[name]
    assert value > 0


@over_all
def test_gradients_agree_with_finite_differences(name):
    scene = Scene()
    penalty = at_work(name, scene)
    weights = [w for n, w in scene.learner(name).named_parameters() if n not in SILENT[name]]
    slopes = torch.autograd.grad(scene.value(name, penalty), weights)
    ways, values = [torch.randn_like(w) for w in weights], []
    for size in (1e-6, -2e-6):
        with torch.no_grad():
            for w, way in zip(weights, ways, strict=True):
                w += size * way
        values.append(scene.value(name, penalty).item())
    exact = sum((slope * way).sum().item() for slope, way in zip(slopes, ways, strict=True))
    assert exact == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4)


@pytest.mark.parametrize("name", [n for n in EVERY if n not in GENERATORS])
def test_no_gradient_of_a_discriminators_penalty_reaches_the_generator(name):
    scene = Scene()
    penalty = at_work(name, scene)
    scene.value(name, penalty).backward()
    assert all(weight.grad is None for weight in scene.G.parameters())
    assert scene.z.grad is None


@over_all
def test_calling_a_penalty_leaves_images_and_weights_as_they_were(name):
    scene = Scene()
    penalty, before = at_work(name, scene), scene.real.clone()
    weights = [*scene.D.parameters(), *scene.G.parameters()]
    values = [w.detach().clone() for w in weights]
    scene.value(name, penalty)
    assert not scene.real.requires_grad
    assert torch.equal(scene.real, before)
    assert all(w.grad is None and torch.equal(w, v) for w, v in zip(weights, values, strict=True))


@pytest.mark.parametrize("name", ALL)
def test_the_weight_is_a_factor(name):
    start, _, rest = READY.get(name, name).partition("(")
    values = []
    for weight in (1.0, 3.0):
        torch.manual_seed(0)
        scene = Scene()
        values.append(scene.value(name, at_work(f"{start}(weight={weight}, {rest or ')'}", scene)))
    torch.testing.assert_close(values[1], 3 * values[0])


COUPLED = {
    "dragan": "the perturbation has the standard deviation of the batch",
    "max_gradient": "only the largest norm counts",
    "pulling_away": "about pairs",
}


@over_all
def test_another_sample_does_not_change_a_samples_term(name):
    """Samples that change places between two batches: the sum of both penalties stays. A norm over the batch fails."""
    scene = Scene(batch=2)
    penalty = at_work(name, scene)
    value = lambda x, z: scene.value(name, penalty, len(same), x, z.clone().requires_grad_())
    same = []
    while len(same) < 8:
        x, z = 3 * torch.randn(2, 2, *SHAPE).double(), torch.randn(2, 2, 3).double()
        y, w = x.clone(), z.clone()
        y[:, 1], w[:, 1] = x.flip(0)[:, 1], z.flip(0)[:, 1]
        straight = sum(value(*pair) for pair in zip(x, z, strict=True))
        crossed = sum(value(*pair) for pair in zip(y, w, strict=True))
        same.append(torch.isclose(straight, crossed, rtol=1e-9).item())
    assert all(same) == (name not in COUPLED)


FLAT_IS_REFUSED = ("consistency_term", "consistency_term(margin=0.001, features=0.0)")  # it answers alike twice


@pytest.mark.parametrize("name", [n for n in EVERY if n not in FLAT_IS_REFUSED])
def test_finite_where_all_is_flat(name):
    scene = Scene()
    for weight in [*scene.D.parameters(), *scene.G.parameters()]:
        nn.init.zeros_(weight)
    value = scene.value(name, build(name))
    weights = [*scene.learner(name).parameters()]
    slopes = torch.autograd.grad(value, weights, allow_unused=True) if value.requires_grad else []
    assert value.isfinite()
    assert all(slope is None or slope.isfinite().all() for slope in slopes)


IMAGES = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))


@over_all
@settings(max_examples=6, deadline=None)
@given(batch=st.integers(1, 3), shape=IMAGES, dtype=st.sampled_from([torch.float32, torch.float64]))
def test_any_shape_precision_and_size_of_batch(name, batch, shape, dtype):
    torch.manual_seed(0)
    scene = Scene(batch, shape, dtype)
    value = scene.value(name, build(name))
    assert value.shape == ()
    assert value.isfinite()


@pytest.mark.parametrize("name", [n for n in EVERY if not n.startswith("consistency(") and n != "consistency"])
def test_vectors_will_do(name):
    """Of all penalties only `consistency`, which shifts and flips, is about images."""
    scene = Scene(shape=(7,))
    assert scene.value(name, at_work(name, scene)).isfinite()


@pytest.mark.parametrize("name", LAZY)
def test_lazy_is_dense_in_expectation(name):
    """Every third call is three times as strong, the others are nothing (Karras 2020, Sec. 3.1)."""
    scene = Scene()
    dense, lazy = (spec.build(f"{name}(every={every})", penalties) for every in (1, 3))
    if name == "path_length":
        for lengths in (dense, lazy.penalty):
            lengths.eval().mean.fill_(0.3)
    once = scene.value(name, dense)
    values = torch.stack([scene.value(name, lazy).double() for _ in range(9)])
    torch.testing.assert_close(values, torch.tensor([3.0, 0, 0] * 3).double() * once)
    torch.testing.assert_close(values.mean(), once)
    assert once > 0


@pytest.mark.parametrize("name", LAZY)
def test_lazy_must_be_at_least_1(name):
    with pytest.raises(ValueError, match="every must be at least 1, not 0"):
        spec.build(f"{name}(every=0)", penalties)


STATEFUL = [*(f"{name}(every=3)" for name in LAZY), "lecam(warm_up=2, decay=0.5)"]
STATEFUL += ["spectral_regularization", "historical_averaging"]


def test_these_are_all_with_a_state():
    assert {n.partition("(")[0] for n in STATEFUL} == {*LAZY} | {n for n in ALL if isinstance(build(n), nn.Module)}


@pytest.mark.parametrize("name", STATEFUL)
@pytest.mark.parametrize("calls", [1, 2, 4])
def test_the_state_survives_in_a_fresh_object(name, calls):
    scene, kind = Scene(), name.partition("(")[0]
    old, fresh = (nn.ModuleDict({"penalty": spec.build(name, penalties)}) for _ in range(2))

    def advance(box, seed):
        return scene.value(kind, box["penalty"], seed)

    for seed in range(calls):
        advance(old, seed)
        with torch.no_grad():
            for weight in scene.D.parameters():
                weight += 0.1 * torch.randn_like(weight)
    fresh.load_state_dict({key: x.clone() if torch.is_tensor(x) else x for key, x in old.state_dict().items()})
    assert [advance(fresh, seed) for seed in range(5)] == [advance(old, seed) for seed in range(5)]


@pytest.mark.parametrize("name", STATEFUL)
def test_evaluation_freezes_the_state(name):
    scene, kind = Scene(), name.partition("(")[0]
    penalty = spec.build(name, penalties)
    scene.value(kind, penalty)
    before = {key: x.clone() if torch.is_tensor(x) else x for key, x in penalty.state_dict().items()}
    assert before
    penalty.eval()
    scene.real += 1
    with torch.no_grad():
        for weight in scene.D.parameters():
            weight += torch.randn_like(weight)
    assert scene.value(kind, penalty, 1) == scene.value(kind, penalty, 1)
    assert all(torch.equal(torch.as_tensor(x), torch.as_tensor(before[n])) for n, x in penalty.state_dict().items())
    penalty.train()
    scene.value(kind, penalty)
    assert any(not torch.equal(torch.as_tensor(x), torch.as_tensor(before[n])) for n, x in penalty.state_dict().items())


@pytest.mark.parametrize("name", ALL)
def test_a_penalty_is_no_reward(name):
    with pytest.raises(ValueError, match=r"weight must be at least 0, not -1.0"):
        spec.build(f"{name}(weight=-1.0)", penalties)
