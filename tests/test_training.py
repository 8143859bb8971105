"""Laws of the training loop."""

from copy import deepcopy
from itertools import islice

import pytest
import torch
from torch import nn

from equipoise import losses, networks, norms, optimizers, penalties, spec
from equipoise.critic import Critic
from equipoise.labels import LabelSpace
from equipoise.networks import ImageShape
from equipoise.training import FLOAT32, State, steps
from equipoise.training.loop import in_turn, seeded
from equipoise.training.precision import BFLOAT16, choose
from equipoise.training.state import update_average

SHAPE = ImageShape(1, 8, 8)
adam = optimizers.adam()
ELSEWHERE = ("auxiliary_classifier", "multi_hinge", "pretrained")  # test_training_components plays them
NETS = [
    "mlp(width=8)",
    "dcgan(g_width=4, d_width=4)",
    "sn_cnn(g_width=4, d_width=4)",
    "sn_resnet(g_scale=0.02, d_scale=0.03)",
]


def start(network=NETS[-1], shape=SHAPE, norm="spectral", components=()):
    torch.manual_seed(0)
    G, D = spec.build(network, networks)(shape)
    norms.apply(spec.build(norm, norms), D)
    return State.start(G, D, adam(G, 1e-3), adam(D, 1e-3), components)


def endless(batch=4, shape=SHAPE, position=0):
    """Batches that are a function of their position."""
    while True:
        generator = torch.Generator().manual_seed(position)
        images = torch.rand(batch, *shape[:3], generator=generator) * 2 - 1
        yield images, shape.labels.example(batch)
        position += batch


@pytest.mark.parametrize("network", NETS)
@pytest.mark.parametrize("loss", [name for name in spec.names(losses) if name not in ELSEWHERE])
@pytest.mark.parametrize("penalty", ["r1", "wgan_gp", "drift"])
def test_every_loss_trains_every_network(network, loss, penalty):
    loss, penalty = spec.build(loss, losses), spec.build(penalty, penalties)
    state = start(network, components=[loss, penalty])
    before = deepcopy(state.state_dict())
    for stats in islice(steps(state, endless(), loss, [penalty]), 2):
        assert all(value.isfinite() for value in stats.values())
        assert {"loss_d", "loss_g", "penalty", "penalty_g", "real", "fake", "gradient_d", "gradient_g"} <= stats.keys()
    assert state.seen == 8
    for net in ("G", "D", "ema"):
        changed = [
            not torch.equal(before[net][name], value) for name, value in getattr(state, net).state_dict().items()
        ]
        assert sum(changed) > len(changed) / 2


@pytest.mark.parametrize("network", NETS)
@pytest.mark.parametrize("precision", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
def test_resuming_is_exact(network, precision):
    def run(state, count):
        for net in (state.G, state.D, state.ema):
            precision.place(net, torch.device("cpu"))
        updates = steps(
            state,
            endless(position=state.seen),
            losses.hinge(),
            [penalties.wgan_gp()],
            d_steps=2,
            precision=precision,
            seed=3,
        )
        return [*islice(updates, count)][-1]

    whole = start(network)
    expected = run(whole, 4)
    first, second = start(network), start(network)
    run(first, 2)
    second.load_state_dict(deepcopy(first.state_dict()))
    torch.rand(7)  # whatever happens to the global generator between
    got = run(second, 2)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(got[name], value), name
    assert_equal(second.state_dict(), whole.state_dict())


def assert_equal(a, b):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        [assert_equal(a[key], b[key]) for key in a]
    elif isinstance(a, list | tuple):
        [assert_equal(x, y) for x, y in zip(a, b, strict=True)]
    else:
        assert a == b


def test_the_seed_decides():
    runs = [[*islice(steps(start(), endless(), losses.hinge(), seed=seed), 2)][-1]["fake"] for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_the_callers_random_state_is_untouched():
    torch.manual_seed(5)
    expected = torch.rand(3)
    state = start()
    torch.manual_seed(5)
    next(steps(state, endless(), losses.hinge()))
    assert torch.equal(torch.rand(3), expected)


def test_randomness_differs_from_step_to_step():
    draws = []
    for seen in (0, 4, 8):
        with seeded(0, seen, torch.device("cpu")):
            draws.append(torch.rand(1).item())
    assert len(set(draws)) == 3


def test_shared_logits_give_the_gradients_of_separate_runs():
    D, (x, y) = start().D, torch.randn(2, 4, 1, 8, 8)
    loss, terms = losses.relativistic(), [penalties.r1(1.0), penalties.r2(2.0)]
    D.eval()  # no power iteration between the two ways
    grads = []
    for critic, inputs in ((D, (x, y)), (Critic(D, None), (x.clone().requires_grad_(), y.clone().requires_grad_()))):
        D.zero_grad(set_to_none=True)
        (loss.d(critic(inputs[0]), critic(inputs[1])) + sum(term(critic, *inputs) for term in terms)).backward()
        grads.append([weight.grad.clone() for weight in D.parameters()])
    torch.testing.assert_close(*grads)


def test_the_discriminator_runs_once_a_batch():
    state, runs = start(norm="none"), []
    state.D.register_forward_hook(lambda *call: runs.append(call))
    next(steps(state, endless(), losses.hinge(), [penalties.r1(), penalties.r2()]))
    assert len(runs) == 3  # reals, fakes, and the generator's fakes


def test_penalties_run_in_float32_under_bfloat16():
    state, seen = start(), []
    state.D.register_forward_hook(
        lambda module, args, output: seen.append((torch.is_autocast_enabled("cpu"), output.dtype))
    )
    next(steps(state, endless(), losses.hinge(), [penalties.r1()], precision=BFLOAT16))
    assert seen == [(True, torch.bfloat16), (True, torch.bfloat16), (False, torch.float32), (True, torch.bfloat16)]


def test_each_player_moves_only_itself():
    state = start(norm="none")
    frozen = {name: weight.clone() for name, weight in state.D.named_parameters()}
    state.opt_d.param_groups[0]["lr"] = 0.0
    next(steps(state, endless(), losses.hinge()))
    assert all(torch.equal(weight, frozen[name]) for name, weight in state.D.named_parameters())
    assert all(weight.requires_grad for weight in state.D.parameters())


def test_labels_reach_both_networks_and_repeat_for_more_fakes():
    shape = ImageShape(1, 8, 8, LabelSpace("classes", 3))
    state, given = start(shape=shape), []
    state.G.register_forward_pre_hook(lambda module, args: given.append(args[1]))
    next(steps(state, endless(4, shape), losses.hinge(), g_batch=6))
    _, labels = next(endless(4, shape))
    assert torch.equal(given[0], labels)
    assert torch.equal(given[1], torch.cat([labels, labels[:2]]))


def test_labels_of_every_kind_repeat_in_turn():
    for kind in ("classes", "attributes", "vectors"):
        labels = LabelSpace(kind, 3).example(4)
        repeated = in_turn(labels, 10)
        assert repeated.dtype == labels.dtype
        assert torch.equal(repeated, torch.cat([labels, labels, labels[:2]]))
        assert torch.equal(in_turn(labels, 2), labels[:2])


def test_average_after_constant_weights():
    """After n steps of constant weights w: w (1 - b^n) + w0 b^n; running statistics likewise, other buffers copied."""
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), norms.spectral()(nn.Linear(2, 2)))
    average = deepcopy(net)
    old = deepcopy(net.state_dict())
    with torch.no_grad():
        [value.add_(1) for value in net.state_dict().values()]
    for _ in range(5):
        update_average(average, net, decay=0.9)
    for name, value in average.state_dict().items():
        averaged = value.is_floating_point() and not name.endswith((".u", ".v"))
        expected = net.state_dict()[name] * (1 - 0.9**5) + old[name] * 0.9**5 if averaged else net.state_dict()[name]
        torch.testing.assert_close(value, expected)


def test_the_averages_half_life_is_in_images():
    state = start(norm="none")
    first = {name: value.clone() for name, value in state.ema.named_parameters()}
    next(steps(state, endless(4), losses.hinge(), d_steps=2, ema_images=8))
    for name, value in state.ema.named_parameters():
        torch.testing.assert_close(value, (first[name] + dict(state.G.named_parameters())[name]) / 2)


class AutoEncoder(nn.Module):
    """Minus the mean squared error of a small auto-encoder."""

    is_autoencoder = True

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU())
        self.decoder = nn.Linear(8, 64)

    def forward(self, images):
        return -(self.decoder(self.features(images)) - images.flatten(1)).square().mean(1)


def pretraining(images=48, loss="energy"):
    """An auto-encoder that learns 48 reals alone first, as a state, the loss and what is played for."""
    torch.manual_seed(0)
    game, term = losses.pretrained(loss, images), penalties.path_length(every=2)
    G, D = Own.G(), AutoEncoder()
    return State.start(G, D, adam(G, 1e-3), adam(D, 3e-2), components=[game, term]), game, term


def advance(run, count):
    state, game, term = run
    one_image = ((torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8).repeat(4, 1, 1, 1), None) for _ in iter(int, 1))
    return [*islice(steps(state, one_image, game, g_penalties=[term]), count)]


def test_the_generator_rests_while_the_discriminator_learns_alone():
    run = pretraining()
    state = run[0]
    first = deepcopy([state.G.state_dict(), state.ema.state_dict()])
    stats = advance(run, 12)
    assert_equal([state.G.state_dict(), state.ema.state_dict()], first)
    assert not state.opt_g.state
    assert all(row["loss_g"] == row["gradient_g"] == row["penalty_g"] == 0 for row in stats)
    assert stats[-1]["real"] > 0.5 * stats[0]["real"]  # minus the error of reconstruction
    stats = advance(run, 1)
    assert stats[0]["gradient_g"] > 0
    assert not torch.equal(state.G.net[0].weight, first[0]["net.0.weight"])
    assert {int(moments["step"]) for moments in state.opt_g.state.values()} == {1}


@pytest.mark.parametrize("stopped", [5, 11, 12, 13])
@pytest.mark.parametrize("loss", ["energy", "boundary_equilibrium(rate=0.1)"])
def test_resuming_is_exact_where_the_generator_begins_to_move(loss, stopped):
    whole, first, second = (pretraining(loss=loss) for _ in range(3))
    expected = advance(whole, 16)
    advance(first, stopped)
    second[0].load_state_dict(deepcopy(first[0].state_dict()))
    assert_equal(advance(second, 16 - stopped), expected[stopped:])
    assert_equal(second[0].state_dict(), whole[0].state_dict())


def test_learning_rate_follows_images_seen():
    state = start()
    [*islice(steps(state, endless(4), losses.hinge(), rate=lambda seen: 1 - seen / 16), 3)]
    assert state.opt_g.param_groups[0]["lr"] == pytest.approx(1e-3 * (1 - 8 / 16))


def test_stateful_components_are_saved():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, critic, real, fake):
            self.calls += 1
            return critic(real).sum() * 0

    counter = Counter()
    state = start(components=[losses.hinge(), counter])
    next(steps(state, endless(), losses.hinge(), [counter]))
    assert state.state_dict()["components"] == {"0.calls": torch.ones(())}


def test_choosing_a_precision_gives_its_reason():
    precision, reason = choose(torch.device("cpu"))
    assert precision in (FLOAT32, BFLOAT16)
    assert "times as fast" in reason


def test_the_noise_of_a_step_is_independent_of_the_noise_of_its_data():
    """Both are functions of the seed and the position: drawn alike they would be the same numbers."""
    from equipoise.data.batches import scaled

    images = torch.zeros(64, 1, 8, 8, dtype=torch.uint8)
    uniform = (scaled(images, noise=(3, 128)) + 1).flatten() * 128
    with seeded(3, 128, torch.device("cpu")):
        again = torch.rand(uniform.numel())
    assert torch.corrcoef(torch.stack([uniform, again]))[0, 1].abs() < 0.1


class Own:
    """Networks of a user's own: no labels, no base class."""

    class G(nn.Module):
        z_dim = 3

        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))

        def forward(self, z):
            return self.net(z)

    class D(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0))

        def forward(self, x):
            return self.net(x)

    @classmethod
    def state(cls):
        G, D = cls.G(), cls.D()
        return State.start(G, D, adam(G, 1e-3), adam(D, 1e-3))


def test_networks_of_ones_own_and_a_finite_list_of_batches():
    state, (images, _) = Own.state(), next(endless())
    assert len([*steps(state, [(images, None)] * 5, losses.hinge(), [penalties.r1()], d_steps=2)]) == 2
    assert not images.requires_grad
    assert images.grad is None


def test_a_generator_without_z_dim_is_named():
    state = Own.state()
    state.G = nn.Linear(3, 4)
    with pytest.raises(ValueError, match="Linear needs an attribute z_dim"):
        next(steps(state, endless(), losses.hinge()))


def test_frozen_layers_stay_frozen_and_learning_rates_are_the_users():
    state = Own.state()
    state.D.net[1].requires_grad_(False)
    before = state.D.net[1].weight.clone()
    state.opt_g.param_groups[0]["lr"] = 0.5
    [*islice(steps(state, endless(), losses.hinge()), 3)]
    assert torch.equal(state.D.net[1].weight, before)
    assert not state.D.net[1].weight.requires_grad
    assert state.D.net[3].weight.requires_grad
    assert state.opt_g.param_groups[0]["lr"] == 0.5


def test_impossible_lengths_are_refused():
    with pytest.raises(ValueError, match="d_steps and ema_images must be at least 1, not 0 and 5"):
        next(steps(start(), endless(), losses.hinge(), d_steps=0, ema_images=5))
