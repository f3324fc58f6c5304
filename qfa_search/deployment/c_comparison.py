"""A generated C file against its interpreter, bit by bit, and both against the torch network.

Integers start from pixels of 8 bits. Where a subnet's resolution is not that of the images, those
are brought to it and rounded to 8 bits again; the torch network then sees the same pixels.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qfa_search.deployment.comparison import Batches
from qfa_search.deployment.fixed_point import fixed_point_logits
from qfa_search.deployment.host_c import compiled_c, host_compiler
from qfa_search.deployment.integers import integer_plan
from qfa_search.deployment.plan import NetworkPlan
from qfa_search.errors import ExportError
from qfa_search.supernet.extract import StaticNetwork

SMALLEST_ARGMAX_SHARE = 0.999
LARGEST_TOP1_DIFFERENCE = 0.1
FEWEST_WITH_ALLOWANCE = 20  # images, of which one may have another class


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerComparison:
    """Integers against the torch network on the same pixels.

    Attributes:
        engine: "C" where the file was compiled and run, "integers" for the interpreter alone.
        n_images: Images compared.
        n_logits_wrong: Logits of the compiled file that are not the interpreter's; None where it
            was not compiled.
        n_argmax_equal: Images with the class that torch gives.
        top1: Percent that the integers get right; None without labels.
        torch_top1: Percent that the torch network gets right.
    """

    engine: str
    n_images: int
    n_logits_wrong: int | None
    n_argmax_equal: int
    top1: float | None
    torch_top1: float | None

    @property
    def has_run_file(self) -> bool:
        """Whether the file was compiled."""
        return self.n_logits_wrong is not None

    @property
    def failure(self) -> str | None:
        """Why the file is not the network; None if nothing showed it."""
        if self.n_logits_wrong:
            return f"{self.n_logits_wrong} logits of the compiled file are not the interpreter's"
        n_different = self.n_images - self.n_argmax_equal
        # A hundred images have no thousandth, so one of some may differ; of few none.
        allowance = 1.0 if self.n_images >= FEWEST_WITH_ALLOWANCE else 0.0
        if n_different > max(allowance, (1 - SMALLEST_ARGMAX_SHARE) * self.n_images):
            return f"{n_different} of {self.n_images} images have another class than in torch"
        if self.top1 is not None and self.torch_top1 is not None:
            largest = max(LARGEST_TOP1_DIFFERENCE, 100 / self.n_images)
            if abs(self.top1 - self.torch_top1) > largest + 1e-9:
                return f"top-1 is {self.top1:.2f}, torch's {self.torch_top1:.2f}"
        return None

    def summary(self) -> str:
        """What was seen, for a reader, without the engine."""
        top1 = ""
        if self.top1 is not None:
            top1 = f", top-1 {self.top1:.2f} (torch {self.torch_top1:.2f})"
        same = {0: "bit for bit the interpreter, ", None: "the C file itself was not run, "}
        return (
            f"{self.n_images} images, {same.get(self.n_logits_wrong, '')}class equal to torch "
            f"{self.n_argmax_equal}/{self.n_images}{top1}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@torch.inference_mode()
def compare_c(
    network: StaticNetwork, plan: NetworkPlan, file: Path, batches: Batches
) -> tuple[IntegerComparison, ...]:
    """Run a generated file, its interpreter and the torch network on the same pixels.

    Without a C compiler on this machine the interpreter alone is compared.

    Raises:
        ExportError: The plan does not know mean and deviation of pixels, or there are no images.
    """
    integers = integer_plan(plan)
    is_compiled = host_compiler() is not None
    program = compiled_c(file, plan.space.n_classes) if is_compiled else nullcontext(None)
    n_images = n_wrong = n_equal = n_labels = n_right = n_torch_right = 0
    with program as run:
        for images, labels in batches:
            pixels = pixels_of(images, plan)
            chosen = network(normalized(pixels, plan)).argmax(1).numpy()
            logits = fixed_point_logits(integers, pixels)
            if run is not None:
                n_wrong += int((run(pixels) != logits).sum())
            own = logits.argmax(1)
            n_images += len(own)
            n_equal += int((own == chosen).sum())
            if labels is not None:
                expected = labels.numpy()
                n_labels += len(expected)
                n_right += int((own == expected).sum())
                n_torch_right += int((chosen == expected).sum())
    if n_images == 0:
        raise ExportError("verification needs at least one batch of images, got none")
    found = IntegerComparison(
        engine="C on this machine" if is_compiled else "integers (no C compiler here)",
        n_images=n_images,
        n_logits_wrong=n_wrong if is_compiled else None,
        n_argmax_equal=n_equal,
        top1=100 * n_right / n_labels if n_labels else None,
        torch_top1=100 * n_torch_right / n_labels if n_labels else None,
    )
    return (found,)


def pixels_of(images: Tensor, plan: NetworkPlan) -> NDArray[np.uint8]:
    """Normalized images as uint8 `(n, R, R, channels)`."""
    mean, std = _statistics(plan)
    pixels = ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())


def normalized(pixels: NDArray[np.uint8], plan: NetworkPlan) -> Tensor:
    """Those pixels as the torch network reads them."""
    mean, std = _statistics(plan)
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std


def _statistics(plan: NetworkPlan) -> tuple[Tensor, Tensor]:
    assert plan.mean is not None
    assert plan.std is not None
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (plan.mean, plan.std))
    return mean, std
