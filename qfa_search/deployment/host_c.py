"""A generated C file compiled and run on this machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qfa_search.errors import ExportError

COMPILERS = ("cc", "gcc", "clang")
OPTIONS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror")

_MAIN = """
#include <stdio.h>
#include "{name}.h"
static uint8_t image[{upper}_RESOLUTION * {upper}_RESOLUTION * {upper}_CHANNELS];
static int32_t logits[{upper}_CLASSES];
int main(void) {{
    while (fread(image, 1, sizeof image, stdin) == sizeof image) {{
        {name}_logits(image, logits);
        fwrite(logits, 1, sizeof logits, stdout);
    }}
    return 0;
}}
"""


def host_compiler() -> str | None:
    """A C compiler of this machine, None where there is none."""
    return next((path for path in map(shutil.which, COMPILERS) if path is not None), None)


def host_c_logits(file: Path, images: NDArray[np.uint8], n_classes: int) -> NDArray[np.int32]:
    """What the functions of a generated file make of images.

    Args:
        file: The .c file, its header beside it; functions are called as its stem.
        images: uint8 `(n, R, R, channels)`.
        n_classes: Logits of each image.

    Returns:
        int32 `(n, n_classes)`.

    Raises:
        ExportError: There is no compiler, or it or the program fails.
    """
    compiler = host_compiler()
    if compiler is None:
        raise ExportError(f"no C compiler found: install one of {', '.join(COMPILERS)}")
    with tempfile.TemporaryDirectory() as folder:
        root, name = Path(folder), file.stem
        main = _MAIN.format(name=name, upper=name.upper())
        (root / "main.c").write_text(main, encoding="utf-8")
        include = f"-I{file.parent.resolve()}"
        sources = [str(file.resolve()), "main.c"]
        built = subprocess.run(
            [compiler, *OPTIONS, include, *sources, "-o", "net"],
            cwd=root,
            capture_output=True,
            text=True,
        )
        if built.returncode != 0:
            raise ExportError(f"{compiler} refuses {file.name}: {built.stderr.strip()[:300]}")
        done = subprocess.run(
            [root / "net"], input=np.ascontiguousarray(images).tobytes(), capture_output=True
        )
    found = np.frombuffer(done.stdout, dtype=np.int32)
    if done.returncode != 0 or found.size != len(images) * n_classes:
        raise ExportError(f"the program of {file.name} ended with code {done.returncode}")
    return found.reshape(len(images), n_classes)
