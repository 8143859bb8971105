"""The machine that a run is on."""

import ctypes
import gc
import math
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of glibc's mallopt(3)


def keep_freed_memory(device: torch.device) -> bool:
    """Lets the process keep the memory that it frees on a CPU, for what it needs next; whether that can be had.

    glibc gives large blocks back to the system at once, which has to clear every page of the next one: half the time
    of a step with many weights and few images. The process then holds up to three tenths more at its peak. Where the
    environment has a MALLOC_ variable, the C library is left as it is.
    """
    said = any(name.startswith("MALLOC_") for name in os.environ)
    if device.type != "cpu" or platform.libc_ver()[0] != "glibc" or said:
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, -1))


@contextmanager
def working(threads: int) -> Iterator[None]:
    """What is done within has so many threads; afterwards there are as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_stated() -> bool:
    """Whether the environment says how many threads there are."""
    return any(name in os.environ for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"))


def hardware(device: torch.device) -> dict[str, Any]:
    """What the run runs on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": device.type, "name": name, "threads": torch.get_num_threads(), "cores": os.cpu_count()}


def forget_peak(device: torch.device) -> None:
    """What has been held until now does not count any more: on GPUs, and on Linux of the process."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    else:
        if platform.libc_ver()[0] == "glibc":
            ctypes.CDLL(None).malloc_trim(0)  # gives back what is free (mallopt(3) may keep it)
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark (proc(5))


def most_memory(device: torch.device) -> float:
    """The bytes that this process may hold on a CPU, as Linux says; without bound on a GPU, where torch says it."""
    found = [math.inf]
    if device.type == "cpu":
        with suppress(OSError, IndexError):
            free = re.findall(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[0]
            own = re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0]
            found.append(1024.0 * (int(free) + int(own)))
        with suppress(OSError, ValueError):  # which says "max" where a container has no bound
            found.append(float(int(Path("/sys/fs/cgroup/memory.max").read_text())))
    return min(found)


def memory(device: torch.device) -> int:
    """The most bytes that this process has held, on the GPU where it uses one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError):  # on Linux, where the other number has what a process held that started this one
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if platform.system() == "Linux" else 1)
