"""The idx files of the MNIST family (LeCun, Cortes and Burges 1998): MNIST, Fashion-MNIST, KMNIST, EMNIST."""

import gzip
import re
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

IMAGES = re.compile(r"(?P<set>.*?)(?P<part>train|t10k|test)-images[-.]idx3-ubyte(\.gz)?$")


def images_file(folder: Path, parts: tuple[str, ...] = ("train",)) -> Path | None:
    """The first file of images of one of the parts in a folder, or None."""
    matches = (IMAGES.match(path.name) for path in sorted(folder.iterdir()))
    return next((folder / match.string for match in matches if match and match["part"] in parts), None)


def labels_file(images: Path) -> Path | None:
    """The file of labels that belongs to a file of images, or None."""
    name = images.name.removesuffix(".gz").replace("-images", "-labels").replace("idx3", "idx1")
    return next((path for path in (images.with_name(name), images.with_name(name + ".gz")) if path.is_file()), None)


def read_idx(path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """The array of bytes in an idx file, packed by gzip or not, checked against its header."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            header = np.frombuffer(stream.read(4 + 4 * dimensions), ">i4")
            if len(header) != 1 + dimensions or header[0] != 0x800 + dimensions or header[1:].min() < 0:
                raise ValueError(f"{path} is not an idx file of bytes with {dimensions} dimensions")
            shape = tuple(int(length) for length in header[1:])
            size = int(np.prod(shape, dtype=object))
            content = stream.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if len(content) != size:
        raise ValueError(f"{path} is truncated: its header says {size} bytes, it has {len(content)}")
    return np.frombuffer(content, np.uint8).reshape(shape)
