"""One C99 file and its header: constants of an integer plan, and the kernels that run them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from predictors.c_memory import KERNEL_SIZES, LayerRegions, has_gates, largest_kernel
from predictors.files import write_text
from qfa_search.deployment.arena import Arena, plan_arena
from qfa_search.deployment.c_packing import packed_weights
from qfa_search.deployment.integers import STREAM_BITS, IntegerLayer, IntegerPlan, integer_plan
from qfa_search.deployment.plan import NetworkPlan
from qfa_search.errors import ExportError
from search_spaces import SearchSpace

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LINE = 96
_KINDS = {"conv": "POINTWISE", "linear": "POINTWISE", "depthwise": "DEPTHWISE"}
_TARGETS = {"gate": "CODES", "codes": "CODES"}


def write_c(
    plan: NetworkPlan,
    out: Path,
    *,
    name: str | None = None,
    class_names: Sequence[str] | None = None,
) -> None:
    """Write `plan` as OUT.c and OUT.h, which need nothing but a C99 compiler.

    Args:
        plan: The network, with mean and std of its images.
        out: The .c file; the header lies beside it.
        name: What the functions are called; the file's stem by default.
        class_names: For an array of strings, which takes room; none by default.

    Raises:
        ExportError: The network or the name cannot be written in C.
    """
    name = out.stem if name is None else name
    source, header = c_source(integer_plan(plan), name=name, class_names=class_names)
    write_text(out.with_suffix(".h"), header)
    write_text(out.with_suffix(".c"), source)


def c_source(
    plan: IntegerPlan, *, name: str, class_names: Sequence[str] | None = None
) -> tuple[str, str]:
    """The text of the .c file and of its header NAME.h.

    Raises:
        ExportError: `name` is no C identifier, or a kernel size has no kernel.
    """
    if not NAME.fullmatch(name):
        raise ExportError(f"functions cannot be called {name!r} in C: use letters, digits and _")
    for layer in plan.layers:
        spec = layer.plan.spec
        if spec.kind == "depthwise" and spec.kernel_size not in KERNEL_SIZES:
            raise ExportError(
                f"{spec.name} has a kernel of {spec.kernel_size}, and in C there are those of "
                f"{', '.join(map(str, KERNEL_SIZES))}"
            )
    arena = plan_arena([layer.plan.spec for layer in plan.layers])
    parts = [
        f'#include "{name}.h"\n',
        _features(plan.plan.space),
        files("qfa_search.deployment").joinpath("kernels.c").read_text(encoding="utf-8"),
        *(_constants(i, layer) for i, layer in enumerate(plan.layers)),
        _layers(plan, arena),
        f"static uint32_t arena[{arena.words}];\n",
        _functions(plan, name, class_names),
    ]
    return "\n".join(parts), _header(plan, arena, name, class_names)


def _features(space: SearchSpace) -> str:
    """What any subnet of the space may need, so that all of them have the same code."""
    return (
        f"#define LARGEST_KERNEL {largest_kernel(space)}\n"
        f"#define HAS_GATES {int(has_gates(space))}\n"
    )


def _header(plan: IntegerPlan, arena: Arena, name: str, class_names: Sequence[str] | None) -> str:
    upper, space = name.upper(), plan.plan.space
    names = (
        ""
        if class_names is None
        else (f"\nextern const char *const {name}_class_names[{upper}_CLASSES];\n")
    )
    pixel = "one grey byte" if space.input_channels == 1 else "red, green and blue, a byte each"
    return f"""#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#define {upper}_RESOLUTION {plan.plan.resolution}
#define {upper}_CHANNELS {space.input_channels}
#define {upper}_CLASSES {space.n_classes}
#define {upper}_ARENA_BYTES {4 * arena.words}

/* Images are {upper}_RESOLUTION rows of as many pixels, each {pixel}:
   the centre square of a photo, resized with antialiasing. Nothing is subtracted or divided.
   Not reentrant: there is one arena. */

/* Index of the most likely class. */
int {name}_classify(const uint8_t *image);

/* {upper}_CLASSES logits with {STREAM_BITS} fraction bits. */
void {name}_logits(const uint8_t *image, int32_t *logits);
{names}
#endif
"""


def _functions(plan: IntegerPlan, name: str, class_names: Sequence[str] | None) -> str:
    upper = name.upper()
    names = (
        ""
        if class_names is None
        else (
            f"\nconst char *const {name}_class_names[{upper}_CLASSES] = {{\n"
            + "".join(f"    {_string(text)},\n" for text in class_names)
            + "};\n"
        )
    )
    return f"""void {name}_logits(const uint8_t *image, int32_t *logits) {{
    copy_values(run(layers, arena, image), arena, logits);
}}

int {name}_classify(const uint8_t *image) {{
    return index_of_largest(run(layers, arena, image), arena);
}}
{names}"""


def _string(text: str) -> str:
    """A C string; what is not plain is written in octal."""
    plain = "".join(
        chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}"
        for b in text.encode("utf-8")
    )
    return f'"{plain}"'


def _constants(index: int, layer: IntegerLayer) -> str:
    weights = _array(f"static const uint32_t weights_{index}[]", packed_weights(layer), "0x{:x}")
    channels = _array(f"static const int32_t channels_{index}[]", channel_constants(layer), "{}")
    return f"/* {layer.plan.name} */\n{weights}{channels}"


def channel_constants(layer: IntegerLayer) -> NDArray[np.int64]:
    """Multiplier and bias by turns, filled up to pairs of channels for 1x1 layers.

    For the stem those of the pixels follow; gates have biases alone.
    """
    spec = layer.plan.spec
    if spec.kind == "squeeze_excite":
        return layer.b
    own = np.stack([layer.m, layer.b], axis=1).reshape(-1)
    if layer.pixels is not None:
        pixels = np.stack([layer.pixels.m, layer.pixels.b], axis=1).reshape(-1)
        return np.concatenate([own, pixels])
    if layer.has_own_constants and spec.kernel_size == 1 and len(layer.m) % 2:
        return np.concatenate([own, [0, 0]])
    return own


def _layers(plan: IntegerPlan, arena: Arena) -> str:
    records = []
    for i, (layer, places) in enumerate(zip(plan.layers, arena.layers, strict=True)):
        before = plan.layers[i - 1] if i else None
        after = plan.layers[i + 1] if i + 1 < len(plan.layers) else None
        values = _record(i, layer, places, before, after)
        fields = ", ".join(f".{field} = {value}" for field, value in values.items())
        records.append(_wrapped(f"    {{{fields}}},", 5))
    return "static const layer layers[] = {\n" + "\n".join(records) + "\n};\n"


def _record(
    index: int,
    layer: IntegerLayer,
    places: LayerRegions,
    before: IntegerLayer | None,
    after: IntegerLayer | None,
) -> dict[str, int | str]:
    spec, grid, pixels = layer.plan.spec, layer.grid, layer.pixels
    kind = _KINDS.get(spec.kind, "")
    if pixels is not None:
        kind = "STEM"
    elif spec.kind == "squeeze_excite":
        kind = "GATE" if layer.target == "gate" else "SQUEEZE"
    in_top = pixels.highest if pixels is not None else 0 if grid is None else grid.top
    in_size = spec.in_size
    pool_shift = layer.pool_shift
    if kind == "SQUEEZE":
        assert before is not None
        in_size, pool_shift = before.plan.spec.out_size, before.pool_shift
    elif kind == "GATE":
        assert after is not None
        in_size = after.plan.spec.in_size
    return {
        "t": f"INT64_C({grid.t})" if grid is not None else 0,
        "weights": f"weights_{index}",
        "channels": f"channels_{index}",
        "k": grid.k if grid is not None else 0,
        "zero": layer.zero,
        "codes": places.codes,
        "out": places.out,
        "scratch": places.scratch,
        "in_channels": spec.in_channels,
        "out_channels": spec.out_channels,
        "kind": kind,
        "target": _TARGETS.get(layer.target, layer.target.upper()),
        "activation": spec.activation.upper() if spec.activation in ("relu", "hswish") else "NONE",
        "adds": int(layer.adds),
        "reads_stream": int(layer.reads_stream),
        "has_own_constants": int(layer.has_own_constants),
        "is_last": int(after is None),
        "in_size": in_size,
        "out_size": spec.out_size,
        "kernel_size": spec.kernel_size,
        "stride": spec.stride,
        "w_bits": layer.w_bits,
        "in_bits": spec.bits.a_bits,
        "in_top": in_top if in_top <= 255 else 0,
        "code_shift": grid.shift - 32 if grid is not None else pixels.shift if pixels else 0,
        "lowest": layer.lowest,
        "zero_code": layer.zero_code,
        "acc_shift": layer.acc_shift,
        "bias_shift": layer.bias_shift,
        "shift": layer.shift,
        "pool_shift": pool_shift,
    }


def _array(declaration: str, values: Iterable[int], form: str) -> str:
    text = ", ".join(form.format(int(value)) for value in values)
    return _wrapped(f"{declaration} = {{{text}}};", 4) + "\n"


def _wrapped(text: str, indent: int) -> str:
    import textwrap

    return textwrap.fill(
        text, LINE, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
