"""Large pieces of memory that are used again and again, since fresh memory costs more than arithmetic on it."""

import torch
from torch import Tensor, UntypedStorage

LEAST = 1 << 18  # bytes; the system's allocator keeps smaller pieces by itself
MOST = 6  # pieces kept: the weights of three forwards and their gradients
_users = getattr(torch._C, "_storage_Use_Count", None)


class Memory:
    """Hands out uninitialised tensors; a piece is handed out again once no tensor, view or graph holds it any more.

    On a CPU, where the system takes large pieces back and clears them for the next use. Elsewhere, and where torch does
    not tell who holds a piece, each tensor is a new one.
    """

    def __init__(self) -> None:
        self.pieces: list[UntypedStorage] = []

    def like(self, x: Tensor) -> Tensor:
        """An uninitialised tensor with the shape, strides and type of the dense tensor `x`."""
        if x.nbytes < LEAST or not x.is_cpu or _users is None:
            return torch.empty_like(x)
        for piece in self.pieces:
            if _users(piece._cdata) == 1 and piece.nbytes() == x.nbytes:
                return torch.empty(0, dtype=x.dtype).set_(piece, 0, x.shape, x.stride())
        result = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype)
        if len(self.pieces) < MOST:
            self.pieces.append(result.untyped_storage())
        return result

    def __deepcopy__(self, memo: object) -> "Memory":
        return Memory()

    def __reduce__(self) -> tuple[type["Memory"], tuple[()]]:
        return Memory, ()
