"""Where joblib runs the measurements: local processes, or a Dask or Ray cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager

from qfa_search.errors import QFAError

BACKENDS = ("loky", "dask", "ray")


def parallel_backend(name: str, scheduler: str | None) -> AbstractContextManager[object]:
    """The joblib context that runs work on backend `name`.

    Args:
        name: "loky", "dask" or "ray".
        scheduler: Address of the Dask scheduler, needed for "dask" alone.

    Raises:
        ValueError: Unknown backend, or "dask" without a scheduler.
        QFAError: The backend's package is not installed.
    """
    import joblib

    if name not in BACKENDS:
        raise ValueError(f"unknown backend {name!r}: choose one of {', '.join(BACKENDS)}")
    if (name == "dask") != (scheduler is not None):
        raise ValueError("--scheduler goes with --backend dask, and that needs one")
    try:
        if name == "dask":
            from distributed import Client

            Client(scheduler)
        if name == "ray":
            from ray.util.joblib import register_ray

            register_ray()
    except ImportError as error:
        raise QFAError(f"--backend {name} needs pip install 'qfa-search[{name}]'") from error
    context: AbstractContextManager[object] = joblib.parallel_config(backend=name)
    return context
