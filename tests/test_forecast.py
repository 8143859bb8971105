"""How long a run takes on this machine, and on how many threads it is fastest."""

from dataclasses import replace
from functools import partial
from itertools import count

import pytest
import torch
from small_runs import CPU, PLAIN, same_state, small

from equipoise import presets, runs
from equipoise.data import inspect
from equipoise.recipe import Recipe
from equipoise.runs import Session, forecast, planning
from equipoise.runs.forecast import Pace, rounds
from equipoise.runs.hardware import working
from equipoise.runs.trial_batches import batch_of_noise


class TestForecast:
    """How long a run takes."""

    def test_it_counts_images_scores_and_real_images(self):
        recipe = Recipe(images=1000, score_every=400, score_images=50)
        assert Pace(image=0.01, scored=0.002).seconds(recipe, real=30) == pytest.approx(10 + (4 * 50 + 30) * 0.002)

    @pytest.mark.parametrize("d_steps", [1, 3])
    def test_rounds_are_timed_but_for_the_first(self, arrays, tmp_path, monkeypatch, d_steps):
        clock = iter(
            [0.0, 1.5, *(1.5 + 0.12 * n for n in range(1, 4)), *(9.0 + 0.12 * n for n in range(100))]
        )  # the first round takes 1.5 s, later ones 0.12, but for one that other work has held up
        monkeypatch.setattr(forecast, "_now", lambda *_: next(clock))
        session = Session(small(PLAIN, arrays, d_steps=d_steps), tmp_path / "x")
        took = 0.12 * (4 + forecast.MOST) / 5
        assert session.plan.pace.image == pytest.approx(took / (4 * d_steps))
        assert session.plan.pace.scored == pytest.approx(0.12 / 64)

    def test_a_round_that_compiles_is_not_timed(self, arrays, tmp_path, monkeypatch):
        played = {False: 0, True: 0}

        def counted(assembled, stream, recipe):
            for stats in rounds(assembled, stream, recipe):
                played[recipe.compile] += 1
                yield stats

        monkeypatch.setattr("equipoise.runs.assemble.compiled", lambda net: net)
        monkeypatch.setattr(forecast, "rounds", counted)
        for compile in played:
            monkeypatch.setattr(forecast, "_now", partial(lambda clock, *_: next(clock), count(0.0, 0.5)))
            recipe = small(PLAIN, arrays, compile=compile)
            assert Session(recipe, tmp_path / str(compile)).plan.pace.image == pytest.approx(0.5 / 4)
        assert played[True] == played[False] + 1

    @pytest.mark.parametrize(("batch", "most"), [(32, 32), (4096, forecast.PIXELS // 20**2)])
    def test_large_batches_are_timed_with_few_images(self, arrays, tmp_path, monkeypatch, batch, most):
        seen = []
        of_noise = lambda recipe, *rest: seen.append(recipe.batch) or batch_of_noise(recipe, *rest)
        monkeypatch.setattr(forecast, "batch_of_noise", of_noise)
        assert Session(small(PLAIN, arrays, batch=batch, size="20"), tmp_path / "x").plan.pace.memory > 0
        assert {*seen} == {most}

    def test_the_memory_of_whole_batches_is_in_proportion_to_their_images(self, arrays, tmp_path, monkeypatch):
        monkeypatch.setattr(forecast, "memory", partial(next, iter([700, 400])))
        recipe = small(PLAIN, arrays, batch=10 * (forecast.PIXELS // 16**2), size="16")
        assert Session(recipe, tmp_path / "x").plan.pace.memory == 400 + 10 * 300

    def test_it_leaves_the_run_as_it_is(self, arrays, finished, tmp_path):
        session = Session(small(PLAIN, arrays), tmp_path / "x")
        assert session.forecast() > 0
        [*session.train()]
        assert same_state(tmp_path / "x", finished[0])

    def test_real_images_are_looked_at_once(self, arrays, tmp_path):
        recipe = small(PLAIN, arrays, features="pixels(size=5)")
        first = Session(recipe, tmp_path / "x")
        assert first.scores.unseen == 60
        [*first.train()]
        assert Session(recipe, tmp_path / "y").scores.unseen == 0

    def test_scores_take_a_tenth_of_the_minutes_that_a_run_is_given(self, arrays):
        recipe = replace(presets.default(), data=arrays, precision="float32", minutes=2, score_images=100)
        chosen = lambda scored: runs.choose(recipe, inspect(arrays), CPU, Pace(image=0.01, scored=scored))[0]
        assert chosen(0.001).images == round(120 * 0.9 / 0.01)
        assert chosen(0.1).images == round((120 - 0.1 * (2 * 100 + 60)) / 0.01)  # where those of both ends take more
        assert chosen(1.0).images == round(60 / 0.01)
        _, reasons = runs.choose(recipe, inspect(arrays), CPU, Pace(image=0.01, scored=1.0))
        assert reasons["images"].startswith(
            "half of 2 minutes, at 100 images a second; scores, with a first look at 60"
        )
        assert [chosen(0.001).images // chosen(scored).score_every for scored in (0.001, 0.03, 1.0)] == [10, 3, 1]


class TestThreads:
    """How many a run on a CPU has."""

    @pytest.fixture(autouse=True)
    def four_unstated(self, monkeypatch):
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)
        with working(4):
            yield

    @pytest.mark.parametrize(
        ("seconds", "fastest"),
        [({4: 1.0, 2: 0.9}, 4), ({4: 1.0, 2: 0.7, 1: 0.6}, 2), ({4: 1.0, 2: 0.5, 1: 0.1}, 1)],
    )
    def test_half_as_many_while_that_is_faster(self, arrays, tmp_path, monkeypatch, seconds, fastest):
        monkeypatch.setattr(forecast, "_of_images", lambda *_: seconds[torch.get_num_threads()])
        assert Session(small(PLAIN, arrays), tmp_path / "x").plan.threads == fastest
        assert torch.get_num_threads() == 4

    def test_a_run_goes_on_with_those_that_it_began_with(self, arrays, tmp_path, monkeypatch):
        monkeypatch.setattr(planning, "fastest_threads", lambda *_: 2)
        run = Session(small(PLAIN, arrays), tmp_path / "x")
        assert {torch.get_num_threads() for _ in run.train(lambda: run.state.seen > 0)} == {2}
        assert torch.get_num_threads() == 4
        assert run.folder.context()["hardware"]["threads"] == 2
        monkeypatch.setattr(planning, "fastest_threads", None)
        assert Session(run.recipe, tmp_path / "x").plan.threads == 2
        with working(1):  # where there are fewer now
            assert Session(run.recipe, tmp_path / "x").plan.threads == 1

    def test_who_says_how_many_has_so_many(self, arrays, tmp_path, monkeypatch):
        monkeypatch.setattr(planning, "fastest_threads", None)
        assert Session(small(PLAIN, arrays), tmp_path / "x", threads=3).plan.threads == 3
        monkeypatch.setenv("OMP_NUM_THREADS", "4")
        assert Session(small(PLAIN, arrays), tmp_path / "x").plan.threads == 4
        with pytest.raises(ValueError, match="threads"):
            Session(small(PLAIN, arrays), tmp_path / "x", threads=0)
