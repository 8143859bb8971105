"""Processes that tests start: each begins at once, since the server that they are forked from has imported all."""

import multiprocessing
import os
import signal

import torch

METHOD = "forkserver"
multiprocessing.set_forkserver_preload(["equipoise.runs", "equipoise.presets", "equipoise.augment", "pytest", "scipy"])


def killed(recipe, out, seen):
    """Trains a run in a process of its own, which is killed when so many images were seen."""
    process = multiprocessing.get_context(METHOD).Process(target=_train_until, args=(recipe, str(out), seen))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _train_until(recipe, out, seen):
    from equipoise import runs

    torch.set_num_threads(1)
    for progress in runs.train(recipe, out):
        if progress.seen >= seen:
            os.kill(os.getpid(), signal.SIGKILL)


def ranks(function, arguments, count):
    """Calls function(rank, *arguments) in so many processes, and waits for all."""
    torch.multiprocessing.start_processes(function, arguments, nprocs=count, start_method=METHOD)
