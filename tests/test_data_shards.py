"""Sets that are larger than a folder of files: .tar shards of WebDataset, data sets of Hugging Face."""

import io
import pickle
import tarfile

import datasets
import pytest
import torch
from PIL import Image

from equipoise import cli
from equipoise.data import Format, batches, inspect, load
from equipoise.data import huggingface as hub
from equipoise.recipe import Recipe
from equipoise.runs import RunFolder, train
from equipoise.runs.folder import load_checkpoint

GREY = Format(1, 8, 8)
datasets.disable_progress_bars()


def picture(value):
    return Image.new("L", (8, 8), value)


def png(value):
    buffer = io.BytesIO()
    picture(value).save(buffer, "PNG")
    return buffer.getvalue()


def pack(path, files, mode="w"):
    path.parent.mkdir(exist_ok=True, parents=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def greys(dataset):
    return dataset.take(range(len(dataset)))[:, 0, 0, 0].tolist()


@pytest.fixture
def shards(tmp_path):
    """Three shards with four samples each, whose keys begin anew in each of them; classes 3 and 11 in turn."""
    for shard in range(3):
        files = {}
        for number in range(4):
            files |= {f"{number:04d}.png": png(10 * (4 * shard + number + 1)), f"{number:04d}.txt": b"a caption"}
            files |= {f"{number:04d}.cls": b"11\n" if number % 2 else b"3"}
        pack(tmp_path / "set" / f"part-{shard}.tar", files)
    return tmp_path / "set"


class TestShards:
    def test_a_folder_of_shards(self, shards):
        source = inspect(shards)
        assert (source.kind, source.name, source.count) == ("tar", "set", 12)
        assert source.labels.meaning.names == ("3", "11")
        assert source.labels.values.tolist() == [0, 1] * 6
        assert (
            greys(load(source, GREY)) == greys(load(shards, GREY, labels=True, memory_limit=0)) == [*range(10, 130, 10)]
        )
        assert source.reader.outline().splitlines()[4] == f"part-1.tar/0000.png {len(png(50))}"

    def test_one_tar_with_a_folder_for_each_class(self, tmp_path):
        path = pack(tmp_path / "pets.tar", {"dog/1.png": png(30), "cat/a/2.png": png(10), "cat/3.png": png(20)})
        source = inspect(path)
        assert greys(load(source, GREY)) == [20, 10, 30]
        assert (source.labels.meaning.names, source.labels.values.tolist()) == (("cat", "dog"), [0, 0, 1])

    def test_one_folder_that_holds_all_is_looked_into_and_files_of_labels_count(self, tmp_path):
        files = {"./pets/dog/1.png": png(30), "./pets/cat/2.png": png(10)}
        assert inspect(pack(tmp_path / "x.tar", files)).labels.meaning.names == ("cat", "dog")
        described = files | {"./pets/labels.csv": b"file,age\ndog/1.png,2.5\ncat/2.png,1.5\n"}
        assert inspect(pack(tmp_path / "y.tar", described)).labels.values.tolist() == [[1.5], [2.5]]

    def test_shards_of_one_name_in_several_folders_and_hidden_ones(self, tmp_path):
        pack(tmp_path / "set" / "a" / "0.tar", {"cat/1.png": png(10), "dog/2.png": png(20)})
        pack(tmp_path / "set" / "b" / "0.tar", {"cat/1.png": png(30)})
        (tmp_path / "set" / "b" / "._0.tar").write_bytes(b"of a Macintosh")
        (tmp_path / "set" / "preview.png").write_bytes(png(99))
        source = inspect(tmp_path / "set")
        assert greys(load(source, GREY)) == [10, 20, 30]
        assert source.labels.values.tolist() == [0, 1, 0]

    def test_without_classes(self, tmp_path):
        path = pack(tmp_path / "x.tar", {"1.png": png(30), "2.png": png(10)})
        assert inspect(path).labels is None
        with pytest.raises(ValueError, match=r"x\.tar cannot be used with labels: it has none"):
            inspect(path, labels=True)
        pack(path, {"3.png": png(3), "1.cls": b"4"}, "a")
        with pytest.raises(ValueError, match=r"2\.png has no label, a file 2\.cls, as others have"):
            inspect(path, labels=True)

    def test_words_are_classes_too_and_all_images_of_a_sample_have_its_class(self, tmp_path):
        pack(tmp_path / "x.tar", {"1.left.png": png(1), "1.right.png": png(2), "2.png": png(3)})
        pack(tmp_path / "x.tar", {"1.cls": b"dog", "2.cls": b"7"}, "a")
        assert [inspect(tmp_path / "x.tar").labels.meaning.names[k] for k in (0, 1)] == ["7", "dog"]
        assert inspect(tmp_path / "x.tar").labels.values.tolist() == [1, 1, 0]

    def test_several_processes_read_a_stream_in_the_order_of_one(self, shards):
        streamed, kept = load(shards, GREY, memory_limit=0), load(shards, GREY)
        some = [next(batches(streamed, 12, 5, workers=2))[0], next(batches(kept, 12, 5))[0]]
        assert torch.equal(*some)
        resumed = batches(streamed, 4, 5, start=4, workers=0)
        assert torch.equal(torch.cat([next(resumed)[0], next(resumed)[0]]), some[0][4:])
        assert pickle.loads(pickle.dumps(streamed.decoder)).read([3])[0].flatten()[0] == 40

    def test_broken_images_are_left_out(self, tmp_path, caplog):
        path = pack(tmp_path / "x.tar", {"1.png": png(1), "2.png": b"nothing", "3.png": png(3)})
        assert greys(load(path, GREY)) == [1, 3]
        assert "skipped 2.png: not an image" in caplog.text
        with pytest.raises(ValueError, match=r"2\.png: not an image"):
            load(path, GREY, strict=True)

    @pytest.mark.parametrize("name", ["/abs/x.png", "../x.png", "a/../../x.png"])
    def test_members_that_would_be_written_elsewhere(self, tmp_path, name):
        with pytest.raises(ValueError, match=r"x\.tar has an unsafe member"):
            inspect(pack(tmp_path / "x.tar", {"ok.png": png(0), name: png(1)}))

    def test_what_is_no_tar(self, tmp_path, shards):
        (tmp_path / "bad.tar").write_bytes(b"nonsense" * 200)
        (tmp_path / "cut.tar").write_bytes((shards / "part-0.tar").read_bytes()[:700])
        pack(tmp_path / "empty.tar", {"x.txt": b"hello"})
        pack(tmp_path / "small.tar.gz", {"1.png": png(1)}, "w:gz")
        for name, message in {
            "bad.tar": "cannot be read: .*invalid header",
            "cut.tar": "is no .tar file that can be read: unexpected end of data",
            "empty.tar": "has no image: no file that ends in .png",
            "small.tar.gz": "is compressed: unpack it, as with gunzip",
        }.items():
            with pytest.raises(ValueError, match=message) as caught:
                inspect(tmp_path / name)
            assert name in str(caught.value)
            assert "\n" not in str(caught.value)

    def test_links_and_folders_in_a_tar_are_no_images(self, tmp_path):
        path = pack(tmp_path / "x.tar", {"1.png": png(1)})
        with tarfile.open(path, "a") as archive:
            link = tarfile.TarInfo("2.png")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
        assert inspect(path).count == 1

    def test_a_shard_that_was_cut_while_it_is_read(self, shards, caplog):
        dataset = load(shards, GREY, memory_limit=0)
        content = (shards / "part-2.tar").read_bytes()
        (shards / "part-2.tar").write_bytes(content[:600])
        assert dataset.take([11]).flatten()[0] == 10  # the next one, which is the first
        assert "part-2.tar/0003.png: the shard ends after 0 of" in caplog.text


@pytest.fixture(scope="module")
def rows():
    features = {
        "id": datasets.Value("string"),
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["cat", "dog"]),
    }
    columns = {
        "id": [f"n{k}" for k in range(6)],
        "image": [picture(10 * k) for k in range(6)],
        "label": [0, 1, 0, 1, 0, 0],
    }
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def saved(rows, folder, kind):
    if kind == "one part":
        rows.save_to_disk(folder)
    if kind == "several":
        datasets.DatasetDict({"train": rows, "validation": rows.select([5, 3, 2])}).save_to_disk(folder)
    if kind == "Parquet":
        for part, some in (("train", rows), ("test", rows.select([5, 3, 2]))):
            some.to_parquet(folder / "data" / f"{part}-00000-of-00001.parquet")
    return folder


class TestHuggingFace:
    @pytest.fixture(params=["one part", "several", "Parquet", "one file", "hub"])
    def data(self, request, rows, tmp_path, monkeypatch):
        """What is given to `inspect`, and its name."""
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        (tmp_path / "set" / "data").mkdir(parents=True)
        if request.param == "one file":
            rows.to_parquet(tmp_path / "set" / "pets.parquet")
            return tmp_path / "set" / "pets.parquet", "pets.parquet"
        if request.param != "hub":
            return saved(rows, tmp_path / "set", request.param), "set"
        hub_of = {"mine/pets": datasets.DatasetDict({"train": rows, "test": rows.select([5, 3, 2])})}
        monkeypatch.setattr(datasets, "load_dataset", hub_of.__getitem__)
        return "hf://mine/pets", "hf://mine/pets"

    def test_images_and_labels(self, data, request):
        path, name = data
        source = inspect(path, labels=True)
        assert (source.kind, source.name, source.count, source.typical.channels) == ("huggingface", name, 6, 1)
        assert (source.labels.meaning.names, source.labels.values.tolist()) == (("cat", "dog"), [0, 1, 0, 1, 0, 0])
        dataset = load(source, GREY, labels=True)
        assert greys(dataset) == greys(load(path, GREY, memory_limit=0)) == [0, 10, 20, 30, 40, 50]
        assert source.reader.outline().splitlines()[1] == f"row 1 {len(source.reader.store.read('row 1'))}"
        if dataset.held_out is None:
            assert "one " in request.node.name
        else:
            assert (greys(dataset.held_out), dataset.held_out.labels.values.tolist()) == ([50, 30, 20], [0, 1, 0])

    def test_processes_read_a_stream(self, rows, tmp_path):
        streamed = load(saved(rows, tmp_path / "x", "one part"), GREY, memory_limit=0)
        images, _ = next(batches(streamed, 6, 0, workers=2))
        assert sorted(((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()) == [0, 10, 20, 30, 40, 50]

    def test_the_hub_is_trained_on_by_its_name(self, rows, tmp_path, monkeypatch):
        monkeypatch.setattr(datasets, "load_dataset", {"mine/pets": rows}.__getitem__)
        few = ["--images", "4", "--batch", "2", "--size", "8", "--network", "mlp(width=4, depth=1, z_dim=2)"]
        few += ["--features", "pixels", "--score-images", "2", "--precision", "float32"]
        assert cli.main(["train", "hf://mine/pets", "--out", str(tmp_path / "x"), *few]) == 0
        assert RunFolder(tmp_path / "x").recipe().data == "hf://mine/pets"

    def test_rows_that_were_selected_have_their_own_labels(self, rows):
        some = hub.Rows(rows.select([5, 3]), "some")
        assert some.labels().values.tolist() == [0, 1]
        assert some.read("row 1") == hub.Rows(rows, "all").read("row 3")
        assert some.size("row 1") == len(some.read("row 1"))

    def test_labels_that_are_kept_secret_are_none(self, rows):
        secret = rows.remove_columns("label").add_column("label", [-1] * 6).cast_column("label", rows.features["label"])
        assert hub.Rows(secret, "test").labels() is None
        signs = rows.remove_columns("label").add_column("label", [-1, 1, 1, -1, 1, 1])
        assert hub.Rows(signs, "x").labels().meaning.names == ("-1", "1")

    def test_other_columns_are_not_decoded(self, rows):
        broken = [{"bytes": b"nothing", "path": None}] * 6
        masks = rows.add_column("mask", broken).cast_column("mask", datasets.Image())
        assert hub.Rows(masks, "x").read("row 2") == hub.Rows(rows, "all").read("row 2")

    def test_labels_without_names_and_without_labels(self, rows, tmp_path):
        plain = rows.cast_column("label", datasets.Value("int64"))
        assert inspect(saved(plain, tmp_path / "plain", "one part")).labels.meaning.names == ("0", "1")
        bare = saved(rows.remove_columns("label"), tmp_path / "bare", "one part")
        with pytest.raises(ValueError, match="bare cannot be used with labels: it has none"):
            inspect(bare, labels=True)
        unknown = datasets.Dataset.from_dict({"image": [picture(1), picture(2)], "label": [3, None]})
        with pytest.raises(ValueError, match="row 1 has no label in the column 'label'"):
            inspect(saved(unknown.cast_column("image", datasets.Image()), tmp_path / "some", "one part"), labels=True)

    def test_what_has_no_images(self, rows, tmp_path, monkeypatch):
        with pytest.raises(ValueError, match="texts has no column of images: id, label"):
            inspect(saved(rows.remove_columns("image"), tmp_path / "texts", "one part"))
        with pytest.raises(ValueError, match=r"none cannot be read: .*index out of range"):
            inspect(saved(rows.select([]), tmp_path / "none", "one part"))
        (tmp_path / "broken").mkdir()
        for name in ("state.json", "dataset_info.json"):
            (tmp_path / "broken" / name).write_text("{")
        with pytest.raises(ValueError, match="broken cannot be read") as caught:
            inspect(tmp_path / "broken")
        assert "\n" not in str(caught.value)
        monkeypatch.setattr(hub.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
        with pytest.raises(ValueError, match=r'need `datasets`: pip install "equipoise\[huggingface\]"'):
            inspect("hf://mine/pets")

    def test_a_run_on_rows_resumes(self, rows, tmp_path):
        data = saved(rows, tmp_path / "set", "one part")
        few = {
            "batch": 2,
            "size": "8",
            "network": "mlp(width=4, depth=1, z_dim=2)",
            "features": "pixels",
            "score_images": 2,
        }
        recipe = Recipe(data=str(data), images=8, save_every=4, precision="float32", labels=False, **few)
        stopped = iter([False, False, True])
        for _ in train(recipe, tmp_path / "run", stop=lambda: next(stopped)):
            pass
        for name in ("run", "whole"):
            for _ in train(recipe, tmp_path / name):
                pass
        ends = [
            load_checkpoint(RunFolder(tmp_path / name).newest_checkpoint(), torch.device("cpu"))
            for name in ("run", "whole")
        ]
        assert ends[0]["seen"] == 8
        for name, weight in ends[0]["nets"]["G"].items():
            assert torch.equal(weight, ends[1]["nets"]["G"][name])
