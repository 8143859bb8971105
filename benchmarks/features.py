"""Feature vectors per second: our Inception and MobileNet next to torch-fidelity's Inception, in one process.

The networks run in turn, so that other work on the machine slows all alike; ratios are of the best times. Inception has
the same random weights on both sides, and their outputs are compared. Without torch-fidelity ours are timed alone.

    python benchmarks/features.py [--images 32] [--size 32] [--rounds 5]
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from types import ModuleType

import torch

from equipoise.metrics import features
from equipoise.metrics.features import batch_norm, inception_v3
from equipoise.metrics.full_precision import frozen, rows


def published_weights():
    """Random tensors by the names and of the shapes of the published file; activations keep their size."""
    tensors = {"fc.weight": torch.randn(1008, 2048) / 45, "fc.bias": torch.zeros(1008)}
    with torch.device("meta"):
        net = inception_v3.Inception()
    for name, layer in net.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            fan = layer.weight[0].numel()
            tensors[f"{name}.conv.weight"] = torch.randn(layer.weight.shape) * (2 / fan) ** 0.5
            for part, low in (("weight", 0.5), ("running_var", 0.5), ("bias", -0.1), ("running_mean", -0.1)):
                tensors[f"{name}.bn.{part}"] = torch.rand(len(layer.weight)) * 0.2 + low
    return tensors


def ours(tensors, precision=torch.float32):
    """Our Inception with these weights, as `features.inception` runs it."""
    net = inception_v3.Inception()
    folded = batch_norm.folded(tensors, inception_v3.EPS)
    net.load_state_dict({name.replace(".conv.", "."): tensor for name, tensor in folded.items()})
    return partial(rows, frozen(net.to(precision)))


def torch_fidelity(tensors):
    """torch-fidelity's Inception with these weights, or None where the library is missing."""
    package = importlib.util.find_spec("torch_fidelity")
    if package is None:
        return None
    alone = sys.modules["torch_fidelity"] = ModuleType("torch_fidelity")  # the package itself imports torchvision
    alone.__path__ = list(package.submodule_search_locations)
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(tensors, path)
        net = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path))

    @torch.no_grad()
    def look(images):
        return net(images)[0]

    return look


def best_times(looks, images, rounds):
    """The shortest time of each and its last rows; the first round warms up."""
    times, vectors = {name: [] for name in looks}, {}
    for _ in range(rounds + 1):
        for name, look in looks.items():
            start = time.process_time()
            vectors[name] = look(images)
            times[name].append(time.process_time() - start)
    return {name: min(taken[1:]) for name, taken in times.items()}, vectors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    tensors = published_weights()
    other = torch_fidelity(tensors)
    looks = {"inception": ours(tensors), "mobilenet": features.mobilenet()}
    looks |= {"inception in bfloat16": ours(tensors, torch.bfloat16)}
    looks |= {"torch-fidelity": other} if other else {}
    images = torch.randint(256, (options.images, 3, options.size, options.size), dtype=torch.uint8)
    times, vectors = best_times(looks, images, options.rounds)
    print(f"cpu, torch {torch.__version__}, {torch.get_num_threads()} threads, {options.images} images")
    for name, seconds in times.items():
        beside = f"  {times['torch-fidelity'] / seconds:6.2f} times torch-fidelity's" if other else ""
        print(f"{name:22}{options.images / seconds:8.1f} images/s{beside}")
    if other:
        for name in ("inception in bfloat16", "inception"):
            error = (vectors[name] - vectors["torch-fidelity"]).abs().max() / vectors["torch-fidelity"].std()
            print(f"largest difference of {name} from torch-fidelity's: {error:.1e} of the deviation of the vectors")
    else:
        print("torch-fidelity is not installed: there is nothing to compare with")


if __name__ == "__main__":
    main()
