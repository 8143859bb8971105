"""Parts of something large that are made one by one, such as the batches of a set of images."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", covariant=True)


class Parts(Generic[T]):
    """make(0), make(1)... so many of them, each made when it is asked for and kept by nobody.

    >>> squares = Parts(lambda number: number**2, 4)
    >>> len(squares), squares[2], list(squares)
    (4, 4, [0, 1, 4, 9])
    """

    def __init__(self, make: Callable[[int], T], count: int) -> None:
        self._make, self._count = make, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> T:
        if not 0 <= number < self._count:
            raise IndexError(f"there are {self._count} parts, and none with number {number}")
        return self._make(number)

    def __iter__(self) -> Iterator[T]:
        return map(self._make, range(self._count))


def sliced(make: Callable[[slice], T], count: int, size: int) -> Parts[T]:
    """What is made of `count` things, so many at a time, the last time of those that are left.

    >>> list(sliced(range(5).__getitem__, 5, 2))
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return Parts(lambda number: make(slice(number * size, (number + 1) * size)), -(-count // size))
