"""Labels of three kinds: where they come from, what networks see of them, what is refused."""

import io
import json
import os
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from equipoise.data import Format, Meaning, batches, inspect, load
from equipoise.data.label_tables import LabelTable, attributes, classes, named_classes, vectors
from equipoise.labels import LabelSpace

SMALL = Format(1, 8, 8)


def png(value):
    buffer = io.BytesIO()
    Image.new("L", (8, 8), value).save(buffer, "PNG")
    return buffer.getvalue()


def fill(folder, **files):
    """Three images, and files of labels."""
    for name, content in {"a.png": png(0), "b.png": png(1), "deep/c.png": png(2), **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def of(*labels):
    """A labels.json for the three images."""
    return json.dumps(dict(zip(("a.png", "b.png", "deep/c.png"), labels, strict=True)))


def table(folder, **files):
    return inspect(fill(folder, **files), labels=True).labels


@pytest.mark.parametrize(
    ("labels", "kind", "names", "values"),
    [
        (("dog", "cat", "dog"), "classes", ("cat", "dog"), [1, 0, 1]),
        ((10, 9, 10), "classes", ("9", "10"), [1, 0, 1]),
        ((["red"], [], ["round", "red"]), "attributes", ("red", "round"), [[1, 0], [0, 0], [1, 1]]),
        (([1, 0], [0, 0], [1, 1]), "attributes", ("attribute 0", "attribute 1"), [[1, 0], [0, 0], [1, 1]]),
        (([True], [False], [True]), "attributes", ("attribute 0",), [[1], [0], [1]]),
        ((True, False, True), "attributes", ("attribute 0",), [[1], [0], [1]]),
        (({"x": True, "y": False}, {"y": True, "x": False}, {"x": True, "y": True}), "attributes", ("x", "y"), None),
        (({"x": 1}, {"x": 0}, {"x": 0}), "attributes", ("x",), [[1], [0], [0]]),
        (([1.5, 2], [0, 0], [1, 1]), "vectors", ("number 0", "number 1"), [[1.5, 2], [0, 0], [1, 1]]),
        (({"age": 31.5}, {"age": 2}, {"age": 4}), "vectors", ("age",), [[31.5], [2], [4]]),
        ((1.5, 2, 3), "vectors", ("number 0",), [[1.5], [2], [3]]),
    ],
)
@pytest.mark.parametrize("form", ["object", "pairs"])
def test_json(tmp_path, form, labels, kind, names, values):
    content = of(*labels)
    if form == "pairs":
        content = json.dumps({"labels": list(json.loads(content).items())})
    found = table(tmp_path, **{"labels.json" if form == "object" else "dataset.json": content})
    assert (found.meaning.kind, found.meaning.names) == (kind, names)
    assert found.values.tolist() == (values or [[1, 0], [0, 1], [1, 1]])


@pytest.mark.parametrize(
    ("text", "kind", "names", "values"),
    [
        ("file,kind\na.png,dog\nb.png,cat\ndeep/c.png,dog\n", "classes", ("cat", "dog"), [1, 0, 1]),
        ("file,n\na.png,10\nb.png,9\ndeep/c.png,10\n", "classes", ("9", "10"), [1, 0, 1]),
        ("file,s,g\na.png,1,0\nb.png,0,0\ndeep/c.png,1,1", "attributes", ("s", "g"), [[1, 0], [0, 0], [1, 1]]),
        (
            "file,s,g\r\na.png,True,false\r\nb.png,0,0\r\ndeep/c.png,1,1",
            "attributes",
            ("s", "g"),
            [[1, 0], [0, 0], [1, 1]],
        ),
        ("\ufefffile,age\na.png,1\nb.png,2.5\n\n./deep/c.png,-3", "vectors", ("age",), [[1], [2.5], [-3]]),
        ("file,x,y\na.png,1,0\nb.png, 0,2\ndeep/c.png,1,1", "vectors", ("x", "y"), [[1, 0], [0, 2], [1, 1]]),
    ],
)
def test_csv(tmp_path, text, kind, names, values):
    found = table(tmp_path, **{"labels.csv": text})
    assert (found.meaning.kind, found.meaning.names) == (kind, names)
    assert found.values.tolist() == values


def test_a_file_of_labels_wins_over_folders(tmp_path):
    files = {"cat/1.png": png(1), "dog/2.png": png(2)}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
    assert inspect(tmp_path).labels.meaning.names == ("cat", "dog")
    (tmp_path / "dataset.json").write_text('{"labels": null}')
    assert inspect(tmp_path).labels.meaning.names == ("cat", "dog")
    (tmp_path / "labels.json").write_text('{"cat/1.png": "old", "dog/2.png": "new"}')
    assert inspect(tmp_path).labels.meaning.names == ("new", "old")


@pytest.mark.parametrize(("top", "inside"), [("", True), ("set/", True), ("set/", False), ("set/deep/", True)])
def test_labels_in_a_zip(tmp_path, top, inside):
    """At the root, or beside the images of the one folder that is packed."""
    labels = {f"{'' if inside else top}{name}.png": [number, 0.5] for number, name in enumerate("ab")}
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(f"{top}b.png", png(1))
        archive.writestr(f"{top}a.png", png(0))
        archive.writestr(f"{top if inside else ''}labels.json", json.dumps(labels))
    assert inspect(tmp_path / "x.zip", labels=True).labels.values.tolist() == [[0, 0.5], [1, 0.5]]


@pytest.mark.parametrize(
    ("labels", "kind", "names"),
    [
        (np.array([[True, False], [False, False]]), "attributes", ("attribute 0", "attribute 1")),
        (np.array([[1, 0], [0, 0]]), "attributes", ("attribute 0", "attribute 1")),
        (np.array([True, False]), "attributes", ("attribute 0",)),
        (np.array([0.5, 2.0], np.float32), "vectors", ("number 0",)),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), "vectors", ("number 0", "number 1")),
    ],
)
@pytest.mark.parametrize("key", [None, "classes", "names"])
def test_arrays(tmp_path, labels, kind, names, key):
    given_names = tuple("xy"[: len(names)])
    named = {} if key is None else {key: np.array(given_names)}
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 8, 8), np.uint8), labels=labels, **named)
    found = inspect(tmp_path / "x.npz", labels=True).labels
    assert (found.meaning.kind, found.meaning.names) == (kind, given_names if key else names)
    assert found.values.tolist() == labels.reshape(2, -1).tolist()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0.5, np.nan]), r"the label of image 1 is \[nan\], not finite"),
        (np.array([[0, 2], [1, 1]]), r"labels must be n = 2 integers .* got int64\[2, 2\]"),
        (np.zeros((2, 0)), "labels must be n = 2"),
        (np.zeros((3, 1)), "labels must be n = 2"),
        (np.zeros((2, 1, 1)), "labels must be n = 2"),
        (np.array(["cat", "dog"]), "labels must be n = 2"),
        (np.zeros((2, 3)), "1 names, but labels of 3 parts"),
    ],
)
def test_refused_arrays(tmp_path, labels, message):
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 8, 8), np.uint8), labels=labels, names=np.array(["a"]))
    inspect(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=message):
        inspect(tmp_path / "x.npz", labels=True)


BAD = [
    ({"labels.json": '{"a.png": "x"}'}, "has no label for 2 of 3 images, first 'b.png'"),
    ({"labels.json": of("x", "y", "z")[:-1] + ', "d.png": "x"}'}, "labels 1 images that are not there, first 'd.png'"),
    ({"labels.json": of("x", 1, "z")}, "'a.png' has a name and 'b.png' has a number"),
    ({"labels.json": of([1], [1, 2], [1])}, "'a.png' has 1 parts and 'b.png' has 2 parts"),
    ({"labels.json": of({"x": 1}, {"x": 1}, {"y": 1})}, "'a.png' has the names x and 'deep/c.png' has the names y"),
    ({"labels.json": of([1.0], [float("nan")], [1])}, r"the label of 'b.png' is \[nan\], but numbers are finite"),
    ({"labels.json": of(0.5, 10**400, 1)}, "the label of 'b.png' is .*, but numbers are finite"),
    ({"labels.json": of("x", None, "z")}, "the label of 'b.png' is None, but a label is a class name or number"),
    ({"labels.json": of([1], ["x", 2], [1])}, r"the label of 'b.png' is \['x', 2\], but a label is"),
    ({"labels.json": of([1], [[1]], [1])}, r"the label of 'b.png' is \[\[1\]\], but a label is"),
    ({"labels.json": of({"x": True}, {"x": 2}, {"x": 3})}, "an object of booleans and 'b.png' has an object of num"),
    ({"labels.json": of({}, {}, {})}, r"the label of 'a.png' is {}"),
    ({"labels.json": of([], [], [])}, "no image has an attribute"),
    ({"labels.json": of("", "", "")}, "the label of 'a.png' is ''"),
    ({"labels.json": "[" * 100_000}, "labels.json cannot be read"),
    ({"labels.json": "nonsense"}, "labels.json cannot be read"),
    ({"labels.json": b"\xff\xfe\xff"}, "labels.json is not text in UTF-8"),
    ({"labels.json": "[]"}, "must be an object, file: label, not a list"),
    ({"dataset.json": '{"labels": [["a.png"]]}'}, r"\['a.png'\] in \"labels\" is no pair"),
    ({"dataset.json": '{"labels": [["a.png", 1], ["./a.png", 1]]}'}, "labels './a.png' twice"),
    ({"labels.csv": ""}, "needs a header and at least two columns"),
    ({"labels.csv": "file\na.png"}, "needs a header and at least two columns"),
    ({"labels.csv": "file,x\na.png,1,2"}, "'a.png' has 2 labels, but the header names 1"),
    ({"labels.csv": "file,x\na.png,1\nb.png,nan\ndeep/c.png,1"}, r"the label of 'b.png' is \[nan\]"),
    ({"labels.csv": "file,x,y\na.png,1,0\nb.png,red,0"}, "'red' is no number"),
    ({"labels.csv": "file,x\na.png,dog\nb.png,\ndeep/c.png,dog"}, "the label of 'b.png' is ''"),
    ({"labels.csv": 'file,x\na.png,"'}, "labels.csv cannot be read"),
    ({"labels.csv": b"file,x\na.png,\xff"}, "labels.csv is not text in UTF-8"),
]


@pytest.mark.parametrize(("files", "message"), BAD)
def test_refused_files_get_one_line_and_do_not_hinder_a_run_without_labels(tmp_path, files, message):
    fill(tmp_path, **files)
    assert len(load(tmp_path, SMALL)) == 3
    with pytest.raises(ValueError, match=message) as caught:
        inspect(tmp_path, labels=True)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_run_without_labels_never_sees_them(tmp_path, monkeypatch):
    monkeypatch.setattr("equipoise.data.label_files.read", lambda *_: pytest.fail("read the labels"))
    fill(tmp_path, **{"labels.json": of([0.5], [1.5], [2.5])})
    dataset = load(tmp_path, SMALL)
    assert dataset.labels is None
    assert dataset.meaning == Meaning()
    assert dataset.meaning.space == LabelSpace()
    assert next(batches(dataset, 2, 0))[1] is None


def test_labels_of_files_are_data_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    evil = f"__import__('os').system('touch {trace}')"
    found = table(tmp_path / "x", **{"labels.json": of(evil, "b", "c")})
    assert evil in found.meaning.names
    assert not trace.exists()
    assert not os.path.exists("trace")  # noqa: PTH110


def test_labels_stay_with_their_images_when_some_are_broken(tmp_path):
    fill(tmp_path, **{"labels.json": of([0.5], [1.5], [2.5]), "b.png": b"broken"})
    dataset = load(tmp_path, SMALL, labels=True)
    assert dataset.labels.values.tolist() == [[0.5], [2.5]]


@pytest.mark.parametrize("limit", [0, 10**6])
def test_batches_hold_what_networks_see(tmp_path, limit):
    fill(tmp_path, **{"labels.json": of([10.0, 7.0], [20.0, 7.0], [30.0, 7.0])})
    dataset = load(tmp_path, SMALL, labels=True, memory_limit=limit)
    images, labels = next(batches(dataset, 3, 0, workers=0))
    assert labels.dtype == torch.float32
    numbers = ((images[:, 0, 0, 0] + 1) * 127.5).round()
    torch.testing.assert_close(labels[:, 0], (numbers - 1) / (2 / 3) ** 0.5)
    assert labels[:, 1].tolist() == [0, 0, 0]  # a constant keeps the deviation 1


ROWS = arrays(np.float64, st.tuples(st.integers(2, 9), st.integers(1, 4)), elements=st.floats(-1e9, 1e9))


@given(ROWS)
def test_vectors_are_standardised(rows):
    found = vectors(rows)
    assert (found.space.kind, found.space.size) == ("vectors", rows.shape[1])
    seen = found.tensor()
    assert seen.isfinite().all()
    std = np.array(found.meaning.std)
    assert (std > 0).all()
    units = seen.double().numpy() * std + found.meaning.mean
    np.testing.assert_allclose(units, rows, rtol=1e-5, atol=1e-5 * std.max() + 1e-5 * np.abs(rows).max())
    spread = np.ptp(rows, axis=0) > 1e-3 * (1 + np.abs(rows).max())
    np.testing.assert_allclose(seen.numpy()[:, spread].std(0), 1, atol=1e-3)


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.3, -7.7])
def test_a_constant_column_keeps_deviation_one(value):
    found = vectors(np.full((7, 1), value))
    assert found.meaning.std == (1.0,)
    torch.testing.assert_close(found.tensor(), torch.zeros(7, 1), atol=1e-6, rtol=0)


class TestMeaning:
    PETS = Meaning("classes", ("cat", "dog", "0"))
    FACES = attributes(np.eye(3, dtype=bool), ("smile", "glasses", "hat")).meaning
    SIZES = vectors(np.array([[1.0, 10.0], [3.0, 30.0]]), ("age", "height")).meaning

    @pytest.mark.parametrize(
        ("meaning", "texts", "values"),
        [
            (PETS, ["dog", "1", "0", "2"], [1, 1, 2, 2]),  # a name wins over a number
            (FACES, ["hat,smile", "none", "0,1,0"], [[1, 0, 1], [0, 0, 0], [0, 1, 0]]),
            (SIZES, ["1,2.5", "-1e2,0"], [[1, 2.5], [-100, 0]]),
        ],
    )
    def test_labels_that_a_user_names(self, meaning, texts, values):
        assert meaning.parse(texts).tolist() == values

    @pytest.mark.parametrize(
        ("meaning", "text", "message"),
        [
            (PETS, "dgo", r"there is no class 'dgo' \(did you mean 'dog'\?\); choices: cat, dog, 0"),
            (PETS, "3", "there is no class '3'"),
            (FACES, "smile,hut", r"there is no attribute 'hut' \(did you mean 'hat'\?\)"),
            (FACES, "0,1", "there is no attribute '0'"),
            (SIZES, "1", "a label of this run is 2 numbers joined by commas: age,height, not '1'"),
            (SIZES, "1,x", "not '1,x'"),
            (SIZES, "1,nan", "not '1,nan'"),
            (Meaning(), "cat", "there is no label 'cat': the run was trained without labels"),
        ],
    )
    def test_mistakes(self, meaning, text, message):
        with pytest.raises(ValueError, match=message):
            meaning.parse([text])

    @pytest.mark.parametrize("meaning", [Meaning(), PETS, FACES, SIZES])
    def test_it_survives_as_json(self, meaning):
        assert Meaning.from_json(json.loads(json.dumps(meaning.to_json()))) == meaning

    @pytest.mark.parametrize("meaning", [Meaning(), PETS, FACES, SIZES])
    @pytest.mark.parametrize(
        "changes",
        [
            {"kind": "clases"},
            {"kind": ["classes"]},
            {"names": None},
            {"names": [1, 2, 3]},
            {"names": ["x", "y", "z", "w"], "kind": "vectors"},
            {"mean": ["x"], "std": ["x"]},
            {"examples": [[0.5]]},
            {"examples": "no"},
        ],
    )
    def test_other_json_is_refused(self, meaning, changes):
        with pytest.raises(ValueError, match="labels have kind, names, mean, std and examples"):
            Meaning.from_json(json.loads(json.dumps(meaning.to_json())) | changes)

    @pytest.mark.parametrize("values", [None, [], "x", {}])
    def test_what_is_no_object_is_refused(self, values):
        with pytest.raises(ValueError, match="labels have kind"):
            Meaning.from_json(values)

    def test_examples_are_rows_of_the_data_and_always_the_same(self):
        rows = np.random.default_rng(0).normal(size=(100, 2))
        first, again = vectors(rows).meaning.examples, vectors(rows).meaning.examples
        assert first == again
        assert len(set(first)) == 64
        assert set(first) <= {tuple(row) for row in rows.tolist()}
        assert len(vectors(rows[:3]).meaning.examples) == 64
        assert self.PETS.examples == ()

    def test_what_is_known_without_data(self):
        assert Meaning().representatives() is None
        assert self.PETS.representatives().tolist() == [0, 1, 2]
        assert self.FACES.representatives().dtype == torch.bool
        assert self.SIZES.representatives().shape == (64, 2)

    def test_networks_see_standard_units_and_mixtures(self):
        assert self.SIZES.for_networks(self.SIZES.parse(["2,20", "3,30"])).tolist() == [[0, 0], [1, 1]]
        mixed = self.PETS.for_networks(self.PETS.mixable(torch.tensor([1])))
        assert (mixed.dtype, mixed.tolist()) == (torch.float32, [[0, 1, 0]])
        assert self.PETS.for_networks(torch.tensor([2])).dtype == torch.int64


class TestLike:
    def test_held_out_labels_are_standardised_as_those_of_training(self):
        train, held_out = vectors(np.array([[0.0], [2.0]])), vectors(np.array([[5.0], [5.0]]))
        assert held_out.like(train.meaning).tensor().tolist() == [[4], [4]]

    def test_classes_are_numbered_by_name(self):
        held_out = named_classes(["c", "a"])
        assert held_out.like(Meaning("classes", ("a", "b", "c"))).values.tolist() == [2, 0]

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            (classes([0], ("x",)), Meaning("classes", ("a", "b"))),
            (classes([0], ("x",)), attributes(np.array([[True]]), ("x",)).meaning),
            (attributes(np.array([[True]]), ("x",)), attributes(np.array([[True, True]]), ("x", "y")).meaning),
            (vectors(np.array([[0.5]]), ("x",)), Meaning()),
        ],
    )
    def test_labels_that_do_not_agree_are_refused(self, ours: LabelTable, theirs):
        with pytest.raises(ValueError, match="labels do not agree with those of training"):
            ours.like(theirs)

    def test_a_digest_identifies_labels(self):
        tables = [
            *(classes([0, 1], "ab"), classes([1, 0], "ab"), classes([0, 1], "ac")),
            *(vectors(np.eye(2)), vectors(2 * np.eye(2)), attributes(np.eye(2, dtype=bool))),
        ]
        assert len({found.digest() for found in tables}) == len(tables)
        assert classes([0, 1], "ab").digest() == tables[0].digest()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.png,1\nb.png,2\ndeep/c.png,3\n", "needs a header: its first line is already that of 'a.png'"),
        ("file;class\na.png;1\n", "two columns: file, label, joined by commas, not by ';'"),
        (
            "file,class\nA.png,1\nb.png,2\ndeep/c.png,3\n",
            "no label for 1 of 3 images, first 'a.png'; it labels 'A.png'",
        ),
        ("file,class\n\xe9.png,1\n".encode("latin-1"), "is not text in UTF-8; save it as UTF-8"),
    ],
)
def test_usual_mistakes_in_a_table_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        table(tmp_path, **{"labels.csv": content})


def test_spaces_around_commas_do_not_count(tmp_path):
    labels = table(tmp_path, **{"labels.csv": "file , smile , red\na.png , 1 , 0\nb.png, 0, 0\ndeep/c.png ,1,1\n"})
    assert labels.meaning.names == ("smile", "red")
    assert labels.values.tolist() == [[True, False], [False, False], [True, True]]
