"""A network as a file that runs elsewhere, proven equal before it takes its name."""

from __future__ import annotations

import glob
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from predictors.files import naming, temporary_folder
from qfa_search.deployment.formats import (
    DEFAULT_OPSET,
    ExportFormat,
    ExportOptions,
    export_format,
)
from qfa_search.deployment.plan import NetworkPlan, network_plan
from qfa_search.deployment.preprocessing import Preprocessing
from qfa_search.deployment.sidecar import file_metadata, sidecar, sidecar_path, sidecar_text
from qfa_search.deployment.verify import Images, Verification, check_device, verify_plan
from qfa_search.errors import ExportError
from qfa_search.supernet.extract import StaticNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A network that was written.

    Attributes:
        files: The files, the main one first, its sidecar last.
        verification: The verdict; None if there were no images to run it on.
    """

    files: tuple[Path, ...]
    verification: Verification | None

    @property
    def n_bytes(self) -> int:
        """Bytes of the main file."""
        return self.files[0].stat().st_size


def export(
    network: StaticNetwork,
    file: str | Path,
    *,
    format: str | None = None,
    opset: int = DEFAULT_OPSET,
    images: Images | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    origin: Mapping[str, str] | None = None,
) -> Export:
    """Write a recalibrated network as a file, with FILE.json beside it.

    With `images` the file is run before it takes its name. One that computes something else is
    kept in the folder FILE.unverified.

    Args:
        network: From `extract`, recalibrated.
        file: Where to; a file that is there is replaced.
        format: "onnx", "qonnx", "torch", "npz" or "c"; by the ending of `file` if None.
        opset: Of an ONNX file, 25, or 21 for runtimes that lack integers of 2 bits.
        images: What to verify it on: normalized images, or batches of them with labels.
        class_names: One for each logit.
        preprocessing: How pictures become the network's input; the file carries it.
        origin: Where the network comes from, for the file and its sidecar.

    Raises:
        ExportError: A package is missing, the network cannot be written, or the file is not
            equal to it.
        ValueError: No such format or opset, or class names of the wrong number.
        OSError: The file cannot be written.
    """
    path = Path(file)
    chosen = export_format(format, path)
    options = ExportOptions(opset=opset)
    chosen.check(path, options, to_verify=images is not None)
    if images is not None:
        check_device(network)
    check_target(path)
    origin = dict(origin or {})
    plan = network_plan(
        network,
        class_names=class_names,
        mean=None if preprocessing is None else preprocessing.mean,
        std=None if preprocessing is None else preprocessing.std,
    )
    options = replace(options, metadata=file_metadata(plan, preprocessing, origin))
    with naming(path), temporary_folder(path.parent, f".{path.name}.") as folder:
        written, verification = _written(network, plan, folder / path.name, chosen, options, images)
        about = sidecar(
            plan,
            written,
            chosen,
            options,
            preprocessing=preprocessing,
            origin=origin,
            verification=verification,
        )
        beside = sidecar_path(written[0])
        beside.write_text(sidecar_text(about), encoding="utf-8")
        target = path.parent
        if verification is not None and not verification.passed:
            target = unverified_folder(path)
            target.mkdir(exist_ok=True)
        parts = (*written, beside)
        for part in reversed(parts):  # the main file last: see `remove_unfinished`
            part.replace(target / part.name)
        files = tuple(target / part.name for part in parts)
    if verification is not None and verification.failure is not None:
        raise ExportError(
            f"{path.name} is not equal to the network and is kept in {target}: "
            f"{verification.failure}"
        )
    return Export(files=files, verification=verification)


def places(file: Path, chosen: ExportFormat) -> tuple[Path, ...]:
    """Everything that an export to `file` may write, that one first."""
    beside = (file.with_suffix(ending) for ending in chosen.beside)
    return (file, *beside, sidecar_path(file), unverified_folder(file))


def remove_unfinished(file: Path, chosen: ExportFormat) -> None:
    """Remove what an export to `file` left that was killed while its files took their names.

    The sidecar takes its name first and the main file last: until then that lies in a hidden
    folder, and the sidecar tells its digest.
    """
    if file.exists():
        return
    _, *others, beside, _ = places(file, chosen)
    for folder in file.parent.glob(f".{glob.escape(file.name)}.*/"):
        try:
            about = json.loads(beside.read_text(encoding="utf-8"))["files"][file.name]["sha256"]
            if about != hashlib.sha256((folder / file.name).read_bytes()).hexdigest():
                continue
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # of somebody else
            continue
        for path in (*(other for other in others if not (folder / other.name).exists()), beside):
            path.unlink(missing_ok=True)
        shutil.rmtree(folder)


def unverified_folder(file: Path) -> Path:
    """Where files are kept that compute something else."""
    return file.with_name(f"{file.name}.unverified")


def check_target(file: Path) -> None:
    """Make the folder of `file`, and find out now whether it can be written to.

    Raises:
        OSError: It cannot; the error names `file`.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=file.parent).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def export_onnx(
    network: StaticNetwork,
    file: str | Path,
    *,
    opset: int = DEFAULT_OPSET,
    images: Images | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> Export:
    """`export` with format "onnx"."""
    return export(
        network,
        file,
        format="onnx",
        opset=opset,
        images=images,
        class_names=class_names,
        preprocessing=preprocessing,
    )


def _written(
    network: StaticNetwork,
    plan: NetworkPlan,
    path: Path,
    chosen: ExportFormat,
    options: ExportOptions,
    images: Images | None,
) -> tuple[tuple[Path, ...], Verification | None]:
    """The files, and the verdict on them."""
    written = chosen.write(plan, path, options)
    if images is None:
        return written, None
    return written, verify_plan(network, plan, path, chosen, images)
