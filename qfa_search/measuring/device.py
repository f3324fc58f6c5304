"""Where networks are measured: the CPU or a GPU."""

from __future__ import annotations

import re

from qfa_search.errors import QFAError

AUTO = "auto"


def check_device(name: str) -> None:
    """Refuse a name that is no device, without importing torch.

    Raises:
        ValueError: It is none of "auto", "cpu", "cuda" and "cuda:N".
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, got {name!r}")


def resolve_device(name: str = AUTO) -> str:
    """The device of that name; "auto" is the GPU where there is one.

    Raises:
        ValueError: There is no such name.
        QFAError: The machine has no such GPU.
    """
    import torch

    check_device(name)
    n = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == AUTO:
        return "cuda" if n else "cpu"
    number = int(name.partition(":")[2] or 0)
    if name != "cpu" and number >= n:
        raise QFAError(f"there is no {name}: torch sees {n} GPUs here; take --device cpu")
    return name
