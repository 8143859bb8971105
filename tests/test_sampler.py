"""Images from a trained generator: a seed gives its images, whatever the count."""

import json
import shutil
from contextlib import chdir

import pytest
import torch
from small_runs import PLAIN, finish, small

from equipoise import presets, runs
from equipoise.metrics.generation import latents, to_uint8


class TestSampler:
    def test_a_seed_gives_its_images_whatever_the_count(self, finished):
        sampler = runs.Sampler(finished[0])
        few, many = (torch.cat(list(sampler(count, seed=3))) for count in (5, 70))
        assert torch.equal(few[:5], many[:5])
        assert few.dtype == torch.uint8
        assert few.shape == (5, 3, 12, 10)
        assert not torch.equal(few, torch.cat(list(sampler(5, seed=4))))

    def test_raw_weights_differ_from_their_average(self, finished):
        images = [torch.cat(list(runs.Sampler(finished[0], raw)(4))) for raw in (False, True)]
        assert not torch.equal(*images)

    @pytest.mark.parametrize("length", [1, 3, 100, 128])
    @pytest.mark.parametrize("truncation", [None, 0.7])
    def test_a_latent_vector_does_not_depend_on_how_many_are_drawn(self, length, truncation):
        G = torch.nn.Module()
        G.z_dim = length
        few, many = (latents(G, count, 5, truncation) for count in (3, 50))
        assert torch.equal(few, many[:3])

    def test_latents_are_normal(self):
        G = torch.nn.Module()
        G.z_dim = 500
        z = latents(G, 200, 0)
        assert abs(z.mean()) < 0.01
        assert abs(z.std() - 1) < 0.01
        assert abs((z < 1).float().mean() - 0.8413) < 0.005

    def test_a_foreign_checkpoint_is_refused(self, finished, tmp_path):
        torch.save({"weights": torch.zeros(3)}, tmp_path / "foreign.pt")
        with pytest.raises(ValueError, match=r"foreign.pt is not a checkpoint of .*'seen'"):
            runs.Sampler(finished[0], checkpoint=str(tmp_path / "foreign.pt"))

    def test_code_that_comes_along_with_a_run_is_not_executed(self, finished, tmp_path):
        run, told = tmp_path / "run", tmp_path / "executed"
        shutil.copytree(finished[0], run)
        (run / "evil.py").write_text(f"open({str(told)!r}, 'w')")
        for file in (run / "evil.py", "evil.py", run / "x" / ".." / "evil.py"):
            context = json.loads((run / "recipe.json").read_text())
            context["recipe"]["network"] = f"{file}:net"
            (run / "recipe.json").write_text(json.dumps(context))
            with chdir(run), pytest.raises(ValueError, match=r"evil\.py, and code in a run folder is not executed"):
                runs.Sampler(run)
            assert not told.exists()

    def test_a_run_with_code_in_its_own_folder_is_refused_before_it_starts(self, arrays, tmp_path):
        with pytest.raises(ValueError, match=r"loss\.py, and code in a run folder is not executed"):
            finish(small(PLAIN, arrays, loss=f"{tmp_path}/x/loss.py:mine"), tmp_path / "x")
        assert not (tmp_path / "x").exists()

    def test_truncation_bounds_the_latents(self, finished):
        G = runs.Sampler(finished[0]).net
        assert latents(G, 50, 0, truncation=0.5).abs().max() <= 0.5
        assert latents(G, 50, 0).abs().max() > 2
        with pytest.raises(ValueError, match="truncation must be above 0"):
            latents(G, 2, 0, truncation=0.0)

    def test_classes_by_name_or_number(self, arrays, tmp_path):
        finish(small(presets.sngan_projection(), arrays), tmp_path / "x")
        sampler = runs.Sampler(tmp_path / "x")
        assert sampler.labels(5).tolist() == [0, 1, 2, 0, 1]
        assert sampler.labels(3, ["2", "0"]).tolist() == [2, 0, 2]
        with pytest.raises(ValueError, match=r"there is no class 'cat'; choices: 0, 1, 2"):
            sampler.labels(3, ["cat"])

    def test_a_run_without_classes_has_no_labels(self, finished):
        assert runs.Sampler(finished[0]).labels(3) is None
        with pytest.raises(ValueError, match="there is no label 'cat': the run was trained without labels"):
            runs.Sampler(finished[0]).labels(3, ["cat"])

    def test_no_run_no_checkpoint(self, tmp_path):
        with pytest.raises(ValueError, match="is not a run folder"):
            runs.Sampler(tmp_path)


def test_every_grey_level_survives_the_way_to_the_network_and_back():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_uint8(levels / 127.5 - 1), levels)
