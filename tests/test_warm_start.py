"""Networks of another run to start from."""

import shutil
from dataclasses import replace

import pytest
import torch
from small_runs import CPU, PLAIN, finish, same_state, small

from equipoise.runs import RunFolder, Session
from equipoise.runs.folder import load_checkpoint, read_rows


class TestStartingFromAnotherRun:
    """Networks and averages are those of its newest checkpoint; the rest begins anew."""

    @pytest.fixture
    def begun(self, arrays, tmp_path):
        finish(replace(small(PLAIN, arrays), size="8x9"), tmp_path / "begun")
        return tmp_path / "begun"

    def another(self, arrays, begun, **changes):
        left = {"network": None, "d_norm": "none", "loss": "relativistic", "penalties": (), "seed": 7}
        return replace(small(PLAIN, arrays, start=str(begun)), **left | changes)

    def test_its_networks_and_averages_are_taken_over(self, arrays, begun, tmp_path):
        run = Session(self.another(arrays, begun), tmp_path / "x")
        there = load_checkpoint(RunFolder(begun).newest_checkpoint(), CPU)
        for kind, parts in (("nets", run.state.nets), ("averages", run.state.averages)):
            for name, held in there[kind].items():
                assert all(torch.equal(x, held[key]) for key, x in parts[name].state_dict().items())
        assert run.state.seen == 0
        assert not run.state.optimizers["d"].state
        assert (run.recipe.d_norm, run.recipe.size) == ("spectral", "8x9")
        assert run.plan.reasons["network"] == "as in begun"

    def test_the_first_score_is_the_last_one_of_that_run(self, arrays, begun, tmp_path):
        finish(self.another(arrays, begun), tmp_path / "x")
        rows = lambda out: [*read_rows(RunFolder(out).metrics_file)]
        assert rows(tmp_path / "x")[0]["fd"] == pytest.approx(rows(begun)[-1]["fd"])

    def test_it_resumes_exactly_where_that_run_is_gone(self, arrays, begun, tmp_path):
        there = tmp_path / "there"
        shutil.copytree(begun, there)
        recipe, parts = self.another(arrays, there), tmp_path / "parts"
        finish(recipe, tmp_path / "whole")
        first = Session(recipe, parts)
        [*first.train(lambda: first.state.seen > 8)]
        shutil.rmtree(there)
        finish(recipe, parts)
        assert same_state(parts, tmp_path / "whole")

    def test_networks_that_do_not_fit_are_refused(self, arrays, begun, tmp_path):
        wider = "sn_resnet(g_scale=0.04, d_scale=0.03)"
        for changes, problem in (
            ({"network": wider}, r"G is not as in .*: .* is \[.*\] there, \[.*\] here"),
            ({"game": "pyramid", "network": "lapgan"}, "the networks of .* are G, D, here they are G"),
            ({"start": str(tmp_path)}, "is not a run folder"),
        ):
            with pytest.raises(ValueError, match=problem):
                Session(self.another(arrays, begun, **changes), tmp_path / "x")
        assert not (tmp_path / "x").exists()

    def test_a_run_that_is_to_be_longer_says_how(self, arrays, begun):
        longer = replace(RunFolder(begun).recipe(), images=10_000)
        with pytest.raises(ValueError, match=f"to train its networks longer: --start {begun}"):
            Session(longer, begun)
