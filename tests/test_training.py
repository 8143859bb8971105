"""Laws of the training loop."""

from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import nn

from equipoise import games, losses, networks, norms, optimizers, penalties, schedules, spec
from equipoise.critic import Critic
from equipoise.labels import LabelSpace, in_turn
from equipoise.networks import ImageShape
from equipoise.randomness import STEPS, mixed
from equipoise.ranges import BYTES
from equipoise.training import FLOAT32, State, seeded, steps
from equipoise.training.loss_scale import PATIENCE, LossScale
from equipoise.training.precision import BFLOAT16, FLOAT16, PRECISIONS, choose
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


def nets(network=NETS[-1], shape=SHAPE, norm="spectral"):
    torch.manual_seed(0)
    G, D = spec.build(network, networks)(shape)
    return {"G": G, "D": norms.apply(spec.build(norm, norms), D)}


class Run:
    """Networks, players and state of the usual game, and the loop over them."""

    def __init__(self, loss=None, penalties=(), *, networks=None, lr=1e-3, optimizing=adam, **game):
        self.players = games.adversarial(loss, penalties, **game)
        self.state = State.start(networks or nets(), self.players, optimizing, lr)
        self.G, self.D, self.ema = self.state.nets["G"], self.state.nets["D"], self.state.averages["G"]

    def steps(self, count, batches=None, **loop):
        batches = endless(position=self.state.seen) if batches is None else batches
        return [*islice(steps(self.state, batches, self.players, **loop), count)]


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
    run = Run(spec.build(loss, losses), [spec.build(penalty, penalties)], networks=nets(network))
    before = deepcopy(run.state.state_dict())
    for stats in run.steps(2):
        assert all(value.isfinite() for value in stats.values())
        expected = {"d.loss", "d.real", "d.fake", "d.gradient", f"d.{penalty}", "g.loss", "g.gradient"}
        assert expected <= stats.keys()
    assert run.state.seen == 8
    after = run.state.state_dict()
    for kind, name in (("nets", "G"), ("nets", "D"), ("averages", "G")):
        changed = [not torch.equal(before[kind][name][key], value) for key, value in after[kind][name].items()]
        assert sum(changed) > len(changed) / 2


@pytest.mark.parametrize("network", NETS)
@pytest.mark.parametrize("precision", [FLOAT32, BFLOAT16, FLOAT16], ids=["float32", "bfloat16", "float16"])
def test_resuming_is_exact(network, precision):
    def make():
        placed = {name: precision.place(net, torch.device("cpu")) for name, net in nets(network).items()}
        return Run(losses.hinge(), [penalties.wgan_gp()], networks=placed, d_steps=2)

    whole, first, second = make(), make(), make()
    expected = whole.steps(4, precision=precision, seed=3)[-1]
    first.steps(2, precision=precision, seed=3)
    second.state.load_state_dict(deepcopy(first.state.state_dict()))
    torch.rand(7)  # whatever happens to the global generator between
    got = second.steps(2, precision=precision, seed=3)[-1]
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(got[name], value), name
    assert_equal(second.state.state_dict(), whole.state.state_dict())


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
    runs = [Run().steps(2, seed=seed)[-1]["d.fake"] for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_the_callers_random_state_is_untouched():
    run = Run()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run.steps(1)
    assert torch.equal(torch.rand(3), expected)


def test_randomness_differs_from_step_to_step():
    draws = []
    for seen in (0, 4, 8):
        with seeded(mixed(0, seen), torch.device("cpu")):
            draws.append(torch.rand(1).item())
    assert len(set(draws)) == 3


def test_other_gpus_are_never_seeded(monkeypatch):
    """`torch.manual_seed` seeds all of them; here only the CPU's generator and one device's own are."""
    seeds = []
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("seeds every GPU"))
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: seeds.append((torch.cuda.current_device(), seed)))
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("seeds every GPU"))
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: nullcontext())
    monkeypatch.setattr(torch.cuda, "device", lambda device: current(monkeypatch, device))
    before = torch.get_rng_state()
    with seeded(7, torch.device("cuda", 1)):
        assert seeds == [(1, 7)]
    torch.set_rng_state(before)


@contextmanager
def current(monkeypatch, device):
    with monkeypatch.context() as inside:
        inside.setattr(torch.cuda, "current_device", lambda: device.index)
        yield


def test_shared_logits_give_the_gradients_of_separate_runs():
    D, (x, y) = nets()["D"], torch.randn(2, 4, 1, 8, 8)
    loss, terms = losses.relativistic(), [penalties.r1(1.0), penalties.r2(2.0)]
    D.eval()  # no power iteration between the two ways
    grads = []
    for critic, inputs in ((D, (x, y)), (Critic(D, None), (x.clone().requires_grad_(), y.clone().requires_grad_()))):
        D.zero_grad(set_to_none=True)
        (loss.d(critic(inputs[0]), critic(inputs[1])) + sum(term(critic, *inputs) for term in terms)).backward()
        grads.append([weight.grad.clone() for weight in D.parameters()])
    torch.testing.assert_close(*grads)


def test_the_discriminator_runs_once_a_batch():
    run, forwards = Run(None, [penalties.r1(), penalties.r2()], networks=nets(norm="none")), []
    run.D.register_forward_hook(lambda *call: forwards.append(call))
    run.steps(1)
    assert len(forwards) == 3  # reals, fakes, and the generator's fakes


def test_penalties_ask_for_the_losss_run_in_bfloat16_and_for_one_in_float32_in_float16():
    for precision, of_penalty in ((BFLOAT16, []), (FLOAT16, [torch.float32])):
        run, seen = Run(None, [penalties.r1()]), []
        run.D.register_forward_hook(lambda module, args, output, seen=seen: seen.append(output.dtype))
        run.steps(1, precision=precision)
        assert seen == [precision.dtype] * 2 + of_penalty + [precision.dtype]


class TestFloat16:
    """The loss of each player is scaled, so that small gradients are not rounded to 0; too large ones are no update."""

    def test_gradients_are_those_of_float32(self):
        found = {}
        for precision in (FLOAT32, FLOAT16):
            run = Run(None, [penalties.r1()], networks=nets("dcgan(g_width=4, d_width=4, d_feature_norm='none')"))
            if precision is FLOAT16:
                run.state.scale_losses(2.0**14)  # with 2^16 the gradient of the last bias is no number of 16 bits
            (stats,) = run.steps(1, precision=precision, seed=3)
            found[precision.name] = stats
        for name in ("d.loss", "d.gradient", "g.loss", "g.gradient", "d.r1"):
            assert found["float16"][name].item() == pytest.approx(found["float32"][name].item(), rel=0.02)
        assert found["float16"]["d.loss_scale"] == found["float16"]["g.loss_scale"] == 2**14
        assert "d.loss_scale" not in found["float32"]

    def test_small_gradients_are_not_lost(self):
        """A weight of 1e-6 in front of the loss: without a scale its gradients are below the least number."""
        small = lambda real, fake: 1e-6 * (fake.mean() - real.mean())
        for scaled in (True, False):
            run = Run(losses.Loss(small, lambda real, fake: -1e-6 * fake.mean()), networks=nets(NETS[1], norm="none"))
            run.state.scale_losses()
            if not scaled:
                for scale in run.state.scales.values():
                    scale.scale.fill_(1.0)
            (stats,) = run.steps(1, precision=FLOAT16)
            weights = [weight for weight in run.D.parameters() if weight.ndim > 1]
            lost = sum((weight.grad == 0).float().mean().item() for weight in weights)
            assert (lost < 0.5) == scaled
            assert stats["d.gradient"] > 0

    def test_an_overflow_is_no_update_and_halves_the_factor_of_its_player_alone(self):
        run = Run(networks=nets(norm="none"))
        run.state.scale_losses()
        run.state.scales["d"].scale.fill_(2.0**40)
        before = {name: weight.clone() for name, weight in run.D.named_parameters()}
        (stats,) = run.steps(1, precision=FLOAT16)
        assert all(torch.equal(weight, before[name]) for name, weight in run.D.named_parameters())
        assert stats["d.loss_scale"] == 2**39
        assert "d.gradient" not in stats
        assert stats["g.loss_scale"] == 2**16
        assert all(value.isfinite() for value in stats.values())

    def test_a_gradient_that_is_no_number_is_reported_in_the_end(self):
        run = Run(
            losses.Loss(lambda real, fake: (0 * real.mean()).sqrt() + fake.mean(), lambda real, fake: -fake.mean())
        )
        *_, last = run.steps(18, precision=FLOAT16)
        assert not last["d.gradient"].isfinite()

    def test_a_player_without_a_gradient_is_not_moved(self):
        constant = lambda real, fake: 0 * fake.detach().mean()
        run = Run(losses.Loss(constant, lambda real, fake: -fake.mean()))
        (stats,) = run.steps(1, precision=FLOAT16)
        assert (stats["d.gradient"], stats["d.loss_scale"]) == (0, 2**16)

    def test_the_factor_doubles_after_a_while_and_is_in_checkpoints(self):
        scale = LossScale()
        for _ in range(PATIENCE):
            assert scale.unscale([torch.ones(3)])
        assert (scale.scale, scale.since) == (2**17, 0)
        assert not scale.unscale([torch.tensor([1.0, float("inf")])])
        assert (scale.scale, scale.since) == (2**16, 0)
        run, other = Run(), Run()
        run.steps(1, precision=FLOAT16)
        run.state.scales["g"].scale.fill_(8.0)
        other.state.load_state_dict(run.state.state_dict())
        assert other.state.scales["g"].scale == 8
        assert not Run().state.state_dict()["scales"]


def test_each_player_moves_only_itself():
    run = Run(networks=nets(norm="none"), lr={"d": 0.0, "g": 1e-3})
    before = {name: weight.clone() for name, weight in run.D.named_parameters()}
    run.steps(1)
    assert all(torch.equal(weight, before[name]) for name, weight in run.D.named_parameters())


def test_gradients_reach_the_mover_alone_and_nobody_is_frozen():
    """Not even while the generator moves; what others have as gradients is theirs."""
    run, frozen = Run(networks=nets(norm="none"), g_penalties=[penalties.historical_averaging()]), []
    run.D.register_forward_hook(lambda *_: frozen.append(all(weight.requires_grad for weight in run.D.parameters())))
    for _ in steps(run.state, endless(), run.players):
        for weight in run.D.parameters():
            weight.grad = None
        run.players["g"] = replace(run.players["g"], after=lambda turn: checked(run.D))
        if run.state.seen > 8:
            break
    assert frozen
    assert all(frozen)


def checked(D):
    """After the generator's update D's gradients are those of D's own."""
    assert all(weight.grad is not None for weight in D.parameters())


def test_images_gather_no_gradient():
    images, _ = next(endless())
    Run(None, [penalties.r1()]).steps(1, [(images, None)])
    assert not images.requires_grad
    assert images.grad is None


def test_labels_reach_both_networks_and_repeat_for_more_fakes():
    shape = ImageShape(1, 8, 8, LabelSpace("classes", 3))
    run, given = Run(networks=nets(shape=shape), g_batch=6), []
    run.G.register_forward_pre_hook(lambda module, args: given.append(args[1]))
    run.steps(1, endless(4, shape))
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
        if name.endswith((".u", ".v")):  # of the averaged weights, by a power iteration of their own
            continue
        averaged = value.is_floating_point()
        expected = net.state_dict()[name] * (1 - 0.9**5) + old[name] * 0.9**5 if averaged else net.state_dict()[name]
        torch.testing.assert_close(value, expected)


def test_the_averages_half_life_is_in_images():
    run = Run(networks=nets(norm="none"), d_steps=2)
    first = {name: value.clone() for name, value in run.ema.named_parameters()}
    run.steps(1, ema_images=8)
    for name, value in run.ema.named_parameters():
        torch.testing.assert_close(value, (first[name] + dict(run.G.named_parameters())[name]) / 2)


def test_averages_of_half_life_zero_are_the_networks():
    run = Run(networks=nets(norm="none"))
    run.steps(1, ema_images=schedules.linear(0, 100, images=8))
    assert_equal(run.ema.state_dict(), run.G.state_dict())
    run.steps(1, ema_images=schedules.linear(0, 100, images=8))
    assert not torch.equal(next(run.ema.parameters()), next(run.G.parameters()))


def test_averaged_weights_are_divided_by_their_own_largest_singular_value():
    """Copies of the live singular vectors let sigma drift to 1.06."""
    pair = nets()
    norms.apply(norms.spectral(), pair["G"])
    run = Run(networks=pair, lr=3e-2)
    for _ in range(60):
        run.steps(1, ema_images=200)
    sigmas = []
    for _, layer in norms.layers(run.ema):
        sigmas.append(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item())
    assert max(abs(sigma - 1) for sigma in sigmas) < 0.02


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
    """An auto-encoder that learns 48 reals alone first."""
    torch.manual_seed(0)
    loss, term = spec.build(f"pretrained(loss={loss}, images={images})", losses), penalties.path_length(every=2)
    networks = {"G": Own.G(), "D": AutoEncoder()}
    return Run(loss, g_penalties=[term], networks=networks, lr={"d": 3e-2, "g": 1e-3})


def advance(run, count):
    one_image = ((torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8).repeat(4, 1, 1, 1), None) for _ in iter(int, 1))
    return run.steps(count, one_image)


def test_the_generator_rests_while_the_discriminator_learns_alone():
    run = pretraining()
    first = deepcopy([run.G.state_dict(), run.ema.state_dict()])
    stats = advance(run, 12)
    assert_equal([run.G.state_dict(), run.ema.state_dict()], first)
    assert not run.state.optimizers["g"].state
    assert all(row["g.loss"] == row["g.gradient"] == 0 and "g.path_length" not in row for row in stats)
    assert stats[-1]["d.real"] > 0.5 * stats[0]["d.real"]  # minus the error of reconstruction
    stats = advance(run, 1)
    assert stats[0]["g.gradient"] > 0
    assert not torch.equal(run.G.net[0].weight, first[0]["net.0.weight"])
    assert {int(moments["step"]) for moments in run.state.optimizers["g"].state.values()} == {1}


@pytest.mark.parametrize("stopped", [5, 11, 12, 13])
@pytest.mark.parametrize("loss", ["energy", "boundary_equilibrium(rate=0.1)"])
def test_resuming_is_exact_where_the_generator_begins_to_move(loss, stopped):
    whole, first, second = (pretraining(loss=loss) for _ in range(3))
    expected = advance(whole, 16)
    advance(first, stopped)
    second.state.load_state_dict(deepcopy(first.state.state_dict()))
    assert_equal(advance(second, 16 - stopped), expected[stopped:])
    assert_equal(second.state.state_dict(), whole.state.state_dict())


def test_learning_rates_and_momenta_follow_the_images_seen():
    optimizing = optimizers.adam(beta1=0.0, beta2=schedules.linear(0.9, 0.99, images=16))
    run = Run(optimizing=optimizing, lr={"d": 5e-4, "g": schedules.linear(1e-3, 0.0, images=16)})
    run.steps(3)
    d, g = (run.state.optimizers[name].param_groups[0] for name in ("d", "g"))
    assert g["lr"] == pytest.approx(1e-3 * (1 - 8 / 16))
    assert d["lr"] == 5e-4
    assert g["betas"] == d["betas"] == pytest.approx((0.0, 0.945))


def test_updates_a_round_may_be_a_schedule():
    run = Run(d_steps=schedules.steps((3, 1), at=(12,)))
    run.steps(1)
    assert run.state.seen == 12
    run.steps(2)
    assert run.state.seen == 20


def test_stateful_components_are_saved():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, critic, real, fake):
            self.calls += 1
            return critic(real).sum() * 0

    run = Run(None, [Counter()])
    run.steps(1)
    assert run.state.state_dict()["components"] == {"counter": {"calls": torch.ones(())}}


def test_the_precision_is_what_the_hardware_has():
    """No probe of speed: on a busy machine the same seed would be another run."""
    assert len({choose(torch.device("cpu")) for _ in range(3)}) == 1
    precision, reason = choose(torch.device("cpu"))
    assert precision in PRECISIONS.values()
    assert "products of bfloat16" in reason


@pytest.mark.parametrize("name", PRECISIONS)
def test_the_policy_of_tensorfloat_is_in_force_during_a_round_and_undone_after(name, monkeypatch):
    backends = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = [backend.fp32_precision for backend in backends] + [torch.backends.cudnn.benchmark]
    with PRECISIONS[name].settings(torch.device("cuda")):
        expected = "ieee" if name == "float32" else "tf32"
        assert [backend.fp32_precision for backend in backends] == [expected] * 2
        assert torch.backends.cudnn.benchmark
    assert [backend.fp32_precision for backend in backends] + [torch.backends.cudnn.benchmark] == before


def test_the_noise_of_a_step_is_independent_of_the_noise_of_its_data():
    """Both are functions of the seed and the position: drawn alike they would be the same numbers."""
    from equipoise.data.batches import scaled

    images = torch.zeros(64, 1, 8, 8, dtype=torch.uint8)
    uniform = (scaled(images, BYTES, noise=(3, 128)) + 1).flatten() * 128
    with seeded(mixed(3, 128, STEPS), torch.device("cpu")):
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
    def run(cls, *game, **options):
        return Run(*game, networks={"G": cls.G(), "D": cls.D()}, **options)


def test_networks_of_ones_own_and_a_finite_list_of_batches():
    images, _ = next(endless())
    run = Own.run(None, [penalties.r1()], d_steps=2)
    assert len(run.steps(9, [(images, None)] * 5)) == 2
    assert run.state.seen == 16  # a round that cannot be played to its end is not begun
    assert len(run.steps(9, [images] * 5)) == 2


def test_a_generator_without_z_dim_is_named():
    run = Own.run()
    del Own.G.z_dim
    try:
        with pytest.raises(ValueError, match="G needs an attribute z_dim, the dimension of its latent vectors"):
            run.steps(1)
    finally:
        Own.G.z_dim = 3


def test_what_is_no_batch_of_the_game_is_named():
    with pytest.raises(ValueError, match="a tensor of images or a pair of images and labels, not a dict of 4 samples"):
        Own.run().steps(1, [{"a": torch.zeros(4, 1, 8, 8)}])
    with pytest.raises(ValueError, match="a batch is a tree of tensors"):
        Own.run().steps(1, [("x", "y")])


def test_frozen_layers_stay_frozen_and_optimizers_may_be_the_users():
    G, D = Own.G(), Own.D()
    D.net[1].requires_grad_(False)
    before = D.net[1].weight.clone()
    run = Run(networks={"G": G, "D": D}, optimizing=lambda net, lr: torch.optim.SGD(net.parameters(), lr), lr=0.5)
    run.steps(3)
    assert torch.equal(D.net[1].weight, before)
    assert not D.net[1].weight.requires_grad
    assert D.net[3].weight.requires_grad
    assert run.state.optimizers["g"].param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ema_images": -5}, "ema_images must be at least 0, not -5"),
        ({"pieces": 0}, "pieces must be at least 1, not 0"),
        ({"pieces": 3}, "pieces must divide the batch: 4 samples cannot be split into 3 equal pieces"),
    ],
)
def test_impossible_options_are_refused(options, problem):
    with pytest.raises(ValueError, match=problem):
        Own.run().steps(1, **options)
