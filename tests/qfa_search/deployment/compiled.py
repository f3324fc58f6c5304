"""Generated C files compiled and run on this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

STRICT = "-std=c99 -Wall -Wextra -Wpedantic -Werror"
SANITIZERS = "-fsanitize=undefined,address -fno-sanitize-recover=all"

MAIN = """
#include <stdio.h>
#include "net.h"
static uint8_t image[NET_RESOLUTION * NET_RESOLUTION * NET_CHANNELS];
int main(void) {
    int32_t logits[NET_CLASSES];
    int i;
    while (fread(image, 1, sizeof image, stdin) == sizeof image) {
        net_logits(image, logits);
        printf("%d", net_classify(image));
        for (i = 0; i < NET_CLASSES; i++) printf(" %ld", (long)logits[i]);
        printf("\\n");
    }
    return 0;
}
"""


def host_compiler() -> str:
    """gcc; the test is skipped where there is none."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    return compiler


def run_compiled(
    folder: Path, source: str, header: str, images: np.ndarray, options: str = SANITIZERS
) -> tuple[np.ndarray, np.ndarray]:
    """Classes `(n,)` and logits `(n, n_classes)` of the generated functions called net."""
    compiler = host_compiler()
    for name, text in (("net.c", source), ("net.h", header), ("main.c", MAIN)):
        (folder / name).write_text(text)
    command = [compiler, *STRICT.split(), *options.split(), "net.c", "main.c", "-o", "net"]
    subprocess.run(command, cwd=folder, check=True)
    done = subprocess.run(
        [folder / "net"], input=np.ascontiguousarray(images).tobytes(), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    rows = np.array([line.split() for line in done.stdout.splitlines()], dtype=np.int64)
    assert len(rows) == len(images)
    return rows[:, 0], rows[:, 1:]
