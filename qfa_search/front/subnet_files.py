"""Subnets that a user gives as a file: one subnet, or the members of a front."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qfa_search.errors import CheckpointMismatchError
from qfa_search.front.front import ParetoFront
from qfa_search.supernet.files import SupernetFiles
from search_spaces import Subnet


def read_subnets(path: Path, files: SupernetFiles) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Genomes `(n, n_genes)` of a front.json or a subnet's JSON, and their predicted top-1.

    The prediction is NaN for a single subnet.

    Raises:
        ValueError: Missing or foreign file, or a subnet that the space does not have.
        CheckpointMismatchError: The front belongs to another supernet.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"cannot read {path} as a front or a subnet: {error}") from error
    space = files.space()
    if isinstance(data, dict) and "stages" in data:
        return space.layout.encode(Subnet.from_dict(data))[None], np.array([np.nan])
    front = ParetoFront.load(path)
    if front.space != space:
        raise CheckpointMismatchError(
            f"{path} is a front of the space {front.space.name}, the supernet is of {space.name}"
        )
    if front.supernet_digest not in (None, files.digest()):
        raise CheckpointMismatchError(
            f"{path} was found on supernet {front.supernet_digest}, this one is {files.digest()}: "
            "give --supernet the one it belongs to"
        )
    return front.X, front.top1_predicted


def read_subnet(reference: str, files: SupernetFiles) -> Subnet:
    """The one subnet that `reference` names: SUBNET.json, FRONT.json:INDEX or FRONT.json:knee.

    Raises:
        ValueError: Missing or foreign file, or a member that it does not have.
        CheckpointMismatchError: The front belongs to another supernet.
    """
    name, _, member = reference.rpartition(":")
    if not name or Path(reference).is_file():
        name, member = reference, ""
    X, _ = read_subnets(Path(name), files)
    if member == "knee":
        index = ParetoFront.load(name).knee_index()
    elif member.isdecimal() and int(member) < len(X):
        index = int(member)
    elif not member and len(X) == 1:
        index = 0
    else:
        raise ValueError(
            f"{reference} names no subnet: add :INDEX or :knee to a front's name, "
            f"INDEX from 0 to {len(X) - 1}"
        )
    return files.space().layout.decode(X[index])
