"""A generated C file compiled and run on this machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def compiled_c(
    file: Path, n_classes: int
) -> Iterator[Callable[[NDArray[np.uint8]], NDArray[np.int32]]]:
    """The functions of a generated file, compiled for this machine as long as the block lasts.

    Args:
        file: The .c file, its header beside it; functions are called as its stem.
        n_classes: Logits of each image.

    Yields:
        From images, uint8 `(n, R, R, channels)`, to logits, int32 `(n, n_classes)`.

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
        sources = [f"-I{file.parent.resolve()}", str(file.resolve()), "main.c"]
        built = subprocess.run(
            [compiler, *OPTIONS, *sources, "-o", "net"], cwd=root, capture_output=True, text=True
        )
        if built.returncode != 0:
            raise ExportError(f"{compiler} refuses {file.name}: {built.stderr.strip()[:300]}")

        def logits(images: NDArray[np.uint8]) -> NDArray[np.int32]:
            given = np.ascontiguousarray(images).tobytes()
            done = subprocess.run([root / "net"], input=given, capture_output=True)
            found = np.frombuffer(done.stdout, dtype=np.int32)
            if done.returncode != 0 or found.size != len(images) * n_classes:
                raise ExportError(f"the program of {file.name} ended with code {done.returncode}")
            return found.reshape(len(images), n_classes)

        yield logits
