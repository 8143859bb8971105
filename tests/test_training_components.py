"""Every loss, penalty, constraint and augmentation in the loop: it trains, and it resumes exactly."""

from copy import deepcopy
from itertools import islice

import pytest
import torch
from test_training import assert_equal
from torch import nn

from equipoise import augment, constraints, games, layers, losses, norms, optimizers, penalties, spec
from equipoise.training import State, steps
from equipoise.training.precision import BFLOAT16

CLASSES = 3


class Generator(nn.Module):
    z_dim = 5

    def __init__(self):
        super().__init__()
        self.embed, self.first = nn.Embedding(CLASSES, 5), nn.Linear(5, 16)
        self.last = nn.Sequential(nn.ReLU(), nn.Linear(16, 3 * 64), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)))

    def forward(self, z, labels):
        return self.last(self.first(z + self.embed(labels)))


class Discriminator(nn.Module):
    """All that can be asked for: dropout, features, class logits."""

    def __init__(self):
        super().__init__()
        convolutions = nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 8, 4, 2, 1), nn.LeakyReLU(0.2)
        self.features = nn.Sequential(*convolutions, nn.Flatten(), nn.Dropout(0.2))
        self.last, self.class_logits = nn.Linear(32, 1), nn.Linear(32, CLASSES)

    def forward(self, images, labels):
        features = self.features(images)
        self.class_logits(features)
        return self.last(features).squeeze(1)


def batches(position=0):
    while True:
        generator = torch.Generator().manual_seed(position)
        images = torch.rand(4, 3, 8, 8, generator=generator) * 2 - 1
        yield images, torch.randint(CLASSES, (4,), generator=generator)
        position += 4


class Run:
    """A run of all that is under test, which can be saved and taken up again."""

    def __init__(
        self,
        loss="hinge",
        norm="none",
        penalty=None,
        g_penalty=None,
        constraint="none",
        seen_as="none",
        optimizer="adam",
    ):
        torch.manual_seed(0)
        self.loss, self.augment = spec.build(loss, losses), spec.build(seen_as, augment)
        self.terms = [spec.build(penalty, penalties)] if penalty else []
        self.g_terms = [spec.build(g_penalty, penalties)] if g_penalty else []
        self.constraint = spec.build(constraint, constraints)
        self.nets = {"G": Generator(), "D": norms.apply(spec.build(norm, norms), Discriminator())}
        self.optimizing = spec.build(optimizer, optimizers)
        self.start()

    def start(self):
        self.players = games.adversarial(self.loss, self.terms, self.g_terms, self.constraint, self.augment)
        self.state = State.start(self.nets, self.players, self.optimizing, 1e-3)
        self.G, self.D = self.state.nets["G"], self.state.nets["D"]

    def run(self, count, **options):
        return [*islice(steps(self.state, batches(self.state.seen), self.players, **options), count)]


CASES = [
    *({"loss": name} for name in spec.names(losses) if name != "pretrained"),
    *({"loss": f"pretrained(loss={name}, images=8)"} for name in ("energy", "boundary_equilibrium")),
    {"loss": "auxiliary_classifier(loss=boundary_equilibrium)"},
    *({"norm": name} for name in spec.names(norms)),
    *({"norm": f"spectral({options})"} for options in ("kind='operator'", "scale='learned'", "update='step'")),
    *({"penalty": name} for name in spec.names(penalties) if name not in ("path_length", "pulling_away")),
    *(
        {"g_penalty": name}
        for name in ("path_length", "pulling_away", "historical_averaging", "orthogonal_offdiagonal")
    ),
    {"penalty": "r1(every=3)", "g_penalty": "path_length(every=2)"},
    {"penalty": "lecam(warm_up=1)"},
    {"penalty": "consistency(kind='zcr')", "g_penalty": "consistency(kind='zcr')"},
    *({"constraint": name} for name in spec.names(constraints)),
    *({"seen_as": name} for name in spec.names(augment)),
    {"seen_as": "ada(images=20, every=1)", "penalty": "r1"},
    *({"optimizer": name} for name in spec.names(optimizers)),
    {"optimizer": "sgd(momentum=0.9)"},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: ", ".join(f"{key}={value}" for key, value in case.items()))
def test_trains_and_resumes_exactly(case):
    whole, first, second = Run(**case), Run(**case), Run(**case)
    before = deepcopy(whole.state.state_dict())
    expected = whole.run(4)
    assert all(value.isfinite() for stats in expected for value in stats.values())
    assert whole.state.seen == 16
    for net in ("G", "D"):
        saved = whole.state.nets[net].state_dict()
        changed = [name for name, value in saved.items() if not torch.equal(value, before["nets"][net][name])]
        assert len(changed) > len(saved) / 2
    first.run(2)
    second.state.load_state_dict(deepcopy(first.state.state_dict()))
    torch.rand(7)  # whatever happens to the global generator between
    assert_equal(second.run(2), expected[2:])
    assert_equal(second.state.state_dict(), whole.state.state_dict())


def test_what_components_adapt_is_among_the_statistics():
    stats = Run(loss="boundary_equilibrium(rate=0.1)", seen_as="ada(images=20, every=1)").run(1)[-1]
    assert {"balance.k", "balance.convergence", "ada.p"} <= stats.keys()


def test_the_constraint_holds_after_every_step():
    run = Run(constraint="clip(value=0.02)")
    for _ in range(2):
        run.run(1)
        assert max(weight.abs().max() for weight in run.D.parameters()) <= 0.02


def test_reals_and_fakes_are_augmented_in_both_steps():
    seen = []

    def record(images):
        seen.append(len(images))
        return images

    run = Run()
    run.augment = record
    run.start()
    run.run(1)
    assert seen == [4, 4, 4]  # reals and fakes of D's step, fakes of G's


def test_an_augmentation_that_adapts_hears_of_real_logits():
    run = Run(seen_as="ada(images=8, every=1, target=-1.0)")  # any answer is above the target
    run.run(1)
    assert run.augment.p.item() == pytest.approx(0.5)


def test_generator_penalties_move_the_generator_alone():
    with_, without = Run(g_penalty="historical_averaging(weight=100.0)"), Run()
    for run in (with_, without):
        run.run(2)
    assert not torch.equal(with_.G.first.weight, without.G.first.weight)


def test_layers_of_the_discriminator_hear_of_fakes():
    run = Run(loss="least_squares")
    run.D.features.insert(0, layers.AdaptiveNoise(decay=0.0))
    run.D.last.bias.data.fill_(0.7)
    stats = run.run(1)[-1]
    assert run.D.features[0].score.item() == pytest.approx(stats["d.fake"].clamp(0, 1).item())


def test_a_penalty_that_needs_float32_does_not_share_a_run_in_bfloat16():
    """An image that shifting and flipping leave as it is has a consistency of zero, in any precision of the loss."""
    run = Run(penalty="consistency(weight=1000000.0)")
    run.D.features[-1].p = 0.0
    flat = ((torch.full((4, 3, 8, 8), 0.3), torch.zeros(4, dtype=torch.int64)) for _ in range(1))
    stats = next(steps(run.state, flat, run.players, precision=BFLOAT16))
    assert stats["d.consistency"].item() < 1e-3


def test_a_generators_step_that_forgets_to_say_that_it_looks_at_reals_is_seen():
    loss = losses.Loss(d=lambda real, fake: (fake - real).mean(), g=lambda real, fake: (real - fake).square().mean())
    lifted = losses.of_critic(loss)
    assert lifted.g(lambda x: x.flatten(1).sum(1), torch.randn(2, 3), torch.randn(2, 3)).isnan()
