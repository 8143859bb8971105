"""Several processes are one: the same global batch gives the same run, in everything that looks at a batch."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import pytest
import torch
from elsewhere import ranks
from torch import nn
from torch.distributed import HashStore

from equipoise import augment, games, layers, losses, metrics, norms, penalties, processes
from equipoise.data import Format, batches, inspect, load
from equipoise.growth import progressive
from equipoise.layers.whole_batch import AnyBatchNorm, synchronize
from equipoise.metrics import features
from equipoise.metrics.evaluation import Evaluation
from equipoise.metrics.generation import BATCH as BATCH_OF_IMAGES
from equipoise.metrics.generation import generate, latents
from equipoise.optimizers import adam
from equipoise.parts import Parts
from equipoise.processes import World
from equipoise.recipe import Recipe
from equipoise.runs.assemble import check_shares
from equipoise.training import Player, State, steps

BATCH, SIDE = 8, 4
pytestmark = pytest.mark.xdist_group("processes")  # what several processes come to is made once


class G(nn.Module):
    """Batch normalisation of torch's own and of ours, or none."""

    z_dim = 4

    def __init__(self, normalized=True):
        super().__init__()
        norms = [nn.BatchNorm1d(16), AnyBatchNorm(16)] if normalized else [nn.Identity(), nn.Identity()]
        self.body = nn.Sequential(nn.Linear(4, 16), norms[0], nn.ReLU(), nn.Linear(16, 16), norms[1], nn.Tanh())

    def forward(self, z):
        return self.body(z).reshape(-1, 1, SIDE, SIDE)


class D(nn.Module):
    """With features, and with a layer in which samples see each other."""

    def __init__(self, layer="", channels=1):
        super().__init__()
        std, discrimination = layer.endswith("std"), layer == "discrimination"
        self.convolution = nn.Conv2d(channels, 8, 3, 2, 1)
        self.std = layers.MinibatchStd(group=4) if std else nn.Identity()
        self.body = nn.Sequential(nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(36 if std else 32, 8))
        self.features = nn.Identity()
        self.discrimination = layers.MinibatchDiscrimination(8, kernels=3) if discrimination else nn.Identity()
        self.head = nn.Linear(11 if discrimination else 8, 1)

    def forward(self, x):
        features = self.features(self.body(self.std(self.convolution(x))))
        return self.head(self.discrimination(features)).squeeze(1)


GAMES = {
    "batch normalisation": lambda: games.adversarial(losses.hinge()),
    "R1": lambda: games.adversarial(losses.non_saturating(), [penalties.r1(every=2)], d_steps=2),
    "relativistic average": lambda: games.adversarial(losses.relativistic_average()),
    "dual contrastive": lambda: games.adversarial(losses.dual_contrastive()),
    "pulling away": lambda: games.adversarial(losses.hinge(), g_penalties=[penalties.pulling_away()]),
    "spectral normalisation": lambda: games.adversarial(losses.hinge()),
    "spectral regularization": lambda: games.adversarial(losses.hinge(), [penalties.spectral_regularization()]),
    "labels": lambda: games.adversarial(losses.hinge(), g_batch=16),
    "pieces": lambda: games.adversarial(losses.hinge(), [penalties.r1()]),
    "R1 over std": lambda: games.adversarial(losses.hinge(), [penalties.r1()]),
    "pairs": lambda: games.paired(),
    "buffers of fakes": lambda: games.cycle(buffer=12),
    "lecam": lambda: games.adversarial(losses.hinge(), [penalties.lecam(warm_up=1)]),
    "balance": lambda: games.adversarial(losses.boundary_equilibrium()),
    "adaptive augmentation": lambda: games.adversarial(
        losses.non_saturating(), augment=augment.ada(images=50, every=1, pipe=[])
    ),
    "g_batch": lambda: games.adversarial(losses.hinge(), g_batch=16),
    "features": lambda: games.adversarial(losses.feature_matching()),
    "std": lambda: games.adversarial(losses.hinge()),
    "discrimination": lambda: games.adversarial(losses.hinge()),
}


class Energy(nn.Module):
    """Minus the error of a small auto-encoder, for the game that balances energies."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(16, 16)

    def forward(self, x):
        return -(self.body(x.flatten(1)) - x.flatten(1)).abs().mean(1)


class Labelled(nn.Module):
    """A generator of classes, with batch normalisation that they choose."""

    z_dim = 4

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 16), layers.ConditionalBatchNorm(16, 3)

    def forward(self, z, labels):
        return self.norm(self.linear(z), labels).tanh().reshape(-1, 1, SIDE, SIDE)


class Projecting(D):
    """A discriminator that sees classes."""

    def __init__(self):
        super().__init__()
        self.classes = nn.Embedding(3, 8)

    def forward(self, x, labels):
        features = self.body(self.convolution(x))
        return self.head(features).squeeze(1) + (features * self.classes(labels)).sum(1)


def translator():
    return nn.Sequential(nn.Conv2d(1, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


NETWORKS = {
    "labels": lambda: {"G": Labelled(), "D": Projecting()},
    "pairs": lambda: {"G": translator(), "D": D(channels=2)},
    "pieces": lambda: {"G": G(normalized=False), "D": D()},  # batch normalisation would be that of a piece
    "buffers of fakes": lambda: {"G_ab": translator(), "G_ba": translator(), "D_a": D(), "D_b": D()},
    "balance": lambda: {"G": G(), "D": Energy()},
    "spectral normalisation": lambda: {"G": G(), "D": norms.apply(norms.spectral(), D())},
}
BATCHES = {
    "labels": lambda images: (images, (10 * images[:, 0, 0, 0]).long() % 3),
    "pairs": lambda images: (images, 1 - images),
    "buffers of fakes": lambda images: {"a": images, "b": 1 - images},
}


def played(name, world):
    """The state after a few rounds."""
    torch.manual_seed(world.rank)  # what the first process has counts
    players = GAMES[name]()
    nets = NETWORKS.get(name, lambda: {"G": G(), "D": D(name)})()
    state = State.start(nets, players, adam(), 1e-3)
    images = torch.randn(60, BATCH, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    stream = (BATCHES.get(name, lambda share: share)(world.share(batch)) for batch in images)
    pieces = 2 if name == "pieces" else 1
    for _, _ in zip(range(6), steps(state, stream, players, world=world, pieces=pieces), strict=False):
        pass
    return state.state_dict()


def scored(world):
    """The scores of a generator, how many images were seen, and which batches this process has made."""
    torch.manual_seed(0)
    G, made, count = Labelled().eval(), [], 4 * BATCH_OF_IMAGES + 3
    images = generate(G, latents(G, count, seed=0), torch.arange(count) % 3)
    real = Parts(lambda number: torch.full((4, 1, SIDE, SIDE), 50 * number, dtype=torch.uint8), 3)
    noted = lambda parts, name: Parts(lambda number: made.append(f"{name} {number}") or parts[number], len(parts))
    evaluation = Evaluation([metrics.fd(), metrics.kid()], features.pixels(), world=world)
    evaluation.feed(noted(real, "real"), real=True)
    seen = evaluation.feed(noted(images, "generated"), real=False)
    return {"values": evaluation.values() if world.leads else {}, "seen": seen, "made": made}


def rank(number, size, folder, names):
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet{size}", rank=number, world_size=size
    )
    found = {name: played(name, World(number, size)) for name in names}
    torch.set_default_dtype(torch.float32)
    found["scores"] = scored(World(number, size))
    torch.save(found, f"{folder}/{size}-{number}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two and four processes come to, the states of all of them."""
    folder, found = tmp_path_factory.mktemp("together"), {}
    for size in (2, 4):
        ranks(rank, (size, str(folder), [*GAMES]), size)
        found[size] = [torch.load(folder / f"{size}-{number}.pt", weights_only=True) for number in range(size)]
    return found


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("name", GAMES)
def test_processes_are_one(name, size, together):
    torch.set_default_dtype(torch.float64)
    try:
        alone = played(name, World())
    finally:
        torch.set_default_dtype(torch.float32)
    for state in together[size]:
        near(state[name], alone)


@pytest.mark.parametrize("size", [2, 4])
def test_scores_are_those_of_one_process_and_each_makes_a_part_of_the_images(size, together):
    alone, (first, *others) = scored(World()), [found["scores"] for found in together[size]]
    assert (first["values"], first["seen"]) == (alone["values"], 4 * BATCH_OF_IMAGES + 3)
    assert [other["seen"] for other in others] == [0] * (size - 1)
    made = [found["made"] for found in (first, *others)]
    assert {*chain(*made)} == {*alone["made"]}
    assert {*map(len, made)} == {-(-5 // size) + -(-3 // size)}  # in every turn all make something


def near(a, b):
    if isinstance(a, torch.Tensor):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)
    elif isinstance(a, dict):
        assert {*a} == {*b}
        [near(a[key], b[key]) for key in a]
    elif isinstance(a, list | tuple):
        [near(*pair) for pair in zip(a, b, strict=True)]
    else:
        assert a == b


@pytest.mark.parametrize("options", [{}, {"mirror": True}, {"dequantize": True}])
def test_shares_of_the_data_are_the_batches(options, tmp_path):
    file = tmp_path / "images.npz"
    np.savez(file, images=np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), dtype=np.uint8))
    dataset = load(inspect(str(file)), Format(1, 4, 4), False)
    of = lambda world: batches(dataset, BATCH, seed=3, world=world, **options)
    for _, (whole, _), *shares in zip(range(6), of(World()), *(of(World(r, 4)) for r in range(4)), strict=False):
        assert torch.equal(whole, torch.cat([images for images, _ in shares]))


def test_batches_of_later_levels_are_checked_before_a_run_begins():
    plan = progressive(hold=8, fade=8, start=4, batch={8: 6})
    check_shares(Recipe(batch=16, g_batch=16), plan, World(0, 2))
    with pytest.raises(ValueError, match="a batch of 6 images cannot be shared equally by 4 processes"):
        check_shares(Recipe(batch=16, g_batch=16), plan, World(0, 4))


def test_a_batch_normalisation_of_somebody_else_is_refused():
    class Own(nn.BatchNorm2d):
        pass

    with pytest.raises(ValueError, match="Own would normalise by the batch of one process alone"):
        synchronize(nn.Sequential(Own(3)))


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="3 processes cannot share 8 samples equally"):
        World(0, 3).share(torch.zeros(8))


def test_random_numbers_of_processes_are_their_own():
    seen = {}

    def objective(turn):
        seen[turn.world.rank] = torch.rand(4)
        return {}

    for number in (0, 1):
        players = {"d": Player(("D",), objective)}
        state = State.start({"D": nn.Linear(1, 1)}, players, adam(), 1e-3)
        next(steps(state, [torch.zeros(2, 1)], players, world=World(number, 1)))  # alone, under another number
    assert not torch.equal(seen[0], seen[1])


NAN = '''
import os


def bad():
    """nan, on one of the processes."""

    def penalty(critic, real, fake):
        late = critic.seen >= 64 and len(real) > 4 and os.environ.get("RANK") == "1"
        return critic(real).sum() * (float("nan") if late else 0.0)

    return penalty
'''

KILLED = '''
import os
import signal


def kills():
    """Nothing, but that the first attempt loses one of its processes."""

    def penalty(critic, real, fake):
        first = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0" and os.environ.get("RANK") == "1"
        if first and critic.seen >= 64 and len(real) > 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0 * critic(real).sum()

    return penalty
'''


def test_processes_that_begin_again_do_not_hear_those_that_have_ended():
    store = HashStore()

    def join(rank, late):
        time.sleep(late)
        return processes._of_attempt(store, rank, 3)

    for attempt, delays in enumerate(((0.0, 0.0, 0.0), (0.0, 0.1, 0.2), (0.2, 0.0, 0.1))):
        with ThreadPoolExecutor(3) as pool:
            found = [*pool.map(join, range(3), delays)]
        for rank, of_attempt in enumerate(found):
            assert not of_attempt.check([f"address {rank}"])
            of_attempt.set(f"address {rank}", f"{attempt}")
        assert [found[0].get(f"address {rank}") for rank in range(3)] == [b"%d" % attempt] * 3


class TestCommand:
    FLAGS = "--images 256 --batch 16 --size 8 --score-images 32 --features pixels(size=2) --score fd --augment none"
    NETWORK = "mlp(width=16, depth=1, z_dim=4)"

    @pytest.fixture
    def words(self, tmp_path):
        file = tmp_path / "tiny.npz"
        np.savez(file, images=np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), dtype=np.uint8))
        every = ["--score-every", "128", "--sample-every", "256", "--save-every", "32"]
        return ["train", str(file), *self.FLAGS.split(), "--network", self.NETWORK, *every]

    def start(self, words, out, processes, *flags):
        run = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={processes}",
            *flags,
            "-m",
        ]
        command = [*(run if processes > 1 else [sys.executable, "-m"]), "equipoise", *words, "--out", str(out)]
        variables = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def rows(self, out):
        rows = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
        return {row["seen"]: row["d.loss"] for row in rows}

    def test_two_processes_make_the_run_of_one(self, words, tmp_path):
        for count in (1, 2):
            process = self.start(words, tmp_path / f"{count}", count)
            said = process.communicate(timeout=120)[0]
            assert process.returncode == 0, said
        assert said.count("report: ") == 1
        alone, together = (self.rows(tmp_path / f"{count}") for count in (1, 2))
        assert alone == pytest.approx(together, rel=1e-3)
        scores = [json.loads(line)["fd"] for line in (tmp_path / "2" / "metrics.jsonl").read_text().splitlines()]
        assert len(scores) == 3

    def test_two_processes_make_the_images_of_one(self, words, tmp_path):
        self.start(words, tmp_path / "x", 1).communicate(timeout=120)
        for count in (1, 2):
            process = self.start(["sample", str(tmp_path / "x"), "--count", "150"], tmp_path / f"{count}.npz", count)
            said = process.communicate(timeout=120)[0]
            assert said.count("150 images") == 1, said
        alone, together = (np.load(tmp_path / f"{count}.npz")["images"] for count in (1, 2))
        assert alone.shape == (150, 1, 8, 8)
        assert (alone == together).all()

    @pytest.mark.parametrize("more", [[], ["--shard", "--penalties", "drift"]])
    def test_a_killed_process_ends_all_with_a_line_and_another_number_of_them_resumes(self, more, words, tmp_path):
        words[words.index("256")] = "6400"
        words += more
        run = self.start(words, tmp_path / "x", 2)
        while not list(tmp_path.glob("x/checkpoints/0*.pt")):
            time.sleep(0.05)
            assert run.poll() is None
        workers = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True).stdout.split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        said = run.communicate(timeout=120)[0]
        assert run.returncode != 0
        assert re.search(r"another process of the run has ended.*; the last good checkpoint is .*\d\.pt", said)
        again = self.start(words, tmp_path / "x", 1)
        said = again.communicate(timeout=120)[0]
        assert again.returncode == 0, said
        assert max(self.rows(tmp_path / "x")) == 6400

    def test_torchrun_begins_again_from_the_last_checkpoint(self, words, tmp_path):
        (tmp_path / "mine.py").write_text(KILLED)
        words += ["--penalties", f"{tmp_path / 'mine.py'}:kills"]
        run = self.start(words, tmp_path / "x", 2, "--max-restarts=1")
        said = run.communicate(timeout=120)[0]
        assert run.returncode == 0, said
        assert "resumed at 64 of 256 images" in said
        assert max(self.rows(tmp_path / "x")) == 256

    def test_one_line_says_what_is_wrong(self, words, tmp_path):
        run = self.start([*words, "--loss", "hing"], tmp_path / "x", 2)
        said = run.communicate(timeout=120)[0]
        assert run.returncode != 0
        assert said.count("losses has no 'hing' (did you mean 'hinge'?)") == 1
        words[words.index("16")] = "17"
        run = self.start([*words, "--g-batch", "17"], tmp_path / "x", 2)
        assert (
            run.communicate(timeout=120)[0].count("a batch of 17 images cannot be shared equally by 2 processes") == 1
        )
        assert not (tmp_path / "x").exists()

    def test_a_number_that_is_none_on_one_process_stops_all_with_one_message(self, words, tmp_path):
        (tmp_path / "mine.py").write_text(NAN)
        run = self.start([*words, "--penalties", f"{tmp_path / 'mine.py'}:bad"], tmp_path / "x", 2)
        said = run.communicate(timeout=120)[0]
        assert run.returncode != 0
        assert said.count("training broke after image 64") == 1
        assert max(int(file.stem) for file in tmp_path.glob("x/checkpoints/0*.pt")) <= 64
