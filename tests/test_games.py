"""What the core promises to any game: gradients, statistics, pieces, processes, frozen networks, state that is kept."""

from copy import deepcopy
from functools import partial
from itertools import count, islice, repeat

import pytest
import torch
from elsewhere import ranks
from test_training import assert_equal
from torch import nn

from equipoise import augment, games, layers, losses, optimizers, penalties, schedules, spec
from equipoise.critic import Critic
from equipoise.training import Player, State, World, steps

sgd = optimizers.sgd()


class G(nn.Module):
    z_dim = 3

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 6))

    def forward(self, z):
        return self.net(z)


class Heads(nn.Module):
    """Two heads, one of them a map, and features."""

    def __init__(self, shift=0.0):
        super().__init__()
        self.nets = nn.ModuleList(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)) for _ in range(2))
        self.shift = shift

    def forward(self, x):
        h = [net[1](net[0](x)) for net in self.nets]
        first, second = (net[2](part) + self.shift for net, part in zip(self.nets, h, strict=True))
        return {"logits": [first[:, 0], second[:, :, None]], "features": h}


def table(position=0, batch=8):
    """Vectors of a table, a function of their position."""
    for number in count(position // batch):
        yield torch.randn(batch, 6, generator=torch.Generator().manual_seed(number)) * 0.3 + 1


class Run:
    def __init__(self, players=None, *, nets=None, lr=0.05, optimizing=sgd, **game):
        torch.manual_seed(0)
        nets = nets or {"G": G(), "D": Heads()}
        self.players = players or games.adversarial(**game)
        self.state = State.start(nets, self.players, optimizing, lr)

    def steps(self, rounds, batches=None, **options):
        batches = table(self.state.seen) if batches is None else batches
        return [*islice(steps(self.state, batches, self.players, **options), rounds)]


EVERYTHING = {
    "loss": losses.relativistic,
    "penalties": lambda: [penalties.r1(), penalties.r2(every=2), penalties.drift(), penalties.lecam(warm_up=1)],
    "d_steps": lambda: 2,
}


def make(**changes):
    return Run(**{name: part() for name, part in (EVERYTHING | changes).items()})


def test_several_heads_train_with_every_term_and_resume_exactly():
    whole, first, second = make(), make(), make()
    told = whole.steps(6)
    assert {"d.loss", "d.r1", "d.r2", "d.drift", "d.lecam", "d.real", "d.fake", "g.loss"} <= told[0].keys()
    first.steps(3)
    second.state.load_state_dict(deepcopy(first.state.state_dict()))
    assert_equal(second.steps(3), told[3:])
    assert_equal(second.state.state_dict(), whole.state.state_dict())


PLAYED_ELSEWHERE = ("auxiliary_classifier", "multi_hinge", "pretrained")  # they need classes, or energies


@pytest.mark.parametrize("loss", [name for name in spec.names(losses) if name not in PLAYED_ELSEWHERE])
def test_every_loss_trains_several_heads(loss):
    run = Run(loss=spec.build("loss_sensitive(margin=1.0)" if loss == "loss_sensitive" else loss, losses))
    before = deepcopy(run.state.state_dict())
    stats = run.steps(3)[-1]
    assert all(value.isfinite() for value in stats.values())
    for name in ("G", "D"):
        first, last = (next(iter(saved["nets"][name].values())) for saved in (before, run.state.state_dict()))
        assert not torch.equal(first, last)


class TestStatistics:
    def test_they_are_means_over_all_updates_of_a_round(self):
        """A lazy penalty on every fifth of five updates shows; only the last update's value would always be 0."""
        lazy, eager = (Run(penalties=[penalties.r1(every=every)], d_steps=5, lr=0.0) for every in (5, 1))
        batch = next(table())
        shown, every_step = (run.steps(1, repeat(batch))[0]["d.r1"] for run in (lazy, eager))
        assert shown > 0
        torch.testing.assert_close(shown, every_step)

    def test_two_terms_of_one_kind_have_names_of_their_own(self):
        stats = Run(penalties=[penalties.r1(weight=1.0), penalties.r1(weight=3.0)]).steps(1)[0]
        torch.testing.assert_close(3 * stats["d.r1"], stats["d.r1_2"])

    def test_two_components_of_one_class_do_not_overwrite_each_other(self):
        class Counting(nn.Module):
            def __init__(self, by):
                super().__init__()
                self.by = by
                self.register_buffer("count", torch.zeros(()))

            def forward(self, critic, real, fake):
                self.count += self.by
                return torch.zeros(())

        run = Run(penalties=[Counting(1), Counting(10)])
        stats = run.steps(2)[-1]
        assert (stats["counting.count"], stats["counting_2.count"]) == (2, 20)
        assert {*run.state.state_dict()["components"]} == {"counting", "counting_2"}

    def test_a_turn_makes_critics_that_know_the_time_and_the_piece(self):
        seen = []

        def objective(turn):
            critic = turn.critic("D", features="1")
            seen.append((critic.seen, critic.piece, critic.names["features"]))
            return {"loss": critic(turn.batch).mean()}

        D = nn.Sequential(nn.Linear(6, 1), nn.Flatten(0))
        Run({"d": Player(("D",), objective)}, nets={"D": D}).steps(2, pieces=2)
        assert seen == [(0, (0, 2), "1"), (0, (1, 2), "1"), (8, (0, 2), "1"), (8, (1, 2), "1")]

    def test_an_objective_may_note_what_it_does_not_minimise(self):
        def objective(turn):
            value = turn.nets["D"](turn.batch).square().mean()
            turn.note(twice=2 * value)
            return {"loss": value}

        stats = Run({"d": Player(("D",), objective)}, nets={"D": nn.Linear(6, 1)}).steps(1)[0]
        torch.testing.assert_close(stats["d.twice"], 2 * stats["d.loss"])
        assert "d.gradient" in stats


class TestAda:
    """Karras' heuristic looks at signs, which must mean something: at what the loss looks at, and at means of maps."""

    def control(self, loss, shift):
        control = augment.ada(images=100, every=1, target=0.0)
        control.p.fill_(0.5)
        run = Run(nets={"G": G(), "D": Heads(shift)}, loss=loss(), augment=Shown(control), lr=0.0)
        run.steps(3)
        return control.p.item()

    @pytest.mark.parametrize("loss", [losses.relativistic, losses.relativistic_average, losses.wasserstein])
    @pytest.mark.parametrize("shift", [5.0, -5.0])
    def test_a_shift_of_all_logits_changes_nothing_where_it_does_not_for_the_loss(self, loss, shift):
        assert self.control(loss, shift) == self.control(loss, 0.0)

    def test_a_shift_counts_where_it_does_for_the_loss(self):
        assert self.control(losses.hinge, 5.0) == pytest.approx(0.74)
        assert self.control(losses.hinge, -5.0) == pytest.approx(0.26)

    def test_maps_and_heads_are_means(self):
        """Seven by seven logits are no mean sign of 49."""
        control = augment.ada(images=100, every=1, target=0.9)
        control.p.fill_(0.5)
        control.observe_reals(torch.ones(4, 1, 7, 7))
        assert control.p.item() == pytest.approx(0.54)
        mixed = augment.ada(images=100, every=1, target=-0.1)
        mixed.p.fill_(0.5)
        mixed.observe_reals([torch.ones(4), -torch.ones(4, 1, 3, 3)])  # a mean sign of 0 for 4 images
        assert mixed.p.item() == pytest.approx(0.54)
        assert mixed.seen == mixed.signs == 0


class Shown(nn.Module):
    """Adapts, and shows vectors as they are."""

    def __init__(self, control):
        super().__init__()
        self.control = control

    def forward(self, x):
        return x

    def observe_reals(self, logits):
        self.control.observe_reals(logits)


def test_adaptive_noise_hears_of_fakes_of_all_heads():
    D = Heads()
    D.noise = layers.AdaptiveNoise(decay=0.0)
    run = Run(nets={"G": G(), "D": D}, loss=losses.least_squares(), lr=0.0)
    stats = run.steps(1)[0]
    assert D.noise.score.item() == pytest.approx(stats["d.fake"].clamp(0, 1).item())


def test_the_consistency_term_is_of_each_sample_whatever_the_shape_of_its_logits():
    class Dropping(nn.Module):
        def __init__(self, shape):
            super().__init__()
            self.drop, self.features, self.shape = nn.Dropout(0.5), nn.Identity(), shape

        def forward(self, x):
            logits = self.features(self.drop(x)).sum(1)
            return logits.reshape(len(x), *[1] * len(self.shape)).expand(-1, *self.shape) if self.shape else logits

    x, values = torch.randn(6, 4), []
    for shape in ((), (1, 5, 5), (3,)):
        torch.manual_seed(1)
        values.append(penalties.consistency_term(weight=2.0, features=0.3)(Critic(Dropping(shape)), x, x))
    torch.testing.assert_close(values, [values[0]] * 3)


class TestPieces:
    LOSSES = (losses.hinge, losses.relativistic, losses.non_saturating, losses.loss_sensitive)

    @pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
    @pytest.mark.parametrize("pieces", [2, 4])
    def test_pieces_are_the_whole(self, loss, pieces):
        terms = lambda: [
            penalties.r1(every=2),
            penalties.drift(),
            penalties.orthonormal(),
            penalties.historical_averaging(),
        ]
        g_batch = None if loss().paired else 16
        whole, parts = (Run(loss=loss(), penalties=terms(), d_steps=2, g_batch=g_batch) for _ in range(2))
        stats = [run.steps(4, pieces=n)[-1] for run, n in ((whole, 1), (parts, pieces))]
        for name, value in stats[0].items():
            torch.testing.assert_close(stats[1][name], value, rtol=1e-4, atol=1e-6)
        near(parts.state.state_dict(), whole.state.state_dict())

    def test_memory_is_that_of_a_piece(self):
        seen = []
        run = Run()
        run.state.nets["D"].register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
        run.steps(1, pieces=4)
        assert {*seen} == {2}

    def test_augmentations_hear_of_the_whole_batch_once(self):
        control = augment.ada(images=800, every=1, target=-1.0)
        run = Run(augment=Shown(control))
        run.steps(1, pieces=4)
        assert control.p.item() == pytest.approx(0.01)

    @pytest.mark.parametrize(
        "term",
        [penalties.max_gradient(), penalties.lecam(), penalties.dragan()],
        ids=["max_gradient", "lecam", "dragan"],
    )
    def test_penalties_of_whole_batches_are_refused(self, term):
        with pytest.raises(ValueError, match="whole batch, which is in 2 pieces here: use pieces=1"):
            Run(penalties=[term]).steps(1, pieces=2)

    def test_what_a_player_keeps_is_kept_of_each_piece(self):
        def first(turn):
            turn.kept["y"] = turn.nets["A"](turn.batch)
            return {"loss": turn.kept["y"].square().mean()}

        def second(turn):
            torch.testing.assert_close(turn.kept["y"], turn.nets["A"](turn.batch))
            return {"loss": turn.nets["D"](turn.kept["y"].detach()).square().mean()}

        whole = []
        players = {
            "a": Player(("A",), first, after=lambda turn: whole.append(turn.kept["y"].shape)),
            "d": Player(("D",), second, fresh=False),
        }
        nets = {"A": nn.Linear(6, 6), "D": nn.Linear(6, 1)}
        Run(players, nets=nets, lr=0.0).steps(1, pieces=2)
        assert whole == [(8, 6)]


def near(a, b):
    if isinstance(a, torch.Tensor):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    elif isinstance(a, dict):
        [near(a[key], b[key]) for key in a]


def play_rank(rank, size, folder):
    """One of two processes on its half of every batch, in float64: Adam magnifies rounding."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    run = Run(loss=losses.relativistic(), penalties=[penalties.r1()], d_steps=2)
    shares = (batch.chunk(size)[rank].double() for batch in table())
    run.steps(4, shares, world=World(rank, size))
    if rank == 0:
        torch.save(run.state.state_dict(), f"{folder}/state.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_are_one(tmp_path):
    ranks(play_rank, (2, str(tmp_path)), 2)
    torch.set_default_dtype(torch.float64)
    try:
        one = Run(loss=losses.relativistic(), penalties=[penalties.r1()], d_steps=2)
        one.steps(4, (batch.double() for batch in table()))
    finally:
        torch.set_default_dtype(torch.float32)
    near(torch.load(tmp_path / "state.pt", weights_only=True), one.state.state_dict())


class TestFrozenNetworks:
    def teacher(self):
        return nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)).eval()

    def players(self, teacher=None):
        def objective(turn):
            wanted = (teacher or turn.nets["T"])(turn.batch)
            return {"loss": (turn.nets["S"](turn.batch) - wanted).square().mean()}

        return {"s": Player(("S",), objective)}

    def test_a_network_that_no_player_moves_is_as_it_was_and_in_no_checkpoint(self):
        teacher = self.teacher()
        before = deepcopy(teacher.state_dict())
        run = Run(self.players(), nets={"S": nn.Linear(6, 6), "T": teacher})
        run.steps(3)
        assert_equal(teacher.state_dict(), before)
        assert not teacher.training
        assert {*run.state.state_dict()["nets"]} == {"S"}
        assert all(weight.grad is None for weight in teacher.parameters())

    def test_one_whose_buffers_would_change_is_refused(self):
        run = Run(self.players(), nets={"S": nn.Linear(6, 6), "T": self.teacher().train()})
        with pytest.raises(ValueError, match="no player moves 'T', so that no checkpoint keeps its buffers"):
            run.steps(1)

    def test_one_in_a_closure_is_let_pass_where_it_does_not_change(self):
        teacher = self.teacher().requires_grad_(False)
        Run(self.players(teacher), nets={"S": nn.Linear(6, 6)}).steps(1)


class TestHiddenState:
    MISSED = "has a state that checkpoints would miss: hand it to the player 'd'"

    def player(self, part):
        return {"d": Player(("D",), lambda turn: {"loss": part(turn)})}

    @pytest.mark.parametrize(
        "hide",
        [
            lambda noise: lambda turn: noise(turn.batch).mean(),
            lambda noise: partial(lambda layer, turn: layer(turn.batch).mean(), noise),
            lambda noise: (lambda parts: lambda turn: parts["deep"][0](turn.batch).mean())({"deep": [noise]}),
            lambda noise: penalties_of(noise),
        ],
        ids=["closure", "partial", "containers", "method"],
    )
    def test_a_module_in_a_closure_is_refused(self, hide):
        run = Run(self.player(hide(nn.BatchNorm1d(6))), nets={"D": nn.Linear(6, 1)})
        with pytest.raises(ValueError, match=f"BatchNorm1d {self.MISSED}"):
            run.steps(1)

    def test_a_module_in_a_global_variable_is_refused(self):
        """As in a script, where nothing is a closure."""
        script = {"nn": nn, "Player": Player}
        exec(
            "noise = nn.BatchNorm1d(6)\ndef deep(x):\n    return [noise(y) for y in (x,)][0]\n"
            "def d(turn):\n    return {'loss': deep(turn.batch).mean() + turn.nets['D'](turn.batch).mean()}\n",
            script,
        )
        run = Run({"d": Player(("D",), script["d"])}, nets={"D": nn.Linear(6, 1)})
        with pytest.raises(ValueError, match=f"BatchNorm1d {self.MISSED}"):
            run.steps(1)

    def test_a_loss_in_a_closure_of_ones_own_game_is_refused_until_it_is_handed_over(self):
        loss = losses.boundary_equilibrium()
        objective = lambda turn: {"loss": loss.d(turn.nets["D"](turn.batch), -turn.batch.abs().mean(1))}
        run = Run({"d": Player(("D",), objective)}, nets={"D": nn.Linear(6, 1)})
        with pytest.raises(ValueError, match=f"Balance {self.MISSED}"):
            run.steps(1)
        run = Run({"d": Player(("D",), objective, components=(loss,))}, nets={"D": nn.Linear(6, 1)})
        run.steps(1)
        assert {*run.state.state_dict()["components"]} == {"balance"}

    def test_memories_that_are_made_later_are_refused_too(self):
        term = penalties.spectral_regularization()
        objective = lambda turn: {"loss": term(turn.nets["D"], turn.batch, turn.batch)}
        with pytest.raises(ValueError, match=f"SpectralRegularization {self.MISSED}"):
            Run({"d": Player(("D",), objective)}, nets={"D": nn.Linear(6, 1)}).steps(1)


class Holder:
    def __init__(self, part):
        self.part = part

    def objective(self, turn):
        return self.part(turn.batch).mean()


def penalties_of(part):
    return Holder(part).objective


def test_penalties_do_not_take_the_names_of_other_statistics():
    def loss(critic, real, fake):
        return 0 * critic(real).mean() if isinstance(critic(real), torch.Tensor) else torch.zeros(())

    loss.__qualname__ = "loss"  # as of a function in a file
    stats = Run(penalties=[loss, loss]).steps(1)[0]
    assert stats["d.loss"] > 0
    assert {"d.loss_2", "d.loss_3"} <= stats.keys()

    def note(turn):
        turn.note(loss=torch.zeros(()))
        return {"loss": turn.nets["D"](turn.batch).mean()}

    for objective in (note, lambda turn: {"gradient": turn.nets["D"](turn.batch).mean()}):
        with pytest.raises(ValueError, match="terms and notes need names of their own"):
            Run({"d": Player(("D",), objective)}, nets={"D": nn.Linear(6, 1)}).steps(1)


def test_a_player_without_terms_rests():
    players = {
        "d": Player(("D",), lambda turn: {"loss": turn.nets["D"](turn.batch).mean()}),
        "g": Player(("G",), lambda turn: {}, fresh=False),
    }
    run = Run(players)
    run.players["d"] = Player(("G",), lambda turn: {"loss": turn.nets["G"](turn.batch[:, :3]).mean()})
    assert run.steps(1)[0]["g.gradient"] == 0


@pytest.mark.parametrize("d_steps", [0, schedules.steps((1, 0), at=(8,))], ids=["none", "none later"])
def test_rounds_without_an_update_are_refused(d_steps):
    with pytest.raises(ValueError, match="a round begins with an update on a fresh batch"):
        Run(d_steps=d_steps).steps(3)


def test_frozen_parts_in_eval_mode_stay_so():
    backbone = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)).eval().requires_grad_(False)
    D = nn.Sequential(backbone, nn.Linear(6, 1), nn.Dropout(0.1))
    before = deepcopy(backbone.state_dict())
    Run({"d": Player(("D",), lambda turn: {"loss": turn.nets["D"](turn.batch).mean()})}, nets={"D": D}).steps(1)
    assert_equal(backbone.state_dict(), before)
    assert not any(module.training for module in backbone.modules())
    assert D[2].training


def test_labels_of_a_whole_batch_refuse_pieces_where_fakes_are_more():
    class Labelled(nn.Module):
        z_dim = 3

        def forward(self, x, labels):
            return self.net(x)

        def __init__(self, inputs, outputs):
            super().__init__()
            self.net = nn.Linear(inputs, outputs)

    batches = ((x, torch.zeros(8, dtype=torch.int64)) for x in table())
    run = Run(nets={"G": Labelled(3, 6), "D": Labelled(6, 1)}, g_batch=16)
    with pytest.raises(ValueError, match="fakes take their labels from the whole batch"):
        run.steps(1, batches, pieces=2)


def test_losses_and_penalties_read_logits_out_of_pairs_without_a_critic():
    class Pair(nn.Module):
        def __init__(self, pair):
            super().__init__()
            torch.manual_seed(2)
            self.first, self.last, self.pair = nn.Linear(6, 5), nn.Linear(5, 1), pair

        def forward(self, x):
            h = self.first(x).tanh()
            return (self.last(h), 100 * h) if self.pair else self.last(h)

    x, y = torch.randn(2, 8, 6)
    values = []
    for pair in (True, False):
        D = Pair(pair)
        torch.manual_seed(0)
        terms = [losses.hinge().d(D(x), D(y)), losses.relativistic().g(D(x), D(y))]
        named = ("r1", "r2", "wgan_gp", "zero_centered", "max_gradient", "dragan", "drift")
        values.append(terms + [getattr(penalties, name)()(D, x, y) for name in named])
    torch.testing.assert_close(*values)


def test_two_heads_as_a_tuple_and_lists_of_lists_are_refused():
    """Which of them would be features?"""
    x = torch.randn(4, 6)
    for output in ((x[:, 0], x[:, 1]), [[x, x[:, 0]], [x, x[:, 1]]]):
        with pytest.raises(ValueError, match="a discriminator returns logits, a list of them, or logits with features"):
            Critic(lambda images, output=output: output)(x)


def test_mistakes_in_a_game_are_named():
    objective = lambda turn: {"loss": turn.nets["D"](turn.batch).mean()}
    with pytest.raises(ValueError, match="the player 'd' moves 'C', but there is no such network; choices: D"):
        Run({"d": Player(("C",), objective)}, nets={"D": nn.Linear(6, 1)})
    with pytest.raises(ValueError, match="the player 'd' has nothing to move: no weight of D is trained"):
        Run({"d": Player(("D",), objective)}, nets={"D": nn.Linear(6, 1).requires_grad_(False)})
    with pytest.raises(ValueError, match="there is no network 'Gee' to average; choices: D"):
        State.start({"D": nn.Linear(6, 1)}, {"d": Player(("D",), objective)}, sgd, 0.1, averaged=["Gee"])
    with pytest.raises(ValueError, match="the first player of a round takes a fresh batch"):
        Run({"d": Player(("D",), objective, fresh=False)}, nets={"D": nn.Linear(6, 1)}).steps(1)


def test_an_adaptive_weight_balances_gradients_at_the_last_layer():
    w = torch.randn(3, 2, requires_grad=True)
    main, other = (w.square()).sum(), 5 * w.sum()
    weight = games.adaptive_weight(main, other, w)
    torch.testing.assert_close(weight, (2 * w).norm() / (5 * 6**0.5 + 1e-4))
    assert not weight.requires_grad
    assert games.adaptive_weight(main, 0 * w.sum(), w) == 1e4


def test_path_lengths_are_measured_in_w_where_there_is_a_w():
    """A mapping that stretches z tenfold changes nothing for a penalty on steps in w."""

    class Style(nn.Module):
        z_dim = 3

        def __init__(self, stretch):
            super().__init__()
            self.mapping, self.synthesis = nn.Linear(3, 4, bias=False), nn.Linear(4, 6)
            self.mapping.weight.data *= stretch

        def forward(self, z):
            return self.synthesis(self.mapping(z))

    values = []
    for stretch in (1.0, 10.0):
        torch.manual_seed(3)
        nets = {"G": Style(stretch), "D": Heads()}
        game = games.adversarial(g_penalties=[penalties.path_length(every=1)])
        values.append(Run(game, nets=nets, lr=0.0).steps(1)[0]["g.path_length"])
    torch.testing.assert_close(*values)
