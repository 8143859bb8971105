"""Makes the built-in data set from the published idx files of Fashion-MNIST: python build_builtin_data.py FOLDER [OUT].

Training: the first 1,000 images of each class of the published training set, in their published order.
Held out: the first 200 of each class of the published test set. The same input gives the same bytes.
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np

from equipoise.data.idx import read_idx

OUT = Path(__file__).parents[1] / "src" / "equipoise" / "data" / "builtin" / "fashion_mnist.npz"
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """The sorted indices of the first `count` images of every class."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:count] for c in range(len(CLASSES))]))


def subset(folder: Path, part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The chosen images and labels of one published part."""
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz", 3)
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 1)
    chosen = first_of_each_class(labels, count)
    return images[chosen], labels[chosen]


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """All arrays of the built-in file by their keys."""
    images, labels = subset(folder, "train", 1000)
    held_out_images, held_out_labels = subset(folder, "t10k", 200)
    return {
        "images": images,
        "labels": labels,
        "classes": np.array(CLASSES),
        "held_out_images": held_out_images,
        "held_out_labels": held_out_labels,
    }


def write(path: Path, members: dict[str, np.ndarray]) -> None:
    """An npz file whose members are packed by LZMA, with a fixed date: equal arrays make equal files."""
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in members.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(info, buffer.getvalue(), compress_type=zipfile.ZIP_LZMA)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    write(Path(sys.argv[2]) if len(sys.argv) == 3 else OUT, arrays(Path(sys.argv[1])))
