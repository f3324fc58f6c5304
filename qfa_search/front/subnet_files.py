"""Subnets that a user names: one in a file, all of a front, or one member of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qfa_search.errors import CheckpointMismatchError
from qfa_search.front.front import ParetoFront
from search_spaces import SearchSpace, Subnet
from search_spaces.arrays import Floats
from search_spaces.genome import Genomes
from search_spaces.plain_data import parse_json, read_integers, read_text, shown, whole_number

ONCE_FOR_ALL = ("ks", "e", "d")  # and "r", its names of kernel sizes, expand ratios, depths
_MEMBER = re.compile(r"(.+):([^:]*)", re.DOTALL)
_KNOWN_MEMBER = re.compile(r"\d{1,9}|knee|best", re.ASCII)


class MissingSpaceError(ValueError):
    """A file that does not bring its space was read without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetsRead:
    """Subnets that a text named.

    Attributes:
        path: The file.
        space: Their space.
        X: Canonical genomes, `(n, n_genes)`, at least one.
        top1_predicted: Percent, `(n,)`; NaN for those that are of no front.
        indices: Their indices in the front, `(n,)`; None unless the file is a front.
        front: The whole front; None unless the file is one.
    """

    path: Path
    space: SearchSpace
    X: Genomes
    top1_predicted: Floats
    indices: NDArray[np.int64] | None = None
    front: ParetoFront | None = None

    def the_only_one(self) -> Subnet:
        """The subnet, where one is needed.

        Raises:
            ValueError: There are several.
        """
        if len(self.X) == 1:
            return self.space.layout.decode(self.X[0])
        choose = f"{self.path}:INDEX, :knee or :best" if self.front else "a file with one"
        raise ValueError(f"{self.path} has {len(self.X)} subnets, one is needed: give {choose}")


def read_subnets(
    text: str | Path, space: SearchSpace | None = None, digest: str | None = None
) -> SubnetsRead:
    """The subnets that `text` names, checked to be of `space` and supernet.

    Args:
        text: FRONT.json for all its members, FRONT.json:INDEX, FRONT.json:knee or
            FRONT.json:best (the highest top1) for one; SUBNET.json as `Subnet.to_dict` has it or
            {"ks", "e", "d", "r"} as once-for-all has it; or a GENES.npy, `(n, n_genes)`, of choice
            indices or published gene values.
        space: Where they must be from; a front brings its own.
        digest: Digest of the supernet that they are for; without it any will do.

    Raises:
        ValueError: Missing or foreign file, a subnet that the space does not have, no such
            member, or no `space` for a file that does not bring one.
        CheckpointMismatchError: The front is of another space or supernet.
    """
    path, member = split_member(text)
    if path.suffix == ".npy":
        X: Genomes | None = _of_array(path, _needed(space, path))
    else:
        X = _of_subnet(path, space)
    if X is not None:
        assert space is not None
        if member is not None:
            raise ValueError(f"{path} is no front, it has no {member}: leave out :{member}")
        unknown: Floats = np.full(len(X), np.nan)
        return SubnetsRead(path=path, space=space, X=X, top1_predicted=unknown)
    front = read_front(path, space, digest)
    indices = np.arange(len(front)) if member is None else np.array([_index(front, member, path)])
    return SubnetsRead(
        path=path,
        space=front.space,
        X=front.X[indices],
        top1_predicted=front.top1_predicted[indices],
        indices=indices,
        front=front,
    )


def read_subnet(
    text: str | Path, space: SearchSpace | None = None, digest: str | None = None
) -> Subnet:
    """The one subnet that `text` names, as `read_subnets` reads it.

    Raises:
        ValueError: Not readable, or several subnets.
        CheckpointMismatchError: The front is of another space or supernet.
    """
    return read_subnets(text, space, digest).the_only_one()


def read_front(
    path: str | Path, space: SearchSpace | None = None, digest: str | None = None
) -> ParetoFront:
    """A front with members, checked to be of `space` and supernet.

    Args:
        path: A front.json.
        space: Where its members must be from; any without it.
        digest: Digest of the supernet that it must be of; any without it.

    Raises:
        ValueError: Missing or foreign file, or a front without members.
        CheckpointMismatchError: The front is of another space or supernet.
    """
    front = ParetoFront.load(path)
    if not len(front):
        raise ValueError(f"the front {path} has no members")
    if space is not None and front.space != space:
        raise CheckpointMismatchError(
            f"{path} is a front of the space {front.space.name}, not of this {space.name}"
        )
    if None not in (digest, front.supernet_digest) and front.supernet_digest != digest:
        raise CheckpointMismatchError(
            f"{path} was found on supernet {front.supernet_digest}, this one is {digest}: "
            "give --supernet the one it belongs to"
        )
    return front


def split_member(text: str | Path) -> tuple[Path, str | None]:
    """The file of FRONT.json:MEMBER, and the member (an index, "knee" or "best") if there is one.

    A file that is there under the whole name is that file.
    """
    found = _MEMBER.fullmatch(str(text))
    if found is None or Path(text).exists():
        return Path(text), None
    is_member = _KNOWN_MEMBER.fullmatch(found[2]) or Path(found[1]).is_file()
    return (Path(found[1]), found[2]) if is_member else (Path(text), None)


def _index(front: ParetoFront, member: str, path: Path) -> int:
    if member == "knee":
        return front.knee_index()
    if member == "best":
        return front.best_index()
    if not _KNOWN_MEMBER.fullmatch(member):
        raise ValueError(f"{path} has no member {shown(member)}: give an index, knee or best")
    if int(member) >= len(front):
        raise ValueError(
            f"{path} has no member {member}: its {len(front)} members are 0 to {len(front) - 1}"
        )
    return int(member)


def _of_subnet(path: Path, space: SearchSpace | None) -> Genomes | None:
    """Genome of the subnet of a JSON file, `(1, n_genes)`; None if the file may be a front."""
    text = read_text(path, "subnet or front")
    try:
        data = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds neither a subnet nor a front")
    if data.get("format") == "qfa-search front" or "members" in data:
        return None
    space = _needed(space, path)
    try:
        if all(name in data for name in ONCE_FOR_ALL):
            return _of_once_for_all(space, data)
        return space.layout.encode(Subnet.from_dict(data))[None]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _of_once_for_all(space: SearchSpace, data: Mapping[str, object]) -> Genomes:
    """Genome of an architecture with the names of once-for-all, `(1, n_genes)`."""
    layout = space.layout
    if not space.layout.is_float:
        raise ValueError(
            f"an architecture of once-for-all has no bits, {space.name} has: give --space a "
            "space in floating point, such as ofa-mobilenet-v3-w1.0"
        )
    resolution = data.get("r", list(space.resolutions) if len(space.resolutions) == 1 else None)
    resolutions = resolution if isinstance(resolution, list) else [resolution]
    groups = {"kernel_size": data["ks"], "expand_ratio": data["e"], "depth": data["d"]}
    genes: list[int] = []
    for name, values in {**groups, "resolution": resolutions}.items():
        wanted = layout.groups[name].stop - layout.groups[name].start
        if not isinstance(values, list) or len(values) != wanted:
            raise ValueError(f"expected {wanted} numbers of {name}, got {shown(values)}")
        genes += [whole_number(name, value) for value in values]
    return layout.canonicalize(layout.from_published([genes]))


def _of_array(path: Path, space: SearchSpace) -> Genomes:
    """Genomes of a .npy file."""
    genes, layout = np.atleast_2d(read_integers(path)), space.layout
    if not len(genes):
        raise ValueError(f"{path} has no rows")
    try:
        is_index = genes.ndim == 2 and bool(layout.contains(genes).all())
        X = layout.check(genes) if is_index else layout.from_published(genes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return layout.canonicalize(X)


def _needed(space: SearchSpace | None, path: Path) -> SearchSpace:
    if space is None:
        raise MissingSpaceError(f"{path} does not say what space it is of: give --space")
    return space
