"""What a recipe leaves open is chosen for the data and the machine, each choice with its reason."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import CPU

from equipoise import presets, runs, spec
from equipoise.data import inspect
from equipoise.recipe import Recipe


class TestChoices:
    def choose(self, path, **changes):
        recipe = Recipe(data=str(path), precision="float32", **changes)
        return runs.choose(recipe, inspect(path), CPU)

    def folder(self, path, size, mode="RGB"):
        for number in range(3):
            Image.new(mode, size, number).save(path / f"{number}.png")
        return path

    @pytest.mark.parametrize(
        ("size", "chosen"), [((100, 70), "64"), ((33, 200), "32"), ((900, 900), "128"), ((9, 9), "8")]
    )
    def test_size_of_a_folder(self, tmp_path, size, chosen):
        recipe, reasons = self.choose(self.folder(tmp_path, size))
        assert recipe.size == chosen
        assert f"about {size[0]} wide and {size[1]} high" in reasons["size"]

    @pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("LA", 1), ("RGBA", 3)])
    def test_channels(self, tmp_path, mode, channels):
        recipe, reasons = self.choose(self.folder(tmp_path, (16, 16), mode))
        assert recipe.channels == channels
        assert ("alpha" in reasons["channels"]) == mode.endswith("A")

    def default(self, path, **changes):
        return runs.choose(
            replace(presets.default(), data=str(path), precision="float32", **changes), inspect(path), CPU
        )

    def test_the_default_fills_in_all_that_depends_on_the_data(self, arrays):
        recipe, reasons = self.default(arrays)
        assert None not in {getattr(recipe, name) for name in reasons}
        assert {"network", "penalties", "augment", "images", "batch", "ema_images"} <= reasons.keys()
        assert recipe.network.startswith("dcgan(")
        assert recipe.lr_g == recipe.lr_d == "decay(2e-3, share=0.5)"

    def test_the_loss_decides_which_penalties_and_the_network_how_fast_it_learns(self, arrays):
        names = lambda **changes: [spec.name_of(call) for call in self.default(arrays, **changes)[0].penalties]
        assert names() == ["r1"]
        assert names(loss="relativistic") == ["r1", "r2"]
        for others in ({"network": "sn_cnn"}, {"size": "64"}):
            assert self.default(arrays, **others)[0].lr_d == "decay(1e-3, share=0.5)"

    @pytest.mark.parametrize(
        ("images", "length", "augment"),
        [(60, 3000, "diffaug"), (60, 2000, "none"), (3000, 1000, "none"), (3000, 300_000, "ada")],
    )
    def test_few_images_are_augmented(self, tmp_path, images, length, augment):
        np.save(tmp_path / "x.npy", np.zeros((images, 8, 8), np.uint8))
        recipe, reasons = self.default(tmp_path / "x.npy", images=length)
        assert recipe.augment == augment
        assert f"{images:,} images" in reasons["augment"]

    @pytest.mark.parametrize(("images", "mode", "mirror"), [(60, "RGB", True), (60, "L", False), (3000, "RGB", False)])
    def test_few_colour_images_are_mirrored(self, tmp_path, images, mode, mirror):
        np.save(tmp_path / "x.npy", np.zeros((images, 8, 8, len(mode)), np.uint8))
        recipe, reasons = self.default(tmp_path / "x.npy")
        assert recipe.mirror == mirror
        assert "mirror" in reasons["mirror"]

    def test_what_a_machine_runs_on_decides_the_networks(self, arrays):
        grey = {"channels": 1}
        for changes, doubled in (({}, True), (grey, False), ({**grey, "size": "64"}, True), ({"labels": True}, True)):
            assert ("upsampling='nearest'" in self.default(arrays, **changes)[0].network) == doubled
        recipe, _ = runs.choose(Recipe(data=arrays, precision="tf32"), inspect(arrays), torch.device("cuda"))
        assert recipe.network.startswith("r3(")
        assert (recipe.loss, recipe.lr_g) == ("relativistic", "decay(1e-3, share=0.5)")
        assert "r1(weight=3.0)" in recipe.penalties

    @pytest.mark.parametrize(
        ("length", "wide"),
        [
            ({}, False),
            ({"images": 299_999}, False),
            ({"images": 300_000}, True),
            ({"minutes": 4.0}, False),
            ({"minutes": 5.0}, True),
            ({"minutes": 9.0, "size": "64"}, False),
            ({"minutes": 10.0, "size": "64"}, True),
            ({"images": 75_000, "size": "64x256"}, True),
            ({"minutes": 60.0, "size": "96"}, False),  # which is untried
            ({"minutes": 4.0, "images": 300_000}, False),  # chosen for these minutes
        ],
    )
    def test_networks_of_long_runs_are_wider_and_learn_more_slowly(self, arrays, length, wide):
        recipe, reasons = self.default(arrays, **{"size": "32"} | length)
        assert ("g_width=32, d_width=32" in recipe.network) == ("twice as wide" in reasons["network"]) == wide
        rate = "1e-3" if wide or "size" in length else "2e-3"
        assert recipe.lr_g == recipe.lr_d == f"decay({rate}, share=0.5)"

    def test_a_batch_is_no_larger_than_the_data(self, tmp_path):
        np.save(tmp_path / "x.npy", np.zeros((5, 8, 8), np.uint8))
        assert self.default(tmp_path / "x.npy")[0].batch == 5

    @pytest.mark.parametrize(("size", "batch"), [("32", 16), ("96", 16), ("128", 8), ("64x128", 16)])
    def test_batches_of_large_images_are_smaller(self, tmp_path, size, batch):
        np.save(tmp_path / "x.npy", np.zeros((70, 8, 8), np.uint8))
        assert self.default(tmp_path / "x.npy", size=size)[0].batch == batch

    @pytest.mark.parametrize(("size", "weight"), [("16", 3.0), ("32", 3.0), ("64", 12.0), ("48x128", 6.8)])
    def test_penalties_grow_with_the_image_on_a_gpu(self, arrays, size, weight):
        recipe = Recipe(data=arrays, precision="tf32", size=size)
        for device, expected in ((torch.device("cuda"), [weight, weight]), (CPU, [1.0])):
            chosen, _ = runs.choose(recipe, inspect(arrays), device)
            assert [spec.parse(penalty).keywords["weight"] for penalty in chosen.penalties] == expected

    def test_conditional_presets_take_labels_where_there_are_some(self, arrays, tmp_path):
        np.save(tmp_path / "x.npy", np.zeros((5, 8, 8), np.uint8))
        for path, labels, reason in ((arrays, True, "3 classes"), (tmp_path / "x.npy", False, "no labels")):
            recipe, reasons = runs.choose(replace(presets.sagan(), precision="float32"), inspect(path), CPU)
            assert recipe.labels == labels
            assert reason in reasons["labels"]

    def test_what_was_asked_for_is_kept_and_needs_no_reason(self, tmp_path):
        recipe, reasons = self.choose(self.folder(tmp_path, (16, 16)), size="24x32", save_every=5)
        assert (recipe.size, recipe.save_every) == ("24x32", 5)
        assert not {"size", "save_every"} & reasons.keys()
