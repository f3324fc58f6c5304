"""From a picture to the names of classes: a network of a supernet, or an exported file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qfa_search.deployment.preprocessing import Preprocessing
from qfa_search.errors import ExportError
from search_spaces import SearchSpace
from search_spaces.plain_data import whole_number

if TYPE_CHECKING:
    from qfa_search.supernet.extract import StaticNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """A network with what it needs to read a picture file.

    Attributes:
        logits: From normalized images `(n, channels, R, R)` to `(n, n_classes)`.
        preprocessing: How pictures become its input.
        resolution: Side of its input in pixels.
        class_names: One for each logit.
    """

    logits: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    preprocessing: Preprocessing
    resolution: int
    class_names: tuple[str, ...]

    @classmethod
    def from_network(cls, network: StaticNetwork, supernet: str | Path | None = None) -> Classifier:
        """The classifier of a network from `qfa_search.network`.

        Args:
            network: Recalibrated.
            supernet: The supernet that it comes from, by name, file or folder; None is the
                bundled one.

        Raises:
            ValueError: No such supernet, or one of another space.
        """
        import torch

        from predictors.files import read_metadata
        from qfa_search.images.sources import class_names
        from qfa_search.supernet.files import resolve_supernet

        metadata = read_metadata(resolve_supernet(supernet).weights, "supernet")
        if SearchSpace.from_dict(metadata["space"]) != network.space:
            raise ValueError(
                f"the network is of the space {network.space.name}, the supernet of "
                f"{metadata['space']['name']}: give the supernet that it comes from"
            )
        device = next(network.parameters()).device

        @torch.inference_mode()
        def logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = network(torch.from_numpy(images).to(device)).cpu().numpy()
            return found

        return cls(
            logits=logits,
            preprocessing=Preprocessing.of_supernet(network.space, metadata),
            resolution=network.subnet.resolution,
            class_names=_names(class_names(metadata), network.space.n_classes),
        )

    @classmethod
    def from_onnx(cls, file: str | Path) -> Classifier:
        """The classifier in an ONNX file that `qfa-search export` wrote.

        Raises:
            ExportError: onnxruntime is missing or does not load it, or it lacks what
                `qfa-search export` writes about pictures.
            OSError: It cannot be read.
        """
        from qfa_search.deployment.engines import onnx_session, run_onnx
        from qfa_search.deployment.formats import check_packages
        from qfa_search.deployment.onnx_graph import IMAGE, LOGITS
        from qfa_search.deployment.sidecar import KEY

        check_packages("running onnx files", ("onnxruntime",))
        session = onnx_session(Path(file).read_bytes(), name=str(file))
        try:
            about = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
            preprocessing = Preprocessing.from_dict(about["preprocessing"])
            resolution = whole_number("resolution", about["resolution"], least=1)
            (image,), (output,) = session.get_inputs(), session.get_outputs()
            shape = [len(preprocessing.mean), resolution, resolution]
            if (image.name, image.shape[1:], output.name) != (IMAGE, shape, LOGITS):
                raise ValueError(f"it has the input {image.name} of the shape {image.shape}")
            n_classes = whole_number("classes", output.shape[-1], least=1)
            names = _names(about.get("class_names"), n_classes)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ExportError(
                f"{file} does not say how pictures become its input: give a file that "
                "qfa-search export wrote, or qfa_search.export with preprocessing=..."
            ) from error

        def logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
            (found,) = run_onnx(session, [LOGITS], images, name=str(file))
            return np.asarray(found, dtype=np.float32)

        return cls(
            logits=logits,
            preprocessing=preprocessing,
            resolution=resolution,
            class_names=names,
        )

    def classify(self, picture: str | Path) -> tuple[tuple[str, float], ...]:
        """Names of the classes and their probabilities, the most probable first.

        Raises:
            DataError: The picture cannot be read.
            ExportError: The network does not run, or its answer is no numbers.
        """
        images = self.preprocessing.prepare(Path(picture), self.resolution).numpy()
        logits = self.logits(images)[0].astype(np.float64)
        if logits.shape != (len(self.class_names),) or not np.isfinite(logits).all():
            raise ExportError(f"the network's answer to {picture} is no number for each class")
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        order = np.argsort(-shares, kind="stable")
        return tuple((self.class_names[i], float(shares[i])) for i in order)


def _names(known: Sequence[str] | None, n_classes: int) -> tuple[str, ...]:
    names = tuple(known) if known else tuple(f"class {i}" for i in range(n_classes))
    if len(names) != n_classes or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected the names of {n_classes} classes, got {names}")
    return names
