"""How many processes memory holds."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from qfa_search.measuring.parallel import Workers
from qfa_search.measuring.scoring import EVALUATION_BATCH, RecalibrationSetting
from search_spaces import SearchSpace, layer_specs

logger = logging.getLogger(__name__)

# Measured: Python with torch, a supernet of a few MB, images of Fashion-MNIST.
PROCESS_BYTES = 600 * 2**20
# What is alive of the largest layer's maps, in maps of float32 of all images: the map itself, some
# of its channels once more, the narrow maps beside it, and what the allocator keeps.
MAPS_ALIVE = 2
BATCH_MAPS_ALIVE = 5  # where a batch goes through a layer as one tensor
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def process_bytes(space: SearchSpace, setting: RecalibrationSetting) -> int:
    """About what a process needs that measures subnets of `space`, the largest included."""
    largest = max(
        spec.out_channels * spec.out_size**2 for spec in layer_specs(space, space.largest())
    )
    n_maps = EVALUATION_BATCH * BATCH_MAPS_ALIVE
    if setting.sequential:
        n_maps = max(n_maps, setting.n_images * MAPS_ALIVE)
    return PROCESS_BYTES + 4 * largest * n_maps


def free_bytes() -> int | None:
    """Memory that this process may still use, by the system and its control group; None unknown."""
    found = []
    try:
        for line in MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024 * int(line.split()[1]))
        limit = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
            found.append(max(int(limit) - used, 0))
    except (OSError, ValueError):  # another system, or no control group
        pass
    return min(found, default=None)


def within_memory(workers: Workers, space: SearchSpace, setting: RecalibrationSetting) -> Workers:
    """`workers` with as many local processes as memory holds, at least one; fewer are told of."""
    free = free_bytes()
    if workers.backend != "loky" or workers.jobs == 1 or free is None:
        return workers
    each = process_bytes(space, setting)
    jobs = min(workers.jobs, max(free // each, 1))
    if jobs < workers.jobs:
        logger.warning(
            "measuring with %d of %d processes: each takes about %.1f GB, %.1f GB are free",
            *(jobs, workers.jobs, each / 1e9, free / 1e9),
        )
    return replace(workers, jobs=jobs)
