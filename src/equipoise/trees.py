"""Trees of tensors: a tensor, or lists, tuples and dictionaries of trees; what batches and discriminators' outputs are.

Leaves that are no tensors, such as None for missing labels, stay as they are.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .checks import check_pieces


def leaves(tree: Any) -> list[Tensor]:
    """All tensors, from left to right.

    >>> len(leaves({"images": torch.zeros(4, 3), "labels": [torch.zeros(4), None]}))
    2
    """
    if isinstance(tree, Tensor):
        return [tree]
    branches = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [leaf for branch in branches for leaf in leaves(branch)]


def map_leaves(change: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same tree with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {name: map_leaves(change, branch) for name, branch in tree.items()}
    if isinstance(tree, list | tuple):
        branches = [map_leaves(change, branch) for branch in tree]
        return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)
    return tree


def first(batch: Any) -> Tensor:
    """The first tensor of a batch; raises ValueError where there is none with a dimension for samples."""
    tensors = leaves(batch)
    if not tensors or not tensors[0].ndim:
        raise ValueError(f"a batch is a tree of tensors [batch, ...], and there is none in this {type(batch).__name__}")
    return tensors[0]


def size(batch: Any) -> int:
    """How many samples a batch has: the first dimension of its first tensor."""
    return len(first(batch))


def split(batch: Any, pieces: int) -> list[Any]:
    """The batch in so many equal pieces, views of it; raises ValueError where it does not divide."""
    if pieces == 1:
        return [batch]
    check_pieces(size(batch), pieces)
    return [map_leaves(partial(_piece, pieces, number), batch) for number in range(pieces)]


def _piece(pieces: int, number: int, x: Tensor) -> Tensor:
    return x.chunk(pieces)[number]


def join(trees: Sequence[Any]) -> Any:
    """The inverse of `split`: equal trees with their tensors one after the other."""
    if len(trees) == 1:
        return trees[0]
    columns = zip(*map(leaves, trees), strict=True)
    joined = iter([torch.cat(column) for column in columns])
    return map_leaves(lambda _: next(joined), trees[0])
