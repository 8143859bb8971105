"""Translation between two domains: data, networks, games, runs, and what users of CycleGAN complain of."""

import json
from dataclasses import replace
from itertools import islice
from shutil import copytree
from zipfile import ZipFile

import numpy as np
import pytest
import run_pages
import torch
import translation
from elsewhere import killed
from PIL import Image
from small_runs import CPU, lines, same_state
from test_networks import TRANSLATING as SMALL

from equipoise import (
    activations,
    augment,
    cli,
    constraints,
    games,
    losses,
    networks,
    norms,
    penalties,
    presets,
    report,
    runs,
    spec,
)
from equipoise.data import Format, find_domains, load_domains
from equipoise.games import ImageBuffer
from equipoise.games.between_domains import told
from equipoise.labels import LabelSpace
from equipoise.networks import ImageShape
from equipoise.runs import RunFolder, Session
from equipoise.runs.folder import load_checkpoint, read_rows
from equipoise.runs.rehearsal import rehearse

SHAPES = [ImageShape(1, 8, 8), ImageShape(1, 28, 28), ImageShape(3, 48, 64), ImageShape(2, 37, 53)]


def write(folder, counts, size=(20, 16), suffix="png", seed=0):
    """Folders of small colour images."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03d}.{suffix}")
    return folder


@pytest.fixture(scope="session")
def unpaired(tmp_path_factory):
    counts = {"trainA": 13, "trainB": 9, "testA": 5, "testB": 4}
    return write(tmp_path_factory.mktemp("data") / "horses", counts)


@pytest.fixture(scope="session")
def beside(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "facades", {"train": 10, "val": 4}, (40, 16))


OPEN = {"g_batch": 2, "ema_images": 10, "mirror": False, "score_every": 6}


def recipe_of(name, data, **changes):
    few = {"size": "16", "channels": 3, "batch": 2, "images": 12, "precision": "float32", "features": "pixels(size=2)"}
    every = {"save_every": 2, "score_every": 6, "sample_every": 6, "score_images": 4}
    given = few | every | {"network": SMALL[name], "data": str(data)} | changes
    return replace(getattr(presets, name)(), **given)


class TestData:
    def format(self):
        return Format(3, 8, 8)

    def test_domains_of_different_length_have_orders_of_their_own(self, unpaired):
        domains = load_domains(find_domains(unpaired), self.format())
        assert (len(domains.a), len(domains.b), len(domains)) == (13, 9, 13)
        assert (len(domains.a.held_out), len(domains.b.held_out)) == (5, 4)
        whole = list(islice(domains.batches(4, seed=3, mirror=True), 9))
        resumed = list(islice(domains.batches(4, seed=3, start=16, mirror=True), 5))
        for one, other in zip(whole[4:], resumed, strict=True):
            assert all(torch.equal(one[name], other[name]) for name in "ab")
        shown = torch.cat([batch["b"] for batch in islice(domains.batches(1, seed=3), 9)])
        assert len(torch.unique(shown, dim=0)) == 9  # an epoch of b is all of b
        orders = [
            torch.cat([batch[name] for batch in islice(domains.batches(1, seed=3), 9)]).mean((1, 2, 3)).argsort()
            for name in "ab"
        ]
        assert not torch.equal(*orders)

    @pytest.mark.parametrize("packed", [False, True])
    def test_pairs_stay_together(self, tmp_path, packed):
        """Partners have another suffix, and are mirrored together, but get other noise."""
        for number in range(7):
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3)).astype(np.uint8)
            for name, image, suffix in (("edges", pixels, "png"), ("shoes", 255 - pixels, "bmp")):
                (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(tmp_path / "set" / name / f"{number}.{suffix}")
        path = tmp_path / "set"
        if packed:
            path = tmp_path / "set.zip"
            with ZipFile(path, "w") as archive:
                for file in sorted((tmp_path / "set").rglob("*.*")):
                    archive.write(file, file.relative_to(tmp_path).as_posix())
        for kind in ("a_to_b", "b_to_a"):
            domains = load_domains(find_domains(path, kind), self.format())
            for a, b in islice(domains.batches(3, seed=0, mirror=True), 6):
                torch.testing.assert_close(a, -b)
            names = [source.decoder.reader.names[0].rpartition("/")[0] for source in (domains.a, domains.b)]
            assert [name.rpartition("/")[2] for name in names] == (
                ["edges", "shoes"] if kind == "a_to_b" else ["shoes", "edges"]
            )
        a, b = next(domains.batches(3, seed=0, dequantize=True))
        noise = [((x + 1) * 128 % 1).flatten() for x in (a, b)]
        assert abs(np.corrcoef(*noise)[0, 1]) < 0.2

    def test_pictures_that_hold_a_pair(self, tmp_path):
        for part, count in (("train", 4), ("val", 2)):
            (tmp_path / part).mkdir()
            for number in range(count):
                left = np.full((8, 9, 3), 10 * number, np.uint8)
                whole = np.concatenate([left, np.zeros((8, 1, 3), np.uint8), 255 - left], axis=1)
                Image.fromarray(whole).save(tmp_path / part / f"{number}.png")
        domains = load_domains(find_domains(tmp_path, "a_to_b"), self.format())
        a, b = next(domains.batches(4, seed=1))
        torch.testing.assert_close(a, -b)
        assert (a < 0).all()
        assert len(domains.a.held_out) == len(domains.b.held_out) == 2
        turned = load_domains(find_domains(tmp_path, "b_to_a"), self.format())
        assert torch.equal(next(turned.batches(4, seed=1))[1], a)

    @pytest.mark.parametrize(
        ("counts", "kind", "message"),
        [
            ({"trainA": 3}, "unpaired", "has no image in trainB: two domains are sub-folders trainA and trainB"),
            ({"one": 3}, "unpaired", "does not hold two domains but one"),
            ({"one": 2, "two": 2, "three": 2}, "unpaired", "does not hold two domains but one, three, two"),
            ({"": 3}, "unpaired", "does not hold two domains but images in no sub-folder"),
            ({"one": 2, "two": 3}, "a_to_b", "two/002.png has no partner of the same name in the other domain$"),
            ({"trainA": 5, "trainB": 3}, "b_to_a", "trainA/003.png has no partner .*, nor have 1 others"),
        ],
    )
    def test_what_is_missing_is_named(self, tmp_path, counts, kind, message):
        with pytest.raises(ValueError, match=message):
            find_domains(write(tmp_path / "x", counts), kind)

    def test_a_name_twice(self, tmp_path):
        write(tmp_path, {"one": 2, "two": 2})
        write(tmp_path, {"one": 1}, suffix="bmp")
        with pytest.raises(ValueError, match=r"one/000.bmp and one/000.png have the same name"):
            find_domains(tmp_path, "a_to_b")
        find_domains(tmp_path, "unpaired")

    def test_a_broken_image_of_a_pair_is_refused(self, tmp_path):
        write(tmp_path, {"one": 2, "two": 2})
        (tmp_path / "one" / "001.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match=r"one/001.png: not an image of a known kind"):
            load_domains(find_domains(tmp_path, "a_to_b"), self.format())

    def test_no_folder(self, tmp_path):
        with pytest.raises(ValueError, match=r"nothing is no folder and no .zip that holds two domains"):
            find_domains(tmp_path / "nothing")


def count(net):
    return sum(weight.numel() for weight in net.parameters())


class TestNetworks:
    @pytest.mark.parametrize(
        ("call", "side", "counts"),
        [
            ("cyclegan", 256, [11_378_179, 11_378_179, 2_764_737, 2_764_737]),
            ("cyclegan", 128, [7_837_699, 7_837_699, 2_764_737, 2_764_737]),
            ("cyclegan(g_feature_norm='batch')", 256, [11_383_427, 11_383_427, 2_764_737, 2_764_737]),
            ("pix2pix", 256, [54_413_955, 2_768_705]),
        ],
    )
    def test_published_counts(self, call, side, counts):
        """The authors' code prints 11.378, 7.838, 2.765, 54.414 and 2.769 million."""
        with torch.device("meta"):
            nets = spec.build(call, networks)(ImageShape(3, side, side))
        assert [*map(count, nets.values() if isinstance(nets, dict) else nets)] == counts

    @pytest.mark.parametrize("norm", ["instance", "batch", "layer", "none"])
    @pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s[:3])))
    def test_any_shape_and_norm_and_every_weight_learns(self, shape, norm):
        images = torch.randn(2, *shape[:3])
        chosen = {"g_feature_norm": norm, "d_feature_norm": norm}
        nets = networks.cyclegan(g_width=4, d_width=4, blocks=1, **chosen)(shape)
        G, D = networks.pix2pix(g_width=4, d_width=4, **chosen)(shape)
        for generator, judge in ((nets["G_ab"], lambda x: nets["D_b"](x)), (G, lambda x: D(torch.cat([images, x], 1)))):
            fakes = generator(images)
            assert fakes.shape == images.shape
            assert fakes.abs().max() <= 1
            logits = judge(fakes)
            assert logits.ndim == 3
            assert len(logits) == 2
            logits.square().sum().backward()
        for net in (nets["G_ab"], nets["D_b"], G, D):
            assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in net.parameters())

    @pytest.mark.parametrize("name", SMALL)
    @pytest.mark.parametrize(("height", "width"), [(9, 31), (40, 16), (101, 67)])
    def test_other_sizes_than_that_of_training(self, name, height, width):
        nets = spec.build(SMALL[name], networks)(ImageShape(3, 16, 16))
        G = (nets["G_ab"] if isinstance(nets, dict) else nets[0]).eval()
        assert G(torch.zeros(1, 3, height, width)).shape == (1, 3, height, width)

    def test_a_logit_sees_70_pixels(self):
        _, D = networks.pix2pix(g_width=1, d_width=2, d_feature_norm="none")(ImageShape(1, 256, 256))
        images = torch.randn(1, 2, 256, 256, requires_grad=True)
        D(images)[0, 15, 15].backward()
        seen = images.grad[0].abs().sum(0)
        assert [int((seen.sum(dimension) > 0).sum()) for dimension in (0, 1)] == [70, 70]

    def test_labels_are_refused(self):
        for name in SMALL:
            with pytest.raises(ValueError, match="the network was built without labels"):
                spec.build(name, networks)(ImageShape(3, 16, 16, LabelSpace("classes", 3)))


class TestBuffer:
    def test_it_is_filled_first_and_then_gives_back_half(self):
        buffer, images = ImageBuffer(size=10), torch.arange(2000.0).reshape(-1, 1, 1, 1)
        shown = torch.cat([buffer(part) for part in images.split(5)])
        assert torch.equal(shown[:10], images[:10])
        later = shown.flatten()[10:]
        new = later == torch.arange(10.0, 2000.0)
        assert 0.45 < new.float().mean() < 0.55
        assert (later[~new] < torch.arange(10.0, 2000.0)[~new]).all()
        kept = {*buffer.images.flatten().tolist()}
        assert len(kept) == 10
        assert not kept & {*later[~new].tolist()}  # what was given back is no longer kept

    def test_every_image_is_shown_at_most_once_from_the_buffer(self):
        buffer, images = ImageBuffer(size=4), torch.arange(300.0).reshape(-1, 1, 1, 1)
        shown = buffer(images).flatten().tolist()
        back = [x for number, x in enumerate(shown) if x != number]
        assert len(back) == len({*back})

    def test_a_size_of_0_is_no_buffer(self):
        images = torch.rand(3, 1, 2, 2)
        assert torch.equal(ImageBuffer(size=0)(images), images)

    def test_it_is_saved_and_loaded(self):
        first, second, images = ImageBuffer(size=3), ImageBuffer(size=3), torch.rand(9, 1, 2, 2)
        first(images)
        second.load_state_dict(first.state_dict())
        torch.manual_seed(1)
        one = first(images)
        torch.manual_seed(1)
        assert torch.equal(second(images), one)


class TestWhatATranslationDoes:
    """Complaints of users: a network that copies its input, colours that are inverted."""

    def test_a_copy_an_inversion_and_noise_are_told_apart(self):
        x = torch.rand(4, 3, 16, 16) * 2 - 1
        copy, inverted, noise = (told(x, y) for y in (x, -x, torch.rand(4, 3, 16, 16) * 2 - 1))
        assert (copy["change"], copy["colour"].round(decimals=4)) == (0, 1)
        assert inverted["colour"].round(decimals=4) == -1
        assert inverted["change"] > 0.5
        assert abs(noise["colour"]) < 0.1

    def test_a_flat_image_has_no_correlation(self):
        assert told(torch.zeros(1, 1, 4, 4), torch.rand(1, 1, 4, 4))["colour"] == 0


def finish(recipe, out):
    return [*runs.train(recipe, out)]


@pytest.fixture(scope="module")
def trained(unpaired, beside, tmp_path_factory):
    """A finished run of each preset."""
    folder, found = tmp_path_factory.mktemp("runs"), {}
    for name, data in (("cyclegan", unpaired), ("pix2pix", beside)):
        finish(recipe_of(name, data), folder / name)
        found[name] = folder / name
    return found


class TestRuns:
    @pytest.mark.parametrize("name", SMALL)
    def test_a_killed_run_ends_bit_for_bit_where_an_unbroken_one_ends(self, name, unpaired, beside, tmp_path):
        """With the buffer and a penalty that has a state, of which each discriminator has a copy."""
        more = {"penalties": ("r1(weight=0.1, every=2)", "lecam(warm_up=1)"), "augment": "ada(images=10, every=1)"}
        network = SMALL[name].replace(")", ", d_feature_norm='none')")
        data = unpaired if name == "cyclegan" else beside
        recipe = recipe_of(name, data, **more, network=network, save_every=4, score_every=12)
        if name == "cyclegan":
            recipe = replace(recipe, game="cycle(buffer=3)")
        finish(recipe, tmp_path / "whole")
        killed(recipe, tmp_path / "x", 6)
        assert int(RunFolder(tmp_path / "x").newest_checkpoint().stem) == 4
        finish(recipe, tmp_path / "x")
        assert same_state(tmp_path / "x", tmp_path / "whole")
        assert lines(tmp_path / "x" / "metrics.jsonl") == lines(tmp_path / "whole" / "metrics.jsonl")
        state = load_checkpoint(RunFolder(tmp_path / "x").newest_checkpoint(), CPU)
        if name == "cyclegan":
            assert {*state["components"]} == {"ada", "r1", "lecam", "image_buffer", "r1_2", "lecam_2", "image_buffer_2"}
            assert state["components"]["image_buffer"]["count"] == 3

    def test_a_row_for_each_direction(self, trained):
        rows = [*read_rows(trained["cyclegan"] / "metrics.jsonl")]
        assert [(row["seen"], row["output"], row["inputs"]) for row in rows] == [
            (seen, *of) for seen in (0, 6, 12) for of in (("a to b", "horses a test"), ("b to a", "horses b test"))
        ]
        assert [row["reference"] for row in rows[:2]] == ["horses b", "horses a"]
        assert {row["n_fake"] for row in rows} == {4}
        (row, *_), names = [*read_rows(trained["pix2pix"] / "metrics.jsonl")], [*rows[0]]
        assert "output" not in row
        assert (row["inputs"], row["reference"]) == ("facades a test", "facades b")
        assert names[:4] == ["seen", "weights", "seed", "when"]

    def test_statistics_of_both_directions(self, trained):
        row = [*read_rows(trained["cyclegan"] / "stats.jsonl")][-1]
        g = {"loss", "cycle_a", "cycle_b", "identity_a", "identity_b", "loss_ab", "loss_ba"}
        g |= {"change_ab", "change_ba", "colour_ab", "colour_ba", "gradient"}
        assert {key for key in row if key.startswith("g.")} == {f"g.{term}" for term in g}
        assert {f"d_{d}.{term}" for d in "ab" for term in ("loss", "real", "fake", "gradient")} <= row.keys()

    def test_the_best_checkpoint_is_chosen_by_the_first_direction(self, trained):
        rows = [row for row in read_rows(trained["cyclegan"] / "metrics.jsonl") if row["output"] == "a to b"]
        best = min((row for row in rows if row["seen"]), key=lambda row: row["fd"])
        assert load_checkpoint(trained["cyclegan"] / "checkpoints" / "best.pt", CPU)["seen"] == best["seen"]

    def test_a_process_killed_between_two_scores_makes_the_second_alone(self, trained, tmp_path):
        run = copytree(trained["cyclegan"], tmp_path / "x")
        file = run / "metrics.jsonl"
        before = [*read_rows(file)]
        file.write_text("".join(json.dumps(row) + "\n" for row in before[:-1]))
        finish(RunFolder(run).recipe(), run)
        assert lines(file) == lines(trained["cyclegan"] / "metrics.jsonl")

    def test_the_picture_shows_input_output_and_back(self, trained):
        with Image.open(sorted((trained["cyclegan"] / "samples").glob("*.png"))[-1]) as picture:
            assert picture.size == (4 * 16, 6 * 16)
        with Image.open(sorted((trained["pix2pix"] / "samples").glob("*.png"))[-1]) as picture:
            assert picture.size == (4 * 16, 3 * 16)

    def test_what_does_not_belong_together_is_refused(self, unpaired, beside, arrays_of_noise, tmp_path):
        cases = [
            (recipe_of("cyclegan", unpaired, network="dcgan"), "dcgan makes images of latent vectors, and domains="),
            (recipe_of("pix2pix", beside, game="adversarial"), "needs an attribute z_dim"),
            (recipe_of("pix2pix", unpaired, domains="unpaired"), "paired learns from pairs: .* and this is a dict"),
            (recipe_of("cyclegan", beside, domains="a_to_b"), "cycle learns without pairs: .* and this is a tuple"),
            (
                recipe_of("cyclegan", arrays_of_noise, domains="none"),
                "cyclegan.* needs latent vectors .* --domains unpai",
            ),
            (recipe_of("cyclegan", unpaired, game="paired"), "the player 'd' moves 'D', but there is no such network"),
            (recipe_of("cyclegan", unpaired, loss="energy"), "energy is a loss of energies"),
            (recipe_of("cyclegan", unpaired, g_penalties=("pulling_away",)), "has no use for g_penalties"),
        ]
        for recipe, message in cases:
            with pytest.raises(ValueError, match=message):
                Session(recipe, tmp_path / "x")
        with pytest.raises(ValueError, match="domains='unpaired' translates images, which is learnt without labels"):
            recipe_of("cyclegan", unpaired, labels=True)
        assert not (tmp_path / "x").exists()

    def test_a_loss_with_a_state_is_refused(self):
        with pytest.raises(ValueError, match="cycle has two discriminators, and this loss keeps a state of one"):
            games.cycle(losses.boundary_equilibrium())


@pytest.fixture
def arrays_of_noise(tmp_path):
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3)).astype(np.uint8))
    return tmp_path / "noise.npy"


class TestOwnImages:
    @pytest.fixture
    def photos(self, tmp_path):
        """Odd sizes, a sub-folder, grey and rotated images, two kinds of files, one that is broken."""
        sizes = {"a.png": (33, 21), "deep/er/b.jpg": (18, 47), "grey.bmp": (20, 20)}
        for name, size in sizes.items():
            (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L" if "grey" in name else "RGB", size, "#646464").save(tmp_path / "photos" / name)
        turned = Image.new("RGB", (30, 20), (200, 0, 0))
        exif = turned.getexif()
        exif[0x0112] = 6
        turned.save(tmp_path / "photos" / "turned.jpg", exif=exif)
        return tmp_path / "photos", sizes | {"turned.jpg": (20, 30)}

    def sample(self, run, *flags):
        return cli.main(["sample", str(run), *map(str, flags)])

    @pytest.mark.parametrize("name", SMALL)
    def test_names_and_sizes_are_kept(self, trained, photos, tmp_path, name, capsys):
        folder, sizes = photos
        assert self.sample(trained[name], "--input", folder, "--out", tmp_path / "out") == 0
        found = {}
        for file in (tmp_path / "out").rglob("*.*"):
            with Image.open(file) as image:
                found[file.relative_to(tmp_path / "out").as_posix()] = image.size
        assert found == sizes
        assert capsys.readouterr().out == f"4 images in {tmp_path / 'out'}\n"
        assert self.sample(trained[name], "--input", folder, "--out", tmp_path / "out") == 1
        assert "exists and was not touched" in capsys.readouterr().err

    def test_a_broken_image_is_named_and_left_out(self, trained, photos, tmp_path, caplog):
        folder, sizes = photos
        (folder / "broken.png").write_bytes(b"nothing")
        assert self.sample(trained["pix2pix"], "--input", folder, "--out", tmp_path / "out") == 0
        assert "skipped broken.png: not an image of a known kind" in caplog.text
        assert len([*(tmp_path / "out").rglob("*.*")]) == len(sizes)

    def test_a_picture_that_is_too_thin_is_named_and_left_out(self, trained, photos, tmp_path, caplog):
        folder, sizes = photos
        Image.new("RGB", (3, 200)).save(folder / "thin.png")
        assert self.sample(trained["cyclegan"], "--input", folder, "--out", tmp_path / "out") == 0
        assert "skipped thin.png: 3x200 pixels are too few for this network" in caplog.text
        assert len([*(tmp_path / "out").rglob("*.*")]) == len(sizes)

    def test_one_image_becomes_one_image(self, trained, photos, tmp_path):
        (folder, _), out = photos, tmp_path / "new" / "one.png"
        run, pixels = trained["cyclegan"], torch.randint(0, 256, (3, 21, 33), dtype=torch.uint8)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / "a.png")
        assert self.sample(run, "--input", folder / "a.png", "--out", out, "--direction", "b_to_a") == 0
        with Image.open(out) as image:
            written = torch.tensor(np.asarray(image)).permute(2, 0, 1)
        sampler = runs.Sampler(run)
        with torch.no_grad():
            expected = sampler.nets["G_ba"](pixels[None] / 127.5 - 1)[0]
        torch.testing.assert_close(written / 127.5 - 1, expected, atol=0.005, rtol=0)

    def test_short_memory_is_named_with_a_cure(self):
        class Large(torch.nn.Conv2d):
            def forward(self, x):
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

        image = torch.zeros(3, 300, 700, dtype=torch.uint8)
        with pytest.raises(ValueError, match=r"wide.jpg, 700x300, does not fit into memory: choose --tile 350"):
            runs.own_images.translated_whole(Large(3, 3, 1), image, "wide.jpg", None)

    def test_tiles_of_a_network_that_sees_little_are_like_the_whole(self):
        blur = torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        image = torch.rand(1, 3, 61, 90)
        apart = (runs.own_images.in_tiles(blur, image, 32) - blur(image)).abs()
        assert apart.mean() < 0.01
        assert (apart > 1e-5).float().mean() < 0.3  # only where a tile ends within the image

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (
                ["--input", "{photos}", "--direction", "b_to_a"],
                "has not learnt b_to_a (did you mean 'a_to_b'?); choices: a_to_b",
            ),
            (["--input", "{photos}", "--count", "3"], "images of one's own, --input, have no use for --count"),
            (["--tile", "64"], "without --input there is no use for --tile"),
            (["--input", "{photos}", "--tile", "4"], "tile must be at least 16, not 4"),
            ([], "translates images: equipoise sample"),
            (["--input", "{photos}", "--out", "x.png"], "holds several images, which are written to a folder"),
        ],
    )
    def test_what_cannot_be_is_refused(self, trained, photos, tmp_path, flags, message, capsys):
        words = [flag.format(photos=photos[0]) for flag in flags]
        assert self.sample(trained["pix2pix"], "--out", tmp_path / "out", *words) == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


class TestCombinations:
    """Laws over all that can be put on the networks: a round with finite numbers, or a refusal in one line."""

    @pytest.mark.parametrize("name", SMALL)
    def test_norms_and_activations(self, name):
        for norm in spec.names(norms):
            rehearse(recipe_of(name, "", **OPEN, d_norm=norm, g_norm=norm), LabelSpace(), CPU)
        for activation in spec.names(activations):
            rehearse(recipe_of(name, "", **OPEN, d_activation=activation, g_activation=activation), LabelSpace(), CPU)

    @pytest.mark.parametrize("name", SMALL)
    def test_losses(self, name):
        energies = dict.fromkeys(("energy", "boundary_equilibrium", "pretrained"), "is a loss of energies")
        labels = dict.fromkeys(("auxiliary_classifier", "multi_hinge"), "about labels|needs the discriminator's class")
        refused = energies | labels
        for loss in spec.names(losses):
            recipe = recipe_of(name, "", **OPEN, loss=loss)
            if loss in refused:
                with pytest.raises(ValueError, match=refused[loss]):
                    rehearse(recipe, LabelSpace(), CPU)
            else:
                rehearse(recipe, LabelSpace(), CPU)

    @pytest.mark.parametrize("name", SMALL)
    def test_penalties_constraints_and_augmentation(self, name):
        network = SMALL[name].replace(")", ", d_feature_norm='none')")
        refused = {"consistency_term": "this D draws nothing", "path_length": "asks what the fakes were made from"}
        for penalty in spec.names(penalties):
            recipe = recipe_of(name, "", **(OPEN | {"network": network}), penalties=(penalty,))
            if penalty in refused:
                with pytest.raises(ValueError, match=refused[penalty]):
                    rehearse(recipe, LabelSpace(), CPU)
            else:
                rehearse(recipe, LabelSpace(), CPU)
        for constraint in spec.names(constraints):
            rehearse(recipe_of(name, "", **OPEN, constraint=constraint), LabelSpace(), CPU)
        for seen_as in spec.names(augment):
            rehearse(recipe_of(name, "", **OPEN, augment=seen_as), LabelSpace(), CPU)


class TestScoresAndPage:
    def test_each_direction_is_scored_against_its_own_domain(self, trained, capsys):
        assert cli.main(["evaluate", str(trained["cyclegan"]), "--metrics", "fd", "--json"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["output"] for row in rows] == ["a to b", "b to a"]
        assert [row["reference"] for row in rows] == ["horses b", "horses a"]
        assert [row["n_fake"] for row in rows] == [5, 4]  # as many as there are held-out inputs
        assert [row["real_n"] for row in rows] == [4, 4]  # of 4 and 5 that are held out
        assert cli.main(["evaluate", str(trained["cyclegan"]), "--metrics", "fd"]) == 0
        shown = capsys.readouterr().out
        assert "a to b" in shown
        assert "b to a" in shown
        assert runs.evaluate(trained["cyclegan"], metrics=["fd"], generator="G_ba") == rows[1]
        with pytest.raises(ValueError, match=r"has no generator 'G_xy'; choices: G_ab, G_ba"):
            runs.evaluate(trained["cyclegan"], generator="G_xy")
        with pytest.raises(ValueError, match="ppl measures a generator itself"):
            runs.evaluate(trained["pix2pix"], metrics=["ppl"])

    def test_the_page_shows_both_directions(self, trained):
        page = report.write(trained["cyclegan"]).read_text()
        for words in (
            "FD (pixels(size=2)), a to b",
            "FD (pixels(size=2)), b to a",
            "cycle_a",
            "and the way back",
            "The same inputs each time",
            "--input",
        ):
            assert words in page
        assert "latent" not in page
        assert "cannot be compared with each other" not in page
        assert "FD (pixels(size=2))" in report.write(trained["pix2pix"]).read_text()


def test_the_settings_of_the_benchmark_are_rehearsed():
    for name in translation.SETTINGS:
        asked = run_pages.recipe(translation.command(name))
        asked = replace(asked, channels=1, precision="float32", features="pixels", size="28", **OPEN)
        rehearse(asked, LabelSpace(), CPU)
