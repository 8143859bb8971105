"""Networks that grow: continuity at every boundary, nothing paid for what is not used, exact resume."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from small_runs import finish, same_state, small
from test_networks import GROWING_TRANSLATION
from test_translation import recipe_of, write
from torch import nn

from equipoise import games, losses, networks, penalties, presets, runs, spec
from equipoise.cli import display
from equipoise.growth import Phase, progressive
from equipoise.networks import ImageShape
from equipoise.networks.growing import Growing, first_grid, growing, shown
from equipoise.optimizers import adam
from equipoise.runs import Session
from equipoise.runs.folder import load_checkpoint
from equipoise.runs.forecast import measure_pace
from equipoise.training import State, steps

SIDES = (4, 8, 16)
SHAPES = [ImageShape(3, 16, 16), ImageShape(1, 28, 28), ImageShape(3, 16, 20), ImageShape(2, 21, 13)]


def count(net):
    return sum(weight.numel() for weight in net.parameters())


def pair(shape=SHAPES[0], **more):
    torch.manual_seed(0)
    return networks.pggan(**{"fmap_base": 32, "fmap_max": 8, "z_dim": 6} | more)(shape)


def at_level(net, level, growth=None):
    for part in growing(net):
        part.level, part.growth = level, growth
    return net


class TestSchedule:
    def test_holds_then_fades_again_and_again(self):
        growth = progressive(hold=600, fade=400)
        levels = [growth.level(seen, SIDES) for seen in (0, 600, 800, 999, 1000, 1600, 1700, 2000, 10**6)]
        assert levels == pytest.approx([0, 0, 0.5, 0.9975, 1, 1, 1.25, 2, 2])

    def test_the_authors_schedule_at_full_size(self):
        sides = tuple(4 << level for level in range(9))
        assert progressive(images=12_000_000).lengths(sides) == (600_000, 600_000)
        assert progressive(images=12_000_000).grown(sides) == 9_600_000
        paper = progressive(hold=800_000, fade=800_000)
        assert paper.grown(sides) == 12_800_000
        assert [paper.level(1000 * thousands, sides) for thousands in (800, 1200, 1600)] == [0, 0.5, 1]

    def test_a_length_that_is_left_open_fills_the_share(self):
        assert progressive(images=1000).lengths(SIDES) == (200, 200)
        assert progressive(images=1000, hold=300).lengths(SIDES) == (300, 100)
        assert progressive(images=1000, fade=0).lengths(SIDES) == (400, 0)

    def test_without_a_fade_levels_jump(self):
        growth = progressive(hold=10, fade=0)
        assert [growth.level(seen, SIDES) for seen in (0, 9, 10, 19, 20)] == [0, 0, 1, 1, 2]

    def test_phases_of_a_run(self):
        assert progressive(hold=10, fade=5).phases((4, 8), 40) == [
            Phase(0, 10, 4, False),
            Phase(10, 15, 8, True),
            Phase(15, 40, 8, False),
        ]
        assert [phase.side for phase in progressive(hold=10, fade=0).phases(SIDES, 40)] == [4, 8, 16]

    def test_starts_at_the_nearest_level(self):
        assert progressive(hold=1, fade=1, start=8).level(0, SIDES) == 1
        assert progressive(hold=1, fade=1).level(0, (3, 6, 12)) == 0
        assert progressive(hold=1, fade=1).level(0, (7, 14, 28)) == 0

    def test_another_length_never_takes_a_level_back(self):
        growth = progressive(images=1000)  # 200 for each of four phases
        can = lambda images, seen: growth.can_last(images, seen, SIDES)
        assert [can(900, 300), can(1100, 300), can(1100, 100), can(1100, 900)] == [True, False, True, True]
        assert not progressive(hold=390, images=1000).can_last(900, 900, SIDES)  # no time for fades
        assert not progressive(hold=100, fade=100).can_last(399, 100, SIDES)  # never grown

    def test_batch_and_learning_rate_by_level(self):
        growth = progressive(hold=10, fade=10, batch={8: 6, 16: 2}, lr={16: 1.5})
        batch, lr = growth.batch_at(32, SIDES), growth.lr_at(lambda seen: 0.1, SIDES)
        assert [batch(seen) for seen in (0, 10, 11, 20, 31)] == [32, 32, 6, 6, 2]
        assert [lr(seen) for seen in (0, 20, 31)] == pytest.approx([0.1, 0.1, 0.15])

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"hold": 0, "fade": 0}, "never trained"),
            ({"hold": -1}, "hold must be at least 0"),
            ({"share": 1.5}, "share must be"),
            ({"batch": {8: 0}}, "batch must be above 0"),
        ],
    )
    def test_what_cannot_be(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            progressive(**wrong)

    def test_what_cannot_be_for_these_networks(self):
        with pytest.raises(ValueError, match="starts at 32 pixels, but the images have 16"):
            progressive(hold=1, fade=1, start=32).level(0, SIDES)
        for growth in (progressive(), progressive(hold=9), progressive(fade=9)):
            with pytest.raises(ValueError, match="how long are the phases"):
                growth.level(0, SIDES)
        with pytest.raises(ValueError, match="phases that are left open have no time"):
            progressive(hold=900, images=1000).level(0, SIDES)


def test_first_grids_are_small_and_waste_little():
    for height in range(8, 200, 3):
        for width in (height, 2 * height, height + 5):
            (rows, columns), levels = first_grid(height, width)
            assert 3 <= min(rows, columns) <= 7
            assert rows << levels - 1 >= height
            assert columns << levels - 1 >= width


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("growth", [None, progressive(hold=1, fade=1)], ids=["whole", "grows"])
def test_all_is_continuous_where_a_fade_begins_and_ends(shape, growth):
    """An instant later there is another level, and yet the same picture and the same logit."""
    G, D = pair(shape)
    levels, z = next(growing(G)).levels, torch.randn(3, 6)
    real = torch.rand(3, *shape[:3]) * 2 - 1
    whole = lambda images: next(growing(G)).whole(images) if growth else images
    for boundary in range(levels):
        found = []
        for level in (max(0.0, boundary - 1e-6), float(boundary), min(boundary + 1e-6, levels - 1.0)):
            at_level(G, level, growth), at_level(D, level, growth)
            fake = G(z)
            found.append((whole(fake), whole(shown(D, real)), D(fake), D(shown(D, real))))
        for before, there, after in zip(*found, strict=True):
            torch.testing.assert_close(before, there, atol=1e-4, rtol=0)
            torch.testing.assert_close(after, there, atol=1e-4, rtol=0)
        assert there.std() > 0.01


def test_reals_fade_as_fakes_do():
    real = torch.randn(2, 3, 16, 16)
    _, D = pair()
    small = real.unflatten(3, (8, 2)).unflatten(2, (8, 2)).mean((3, 5))
    at_level(D, 2.0, progressive(hold=1, fade=1))
    assert torch.equal(shown(D, real), real)
    at_level(D, 1.0, progressive(hold=1, fade=1))
    torch.testing.assert_close(shown(D, real), small)
    at_level(D, 1.25, progressive(hold=1, fade=1))
    coarse = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(shown(D, real), 0.75 * coarse + 0.25 * real)


def test_without_growth_and_in_eval_mode_images_have_their_full_size():
    shape = ImageShape(3, 21, 13)
    G, D = pair(shape)
    for level, growth in ((0.5, None), (1.0, None), (0.5, progressive(hold=1, fade=1))):
        at_level(G, level, growth), at_level(D, level, growth)
        assert G.eval()(torch.randn(2, 6)).shape == (2, 3, 21, 13)
        assert D.eval()(torch.randn(2, 3, 21, 13)).shape == (2,)


def test_images_of_another_size_are_refused():
    _, D = pair()
    at_level(D, 1.0, progressive(hold=1, fade=1))
    with pytest.raises(ValueError, match=r"images at level 1 have \(8, 8\) pixels, not \(16, 16\)"):
        D(torch.randn(2, 3, 16, 16))


@pytest.mark.parametrize(
    ("options", "size", "weights"),
    [
        ({}, 1024, (23_079_115, 23_087_249)),
        ({}, 256, (23_044_309, 23_052_353)),
        ({"fmap_base": 2048}, 128, (13_629_810, 13_636_897)),
        ({"fmap_base": 4096, "fmap_max": 128, "z_dim": 128}, 32, (1_296_908, 1_298_689)),
    ],
)
def test_as_many_weights_as_the_authors(options, size, weights):
    with torch.device("meta"):
        assert tuple(map(count, networks.pggan(**options)(ImageShape(3, size, size)))) == weights


def test_no_level_pays_for_layers_that_it_does_not_use():
    G, D = pair()
    run = []
    for net in (G, D):
        for name, layer in net.named_modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(lambda *_, name=name: run.append(name))
    at_level(G, 1.0, progressive(hold=1, fade=1)), at_level(D, 1.0, progressive(hold=1, fade=1))
    D(G(torch.randn(2, 6)))
    assert run
    assert not [name for name in run if ".blocks.2" in name or "images.2" in name or "images.0" in name]


def start(growth, **more):
    G, D = pair()
    players = games.adversarial(losses.wasserstein(), [penalties.wgan_gp(), penalties.drift()], **more)
    state = State.start({"G": G, "D": D}, players, adam(0.0, 0.99), 1e-3)
    state.grow(growth, players)
    return state, players


def images():
    generator = torch.Generator().manual_seed(1)
    while True:
        yield torch.rand(4, 3, 16, 16, generator=generator) * 2 - 1


class TestTraining:
    def test_a_level_that_appears_is_averaged_from_its_first_weights_on(self):
        state, players = start(progressive(hold=8, fade=8))
        rounds = steps(state, images(), players, ema_images=4)
        top = lambda nets: next(growing(nets["G"])).blocks[1].state_dict()
        first = {name: value.clone() for name, value in top(state.nets).items()}
        for _ in range(3):  # at 0, 4 and 8 images the second level has no weight yet
            next(rounds)
        for nets in (state.nets, state.averages):
            assert all(torch.equal(first[name], value) for name, value in top(nets).items())
        for _ in range(2):
            next(rounds)
        moved = [name for name, value in top(state.nets).items() if not torch.equal(first[name], value)]
        assert moved
        for name in moved:
            net, average = top(state.nets)[name], top(state.averages)[name]
            assert (average - first[name]).norm() < (net - first[name]).norm()

    @pytest.mark.parametrize("reset", [True, False])
    def test_optimizers_forget_where_a_fade_begins_and_ends(self, reset):
        state, players = start(progressive(hold=8, fade=8, reset=reset))
        weight = next(next(growing(state.nets["G"])).blocks[0].parameters())
        counts = []
        for _ in steps(state, images(), players):
            counts.append(int(state.optimizers["g"].state[weight]["step"]))
            if len(counts) == 9:
                break
        # at images 0, 4, 8 the first level alone; 12 fading, 16 the second, 20, 24, 28 fading, 32 the third
        assert counts == ([1, 2, 3, 1, 1, 2, 3, 1, 1] if reset else [*range(1, 10)])

    def test_networks_without_levels_cannot_grow(self):
        G, D = networks.dcgan(4, 4)(SHAPES[0])
        players = games.adversarial()
        with pytest.raises(ValueError, match="no network has levels"):
            State.start({"G": G, "D": D}, players, adam(), 1e-3).grow(progressive(hold=1, fade=1), players)


NOISY = "pggan(fmap_base=16, fmap_max=8, z_dim=8, adaptive_noise=True)"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Forty small images that are not square, of two classes, as a file."""
    file = tmp_path_factory.mktemp("data") / "images.npz"
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 20, 3), dtype=np.uint8)
    np.savez(file, images=images, labels=np.arange(40) % 2)
    return str(file)


class TestRuns:
    def recipe(self, data, growth, **changes):
        return replace(small(presets.pggan(), data), growth=growth, images=96, save_every=4, keep=100, **changes)

    @pytest.mark.parametrize(
        "objective",
        [
            {},
            {"loss": "least_squares", "penalties": (), "network": NOISY},
            {"loss": "hinge", "penalties": ("r1(every=2)",), "labels": True},
        ],
        ids=["wasserstein", "least squares under adaptive noise", "hinge with labels"],
    )
    def test_resume_in_the_middle_of_a_fade_with_other_batches(self, objective, pictures, tmp_path):
        growth = "progressive(hold=8, fade=24, batch={8: 3}, lr={16: 0.5})"
        recipe = replace(self.recipe(pictures, growth, score_every=96, sample_every=24), **objective)
        finish(recipe, tmp_path / "whole")
        seen = [int(file.stem) for file in runs.RunFolder(tmp_path / "whole").checkpoint_files()]
        assert seen[:6] == [0, 4, 8, 12, 18, 21]  # batches of 4, of 3 from images of 8 pixels on
        told = []
        for progress in runs.train(recipe, tmp_path / "x", stop=lambda: bool(told) and told[-1] >= 18):
            told.append(progress.seen)
        assert 0 < next(growing(runs.Sampler(tmp_path / "x").net)).level % 1 < 1
        finish(recipe, tmp_path / "x")
        assert same_state(tmp_path / "x", tmp_path / "whole")
        assert sorted(file.name for file in (tmp_path / "x" / "levels").iterdir()) == [
            "0004.png",
            "0008.png",
            "0016.png",
        ]

    def test_samples_of_every_level_have_the_full_size(self, pictures, tmp_path):
        finish(self.recipe(pictures, "progressive(hold=8, fade=8)", score_every=96, sample_every=96), tmp_path / "x")
        levels = sorted(file.stem for file in (tmp_path / "x" / "levels").iterdir())
        assert levels == [
            "0004",
            "0008",
            "0016",
        ]  # each at its end
        files = runs.RunFolder(tmp_path / "x").checkpoint_files()
        sampler = runs.Sampler(tmp_path / "x", checkpoint=str(files[0]))
        early = next(sampler(4))
        assert early.shape == (4, 3, 16, 20)
        assert next(growing(sampler.net)).level == 0.0
        blocks = early.unflatten(3, (5, 4)).unflatten(2, (4, 4))
        assert (blocks == blocks[:, :, :, :1, :, :1]).all()  # each pixel of the first level sixteen times
        coarse = next(runs.Sampler(tmp_path / "x", level=8)(4))  # of the last checkpoint
        blocks = coarse.unflatten(3, (10, 2)).unflatten(2, (8, 2))
        assert (blocks == blocks[:, :, :, :1, :, :1]).all()
        assert not torch.equal(next(runs.Sampler(tmp_path / "x", level=16)(4)), coarse)
        assert torch.equal(next(runs.Sampler(tmp_path / "x", level=16)(4)), next(runs.Sampler(tmp_path / "x")(4)))
        with pytest.raises(ValueError, match="has no level of 8 pixels that has faded in; choices: 4"):
            runs.Sampler(tmp_path / "x", checkpoint=str(files[0]), level=8)

    def test_what_each_level_costs_is_known_before(self, pictures, tmp_path):
        run = Session(self.recipe(pictures, "progressive(hold=8, fade=8)"), tmp_path / "x")
        pace = measure_pace(run.recipe, run.dataset.meaning.space, run.device)
        assert [phase.side for phase, _ in pace.phases] == [4, 8, 8, 16, 16]
        took = sum(image * (phase.end - phase.begin) for phase, image in pace.phases)
        assert took == pytest.approx(96 * pace.image)
        assert all(image > 0 for _, image in pace.phases)

    def test_a_table_of_phases_has_the_batches_that_they_are_trained_with(self, pictures, tmp_path, capsys):
        run = Session(self.recipe(pictures, "progressive(hold=8, fade=8, batch={8: 2, 16: 3})"), tmp_path / "x")
        display.plan(run)
        rows = re.findall(r"\d+ +\d+ +(?:held|fades in) +(\d+)", capsys.readouterr().out)
        assert rows == ["4", "2", "2", "3", "3"]

    @pytest.mark.parametrize(
        ("growth", "message"),
        [
            ("progressive(hold=60, fade=60)", "after 96 images the networks have grown to 8 of 16 pixels.*takes 240"),
            ("progressive(batch={8: 3})", "pieces must divide every batch: 3"),
            ("progressive(start=64)", "growth starts at 64 pixels, but the images have 16"),
            ("progresive", "did you mean 'progressive'"),
        ],
    )
    def test_growth_that_cannot_be(self, growth, message, pictures, tmp_path):
        with pytest.raises(ValueError, match=message):
            Session(self.recipe(pictures, growth, pieces=2), tmp_path / "x")

    def test_when_the_last_round_began_is_kept_where_batches_change(self, pictures, tmp_path):
        recipe = self.recipe(pictures, "progressive(hold=8, fade=24, batch={8: 3})", score_every=96)
        seen = [progress.seen for progress in finish(recipe, tmp_path / "x")]
        assert {later - earlier for earlier, later in pairwise(dict.fromkeys(seen))} == {3, 4}
        for file in runs.RunFolder(tmp_path / "x").checkpoint_files()[1:]:
            state = load_checkpoint(file, torch.device("cpu"))
            assert state["begun"] == max(before for before in seen if before < state["seen"])

    def test_other_networks_cannot_grow(self, pictures, tmp_path):
        recipe = replace(self.recipe(pictures, "progressive"), network="dcgan(g_width=4, d_width=4)")
        with pytest.raises(ValueError, match=r"dcgan.* has no levels"):
            Session(recipe, tmp_path / "x")


class TestTranslation:
    """CycleGAN's game between networks that grow."""

    def nets(self, size):
        torch.manual_seed(0)
        return spec.build(GROWING_TRANSLATION, networks)(ImageShape(3, *size))

    @pytest.mark.parametrize(("size", "other"), [((16, 16), (16, 16)), ((20, 13), (20, 13)), ((16, 20), (41, 27))])
    def test_images_keep_their_size(self, size, other):
        nets, images = self.nets(size), torch.randn(2, 3, *other)
        assert nets["G_ab"](images).shape == images.shape
        assert nets["D_b"](images).ndim == 3

    @pytest.mark.parametrize("level", [0.0, 0.5, 1.0, 1.3])
    def test_while_it_grows_they_are_those_of_a_level(self, level):
        nets, images = self.nets((20, 16)), torch.randn(2, 3, 20, 16)
        for net in nets.values():
            at_level(net, level, progressive(hold=1, fade=1))
        small_ones = shown(nets["D_b"], images)
        assert small_ones.shape[2:] == ((5, 4), (10, 8), (10, 8), (20, 16))[[0.0, 0.5, 1.0, 1.3].index(level)]
        assert nets["G_ab"](small_ones).shape == small_ones.shape
        assert nets["D_b"](nets["G_ab"](small_ones)).ndim == 3
        assert nets["G_ab"].eval()(images).shape == images.shape

    def test_all_is_continuous(self):
        nets, images = self.nets((16, 16)), torch.rand(2, 3, 16, 16)
        for boundary in (1.0, 2.0):
            found = []
            for level in (boundary - 1e-6, boundary, min(boundary + 1e-6, 2.0)):
                for net in nets.values():
                    at_level(net, level)
                found.append((nets["G_ab"](images), nets["D_b"](images).mean()))
            for other in (found[0], found[2]):
                torch.testing.assert_close(other, found[1], atol=1e-3, rtol=0)

    def test_a_run_goes_on_where_it_was_and_the_buffer_begins_anew_at_each_size(self, tmp_path):
        unpaired = write(tmp_path / "horses", {"trainA": 13, "trainB": 9})
        recipe = recipe_of("cyclegan", unpaired, network=GROWING_TRANSLATION, growth="progressive", images=24)
        finish(recipe, tmp_path / "whole")
        told = []
        for progress in runs.train(recipe, tmp_path / "x", stop=lambda: bool(told) and told[-1] >= 8):
            told.append(progress.seen)
        cut = load_checkpoint(runs.RunFolder(tmp_path / "x").newest_checkpoint(), torch.device("cpu"))
        assert cut["components"]["image_buffer"]["images"].shape[2:] == (8, 8)
        finish(recipe, tmp_path / "x")
        assert same_state(tmp_path / "x", tmp_path / "whole")
        state = load_checkpoint(runs.RunFolder(tmp_path / "x").newest_checkpoint(), torch.device("cpu"))
        buffer = state["components"]["image_buffer"]
        assert buffer["images"].shape[2:] == (16, 16)
        assert 0 < buffer["count"] < 24


def test_a_part_of_ones_own_grows_as_well():
    class Mine(Growing):
        def forward(self, x, condition=None):
            return x

    part = Mine((4, 4), 3)
    part.growth = progressive(hold=4, fade=4)
    part.follow_images(6)
    assert part.level == 0.5
    other = Mine((4, 4), 3)
    other.load_state_dict(part.state_dict())
    assert other.level == 0.5
