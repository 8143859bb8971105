"""Shards behind an address: read in parts, over HTTP and through any other file system that fsspec knows."""

import io
import json
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
import torch
from PIL import Image

from equipoise import cli
from equipoise.data import Format, batches, inspect, load, remote
from equipoise.recipe import Recipe
from equipoise.runs.paths import located

GREY = Format(1, 8, 8)


class Parts(SimpleHTTPRequestHandler):
    """Serves parts of files, but of those in "whole"; records what is asked, and how many bytes were sent."""

    asked: ClassVar[list[tuple[str, str, int]]] = []
    failing: ClassVar[int] = 0  # answers that fail first

    def send_head(self):
        if self.command == "GET" and Parts.failing:
            Parts.failing -= 1
            return self.send_error(503)
        file = Path(self.translate_path(self.path))
        if not file.exists():
            return self.send_error(404)
        content = file.read_bytes()
        first, last = 0, len(content) - 1
        if "/whole/" in self.path:
            return super().send_head()
        if part := self.headers.get("Range"):
            first, last = (int(end) for end in part.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        else:
            self.send_response(200)
        part = content[first : last + 1]
        Parts.asked.append((self.command, self.path, len(part) * (self.command == "GET")))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", str(hash(content)))
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        return io.BytesIO(part)

    def log_message(self, *words):
        """Nothing is printed."""


def pack(classes, beside=b""):
    """A .tar of samples "0000.png", "0000.cls" and something else, each of a single grey."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for number, (grey, name) in enumerate(classes):
            picture = io.BytesIO()
            Image.new("L", (8, 8), grey).save(picture, "PNG")
            for ending, content in (("png", picture.getvalue()), ("cls", name.encode()), ("bin", beside)):
                member = tarfile.TarInfo(f"{number:04d}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return whole.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three shards of four samples; the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSES", (0.0,))
    place = tmp_path / "set"
    place.mkdir()
    for shard in range(3):
        greys = [10 * (4 * shard + number + 1) for number in range(4)]
        (place / f"part-{shard}.tar").write_bytes(pack([(grey, "cat" if grey % 20 else "dog") for grey in greys]))
    return place


@pytest.fixture
def server(folder):
    """The address of a server of these."""
    Parts.asked = []
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Parts, directory=folder))
    threading.Thread(target=partial(httpd.serve_forever, 0.02), daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def address(server, name="part-{0..2}.tar"):
    return f"http://127.0.0.1:{server.server_port}/{name}"


def test_shards_of_a_server_are_those_of_a_folder(server, folder):
    near, far = (load(data, GREY, labels=True, memory_limit=0) for data in (folder, address(server)))
    assert (len(far), far.meaning.names, far.name) == (12, ("cat", "dog"), address(server))
    assert torch.equal(near.take(range(12)), far.take(range(12)))
    for workers in (0, 2):
        ours, theirs = (batches(each, 5, seed=1, start=3, workers=workers) for each in (near, far))
        for _ in range(3):
            (images, labels), (same_images, same_labels) = next(ours), next(theirs)
            assert torch.equal(images, same_images)
            assert torch.equal(labels, same_labels)


def test_headers_are_read_once_until_a_shard_is_another_one(server, folder):
    parts = lambda: [path for command, path, _ in Parts.asked if command == "GET"]
    assert inspect(address(server)).count == 12
    first = len(parts())
    assert inspect(address(server)).count == 12
    looked = len(parts()) - first  # at images, for their size
    assert looked == 12 < first
    fsspec.filesystem("http").invalidate_cache()
    (folder / "part-1.tar").write_bytes(pack([(99, "cat")]))
    assert load(address(server), GREY).take([4]).unique().tolist() == [99]
    for kept in (folder.parent / "cache" / "equipoise" / "shards").iterdir():
        kept.write_bytes(b"{")
    assert inspect(address(server)).count == 9


def test_any_other_address(folder):
    files = fsspec.filesystem("memory")
    for file in folder.iterdir():
        files.pipe(f"/set/{file.name}", file.read_bytes())
    assert load("memory://set/part-{0..2}.tar", GREY).take([11]).unique().tolist() == [120]
    assert inspect("memory://set/part-1.tar", labels=True).count == 4


def test_a_server_that_is_gone_is_no_broken_image(server, tmp_path, capsys):
    far = load(address(server), GREY, memory_limit=0)
    server.shutdown()
    server.server_close()
    fsspec.filesystem("http").invalidate_cache()
    for workers in (0, 1):
        with pytest.raises(ConnectionError, match=r"^http://127.*part-\d.tar cannot be reached: .*$"):
            next(batches(far, 4, seed=0, workers=workers))
    assert cli.main(["train", address(server), "--out", str(tmp_path / "run")]) != 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "cannot be reached" in line
    assert not (tmp_path / "run").exists()


def test_a_shard_that_is_gone_or_another_one_is_no_broken_image(server, folder):
    far = load(address(server), GREY, memory_limit=0)
    (folder / "part-1.tar").write_bytes(b"cut")
    with pytest.raises(ConnectionError, match=r"part-1.tar"):
        far.take([4])
    (folder / "part-1.tar").unlink()
    with pytest.raises(ConnectionError, match=r"there is no http.*part-1.tar"):
        far.take([4])


def test_an_answer_that_fails_is_asked_for_again(server, monkeypatch):
    monkeypatch.setattr(Parts, "failing", 3)  # which may all be answers for one of the shards
    monkeypatch.setattr(remote, "PAUSES", (0.0,) * 3)
    assert inspect(address(server)).count == 12


def test_an_index_is_read_without_what_lies_between(server, folder):
    (folder / "large.tar").write_bytes(pack([(10, "cat")] * 8, beside=bytes(2**18)))
    assert inspect(address(server, "large.tar")).count == 8
    assert sum(sent for _, path, sent in Parts.asked if path == "/large.tar") < 0.3 * 8 * 2**18


def test_shards_of_a_server_are_scored(server, folder, capsys):
    sides = address(server, "part-0.tar"), "--against", address(server, "part-{1..2}.tar")
    assert cli.main(["evaluate", *sides, "--metrics", "fd", "--features", "pixels(size=2)", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_real"] == 8


def test_a_recipe_keeps_the_address():
    assert located(Recipe(data="s3://bucket/set.tar")).data == "s3://bucket/set.tar"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.zip", r"x\.zip is no \.tar file"),
        ("missing.tar", r"there is no http.*missing\.tar"),
        ("part-{2..0}.tar", r"\{2\.\.0\} in http.* counts backwards: \{0\.\.2\}"),
        ("part-0.tar.gz", r"part-0\.tar\.gz is compressed"),
        ("whole/part-0.tar", r"part-0\.tar cannot be read: its server does not send parts of files"),
        ("notes.txt.tar", r"notes\.txt\.tar is no \.tar file that can be read"),
    ],
)
def test_what_is_no_shard_is_named(server, folder, name, message):
    (folder / "whole").mkdir()
    (folder / "whole" / "part-0.tar").write_bytes((folder / "part-0.tar").read_bytes())
    (folder / "notes.txt.tar").write_text("no shard, but a text that is long enough for a header" * 20)
    with pytest.raises(ValueError, match=message):
        inspect(address(server, name))


def test_an_unknown_kind_of_address_is_named():
    with pytest.raises(ValueError, match=r"nowhere://x\.tar cannot be read: Protocol not known: nowhere"):
        inspect("nowhere://x.tar")
