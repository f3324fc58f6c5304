"""Compile for a Cortex-M4 and run on QEMU, which counts instructions.

Instructions are not cycles: neither memory nor pipeline is modelled.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qfa_search.errors import ExportError

COMPILER, SIZE, EMULATOR = "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"
PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
OPTIMIZATION = "-O2"
_FLAGS = ("-mcpu=cortex-m4", "-mthumb", "-std=c99", "-ffunction-sections", "-fdata-sections")
_STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
_MACHINE = ("-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "null")
_COUNTING = ("-semihosting-config", "enable=on,target=native", "-icount", "shift=0")


@dataclass(frozen=True, slots=True, kw_only=True)
class CortexMSizes:
    """Bytes of a generated file, as the tools for the processor count them.

    Attributes:
        code: Machine code in flash.
        constants: Weights and other constants in flash.
        ram: The arena; the stack comes on top.
    """

    code: int
    constants: int
    ram: int

    @property
    def flash(self) -> int:
        """Code and constants."""
        return self.code + self.constants


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CortexMRun:
    """What the emulated processor did.

    Attributes:
        logits: As `fixed_point_logits` gives them, int32 `(n, n_classes)`.
        instructions: Of each image, `(n,)`.
        layer_instructions: Of each layer in order, for the first image.
    """

    logits: NDArray[np.int32]
    instructions: NDArray[np.int64]
    layer_instructions: tuple[int, ...]


def check_toolchain() -> None:
    """Raise an ExportError that names the packages if compiler or emulator are not there."""
    missing = [tool for tool in (COMPILER, SIZE, EMULATOR) if shutil.which(tool) is None]
    if missing:
        raise ExportError(f"{missing[0]} is not installed: on Debian, apt install {PACKAGES}")


def cortex_m_sizes(source: str, header: str, name: str) -> CortexMSizes:
    """Flash and RAM of a generated file, compiled with every warning an error.

    Raises:
        ExportError: The toolchain is missing or refuses the file.
    """
    check_toolchain()
    with tempfile.TemporaryDirectory() as folder:
        root = _written(Path(folder), source, header, name)
        _run([COMPILER, *_FLAGS, *_STRICT, OPTIMIZATION, "-c", f"{name}.c", "-o", "net.o"], root)
        lines = _run([SIZE, "-A", "net.o"], root).splitlines()
    sizes = {"text": 0, "rodata": 0, "bss": 0}
    for line in lines:
        words = line.split()
        if len(words) == 3 and words[0].split(".")[1:2] and words[0].split(".")[1] in sizes:
            sizes[words[0].split(".")[1]] += int(words[1])
    return CortexMSizes(code=sizes["text"], constants=sizes["rodata"], ram=sizes["bss"])


def run_on_cortex_m(
    source: str, header: str, name: str, images: NDArray[np.uint8], n_layers: int
) -> CortexMRun:
    """Run a generated file on images.

    Args:
        source: The .c file.
        header: Its header.
        name: What its functions are called.
        images: uint8, the first dimension counts them.
        n_layers: Of the network.

    Raises:
        ExportError: The toolchain is missing, refuses the file, or the program does not end.
    """
    check_toolchain()
    with tempfile.TemporaryDirectory() as folder, as_file(files(__package__)) as parts:
        root = _written(Path(folder), source, header, name)
        (root / "main.c").write_text(_main(name, images, n_layers), encoding="utf-8")
        link = ("-nostartfiles", "-Wl,--gc-sections", "-T", str(parts / "link.ld"))
        sources = (str(parts / "start.c"), "main.c")
        _run([COMPILER, *_FLAGS, OPTIMIZATION, *link, *sources, "-o", "net.elf"], root)
        output = _run([EMULATOR, *_MACHINE, *_COUNTING, "-kernel", "net.elf"], root)
    numbers = np.array(output.split(), dtype=np.int64)
    rows = numbers[n_layers:].reshape(len(images), -1)
    return CortexMRun(
        logits=rows[:, 1:].astype(np.int32),
        instructions=rows[:, 0],
        layer_instructions=tuple(numbers[:n_layers].tolist()),
    )


def _written(root: Path, source: str, header: str, name: str) -> Path:
    (root / f"{name}.c").write_text(source, encoding="utf-8")
    (root / f"{name}.h").write_text(header, encoding="utf-8")
    return root


def _main(name: str, images: NDArray[np.uint8], n_layers: int) -> str:
    flat = images.reshape(len(images), -1)
    rows = ",\n".join("{" + ",".join(map(str, row.tolist())) + "}" for row in flat)
    return f"""#include "{name}.c"
uint64_t elapsed(void);
void put(const char *);
void put_number(int64_t);
static const uint8_t images[{len(flat)}][{flat.shape[1]}] = {{{rows}}};
static uint64_t counts[{n_layers}];
static int32_t logits[{name.upper()}_CLASSES];

int main(void) {{
    uint64_t before = elapsed(), nothing = elapsed() - before;
    int i, j;
    for (i = 0; i < {n_layers}; i++) {{
        before = elapsed();
        run_layer(layers + i, arena, images[0]);
        counts[i] = elapsed() - before - nothing;
    }}
    for (i = 0; i < {n_layers}; i++) put_number((int64_t)counts[i]), put("\\n");
    for (i = 0; i < {len(flat)}; i++) {{
        before = elapsed();
        {name}_logits(images[i], logits);
        put_number((int64_t)(elapsed() - before - nothing));
        for (j = 0; j < {name.upper()}_CLASSES; j++) put(" "), put_number(logits[j]);
        put("\\n");
    }}
    return 0;
}}
"""


def _run(command: Sequence[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True, timeout=600
        )
    except subprocess.CalledProcessError as error:
        raise ExportError(f"{command[0]} failed: {error.stderr.strip()[:500]}") from error
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"{command[0]} did not end within ten minutes") from error
    return done.stdout + done.stderr
