import os

import numpy as np
import pytest
import torch
from small_runs import PLAIN, finish, small

os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Reference statistics go to a folder of the tests' own."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def arrays(tmp_path_factory):
    """Sixty labelled colour images of three kinds, as a file."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (rng.integers(0, 80, (60, 12, 10, 3)) + 80 * labels[:, None, None, None]).astype(np.uint8)
    file = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(file, images=images, labels=labels)
    return str(file)


@pytest.fixture(scope="session")
def finished(arrays, tmp_path_factory):
    """A finished run, for tests that only read it, and all that it told."""
    out = tmp_path_factory.mktemp("runs") / "done"
    return out, finish(small(PLAIN, arrays), out)
