"""The stream of batches is a pure function of the seed and the position."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from equipoise.data import Format, batches, inspect, load
from equipoise.data.batches import scaled, steps
from equipoise.ranges import BYTES

FORMAT = Format(3, 8, 6)


def pairs(images, batch, seed, start, length):
    """The first `length` (index, mirrored) pairs of a stream."""
    order, mirrored = [], []
    for indices, flips in islice(steps(images, batch, seed, start), -(-length // batch)):
        assert len(indices) == len(flips) == batch
        order += indices.tolist()
        mirrored += flips.tolist()
    return list(zip(order, mirrored, strict=True))[:length]


SIZES = {"images": st.integers(1, 12), "seed": st.integers(0, 2**40), "start": st.integers(0, 40)}


@settings(max_examples=80, deadline=None)
@given(**SIZES, batch=st.integers(1, 30), other=st.integers(1, 30))
def test_the_stream_does_not_depend_on_the_batch_size(images, seed, start, batch, other):
    assert pairs(images, batch, seed, start, 60) == pairs(images, other, seed, start, 60)


@settings(max_examples=80, deadline=None)
@given(**SIZES, batch=st.integers(1, 30))
def test_a_resumed_stream_goes_on(images, seed, start, batch):
    assert pairs(images, batch, seed, 0, start + 30)[start:] == pairs(images, batch, seed, start, 30)


@settings(max_examples=80, deadline=None)
@given(images=SIZES["images"], seed=SIZES["seed"], batch=st.integers(1, 30), epochs=st.integers(1, 4))
def test_every_epoch_shows_every_image_once(images, seed, batch, epochs):
    order = [index for index, _ in pairs(images, batch, seed, 0, images * epochs)]
    assert np.array_equal(np.sort(np.reshape(order, (epochs, images))), np.tile(np.arange(images), (epochs, 1)))


def test_epochs_and_seeds_differ():
    stream = pairs(200, 7, 0, 0, 400)
    assert stream[:200] != stream[200:]
    assert stream != pairs(200, 7, 1, 0, 400)
    assert 150 < sum(mirrored for _, mirrored in stream) < 250


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Nine images of noise in three classes."""
    path = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    for k in range(9):
        (path / f"class{k % 3}").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8)).save(path / f"class{k % 3}" / f"{k}.png")
    return path


def some(dataset, count, **options):
    stream = batches(dataset, **{"batch": 4, "seed": 5} | options)
    found = list(islice(stream, count))
    stream.close()
    return found


def same(first, second):
    return all(torch.equal(a, b) and torch.equal(k, m) for (a, k), (b, m) in zip(first, second, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("options", [{"mirror": True}, {"dequantize": True, "start": 7}])
def test_streaming_is_bit_for_bit_as_in_memory(folder, workers, options):
    kept = load(folder, FORMAT, labels=True)
    streamed = load(folder, FORMAT, labels=True, memory_limit=9 * 144 - 1)
    assert (kept.images is None, streamed.images is None) == (False, True)
    assert same(some(kept, 6, **options), some(streamed, 6, workers=workers, **options))


def test_images_and_labels_belong_together(folder):
    dataset = load(folder, FORMAT, labels=True)
    plan = islice(steps(9, 4, 5), 4)
    for (images, labels), (order, mirrored) in zip(some(dataset, 4, mirror=True), plan, strict=True):
        raw = dataset.images[order]
        expected = torch.stack([x.flip(-1) if m else x for x, m in zip(raw, mirrored, strict=True)])
        assert torch.equal(images, expected / 127.5 - 1)
        assert torch.equal(labels, dataset.labels.tensor()[order])
    assert some(load(folder, FORMAT), 1)[0][1] is None
    assert torch.equal(some(dataset, 1)[0][0], dataset.images[next(steps(9, 4, 5))[0]] / 127.5 - 1)


def test_values():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    plain = scaled(levels, BYTES)
    assert (plain.dtype, plain.min(), plain.max()) == (torch.float32, -1, 1)
    assert torch.equal(((plain + 1) * 127.5).round().to(torch.uint8), levels)
    many = levels.expand(400, 1, 16, 16)
    noisy = scaled(many, BYTES, (3, 0))
    grey = (noisy + 1) * 128 - many
    assert grey.min() >= 0
    assert grey.max() <= 1
    assert abs(grey.mean() - 0.5) < 0.01
    assert abs(grey.var() - 1 / 12) < 0.01


def test_noise_belongs_to_the_seed_and_position(folder):
    dataset = load(folder, FORMAT, labels=True)
    whole = some(dataset, 6, dequantize=True)
    assert same(whole[3:], some(dataset, 3, dequantize=True, start=12))
    first, second = scaled(dataset.images, BYTES, (5, 0)), scaled(dataset.images, BYTES, (5, 4))
    assert not torch.equal(first, second)
    assert not torch.equal(first, scaled(dataset.images, BYTES, (6, 0)))


def global_states():
    """Not that of `random`, which the type checker of the tests draws from."""
    return torch.get_rng_state().tolist(), repr(np.random.get_state())  # noqa: NPY002


@pytest.mark.parametrize("limit", [0, 10**6])
def test_global_random_states_are_untouched(folder, limit):
    before = global_states()
    dataset = load(folder, FORMAT, memory_limit=limit)
    some(dataset, 5, mirror=True, dequantize=True, workers=2)
    assert global_states() == before
    expected = some(dataset, 2, dequantize=True, workers=0)
    torch.rand(7)
    assert all(
        torch.equal(a, b) for (a, _), (b, _) in zip(expected, some(dataset, 2, dequantize=True, workers=0), strict=True)
    )


@pytest.mark.parametrize("end", ["close", "forget"])
def test_workers_end_with_the_iterator(folder, end):
    stream = batches(load(folder, FORMAT, memory_limit=0), 4, 5, workers=2)
    next(stream)
    assert len(multiprocessing.active_children()) == 2
    if end == "close":
        stream.close()
    del stream
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_files_do_not_end_a_stream(tmp_path, caplog, workers):
    for k in range(4):
        (tmp_path / f"class{k}").mkdir()
        Image.new("L", (6, 8), k).save(tmp_path / f"class{k}" / "x.png")
    (tmp_path / "class2" / "x.png").write_bytes(b"")
    dataset = load(tmp_path, FORMAT, labels=True, memory_limit=0)
    with caplog.at_level(logging.WARNING):
        found = some(dataset, 5, workers=workers)
    for images, labels in found:
        assert torch.equal(((images[:, 0, 0, 0] + 1) * 127.5).round().long(), labels)  # the label of what is shown
        assert 2 not in labels
    assert same(found, some(dataset, 5, workers=workers))
    assert [r.getMessage() for r in caplog.records] == ["skipped class2/x.png: the file is empty"]
    with pytest.raises(ValueError, match=r"^class2/x\.png: the file is empty$"):
        some(load(inspect(tmp_path), FORMAT, strict=True, memory_limit=0), 5, workers=workers)


INTERRUPTED = """
import random, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background has been told to ignore it
from equipoise.data import Format, batches, load
before = random.getstate()
stream = batches(load(sys.argv[1], Format(3, 8, 6), memory_limit=0), 4, 0, workers=2)
try:
    while True:
        [next(stream) for _ in range(4)]  # so that both workers are at work
        print(random.getstate() == before, flush=True)
        time.sleep(30)
except KeyboardInterrupt:
    assert [len(next(stream)[0]) for _ in range(30)] == [4] * 30  # a last step is still possible
    stream.close()
    print("stopped", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_the_random_state_is_untouched_and_an_interrupt_prints_no_traceback(folder):
    command = [sys.executable, "-c", INTERRUPTED, str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "True\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the reader and its workers
    out, err = process.communicate(timeout=120)
    assert (out.splitlines()[-1], err, process.returncode) == ("stopped", "", 0)


@pytest.mark.parametrize(("name", "value"), [("batch", 0), ("seed", -1), ("start", -1), ("workers", -1)])
def test_impossible_arguments(folder, name, value):
    with pytest.raises(ValueError, match=rf"{name} must be at least \d, not {value}"):
        batches(load(folder, FORMAT), **{"batch": 4, "seed": 0} | {name: value})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("limit", [0, 10**6])
def test_cuda(folder, limit):
    dataset = load(folder, FORMAT, labels=True, memory_limit=limit)
    on_device = some(dataset, 4, mirror=True, device="cuda")
    assert all(images.is_cuda and labels.is_cuda for images, labels in on_device)
    assert same([(i.cpu(), k.cpu()) for i, k in on_device], some(dataset, 4, mirror=True))
