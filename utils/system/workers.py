"""Pools of workers: threads of this machine, or processes of a Dask cluster."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import joblib

from utils.system.errors import SedError
from utils.system.terminal import install_command

IN_ORDER_AND_FEW_WAITING = {"return_as": "generator", "pre_dispatch": "4*n_jobs"}  # of joblib.Parallel
CONNECTION_SECONDS = 10.0  # to wait for the scheduler's answer
WATCH_SECONDS = 0.5  # between two looks at whether the parent is alive


def end_with(parent: int) -> None:
    """Make this process, a worker, end soon after its parent, however that ended.

    A worker that waits for work does not notice that its parent was killed, as by a system without memory.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def ending_with_parent() -> dict[str, Any]:
    """Return the keywords of joblib.Parallel with which its processes end with this one."""
    return {"backend": "loky", "initializer": end_with, "initargs": (os.getpid(),)}


@contextmanager
def local_workers(count: int) -> Iterator[joblib.Parallel]:
    """Give a pool of `count` threads of this machine; -1 is one for each processor.

    They suit work that is done outside of Python, such as in numpy, soxr and scipy. Processes would have to
    start, import and send back what they computed.
    """
    yield joblib.Parallel(n_jobs=count, backend="threading", **IN_ORDER_AND_FEW_WAITING)


@contextmanager
def cluster_workers(scheduler: str, own_settings: Callable[[], dict[str, Any]]) -> Iterator[joblib.Parallel]:
    """Give a pool of all workers of a running Dask cluster.

    Parameters
    ----------
    scheduler : str
        Its address, such as `tcp://host:8786`.
    own_settings : callable
        Returns the settings of the process that calls it; those of the workers must equal ours.

    Raises
    ------
    SedError
        If Dask is not installed, no scheduler answers, or its workers have other settings.
    """
    try:
        from distributed import Client  # an optional package
    except ImportError as error:
        raise SedError(
            f"--dask_scheduler needs Dask; install it with: {install_command('requirements-cluster.txt')}"
        ) from error
    try:
        client = Client(scheduler, timeout=CONNECTION_SECONDS)
    except (OSError, ValueError) as error:
        raise SedError(f"--dask_scheduler {scheduler}: no Dask scheduler answers there: {error}") from error
    with client, joblib.parallel_config(backend="dask"):
        require_same_settings(client, scheduler, own_settings)
        yield joblib.Parallel(n_jobs=-1, **IN_ORDER_AND_FEW_WAITING)


def require_same_settings(client: Any, scheduler: str, own_settings: Callable[[], dict[str, Any]]) -> None:
    """Raise SedError unless there are workers, and all have this project and the same settings."""
    try:
        settings = client.run(own_settings)
    except Exception as error:  # Dask turns an ImportError of the worker into one
        raise SedError(
            f"--dask_scheduler {scheduler}: a worker cannot import this project ({error}); start the workers "
            "in the project's folder with: PYTHONPATH=. dask worker ..."
        ) from error
    if not settings:
        raise SedError(
            f"--dask_scheduler {scheduler}: the cluster has no workers; start some with: dask worker"
        )
    for address, values in settings.items():
        for name, value in own_settings().items():
            if values.get(name) != value:
                raise SedError(
                    f"--dask_scheduler {scheduler}: the worker {address} has {name} = {values.get(name)}, "
                    f"and here it is {value}; start the workers with the same SED_CONFIG"
                )
