"""The network behind a member of a front, as it was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qfa_search.front.member import FrontMember
from qfa_search.measuring.device import AUTO
from search_spaces import Subnet

if TYPE_CHECKING:
    from qfa_search.supernet.extract import StaticNetwork


def network(
    supernet: str | Path | None,
    subnet: Subnet | FrontMember | str | Path,
    *,
    data: str | Path | None = None,
    device: str = AUTO,
) -> StaticNetwork:
    """The very network that is measured: extracted, and recalibrated on the same images.

    Its accuracy on the validation split is the number that `qfa-search evaluate` prints.

    Args:
        supernet: Name, file or folder of a supernet; None is the bundled one.
        subnet: A subnet, a member of a front, or a file: SUBNET.json, or FRONT.json:INDEX,
            :knee or :best.
        data: Images that the supernet was trained on; those that it names by default.
        device: "cpu", "cuda", "cuda:N", or "auto": the GPU where there is one. The network
            stays there.

    Raises:
        ValueError: No such file, device or subnet.
        DataError: The images do not fit the supernet or cannot be read.
        CheckpointMismatchError: The images or the front are of another supernet.
    """
    from qfa_search.front.subnet_files import read_subnet
    from qfa_search.measuring.subnets import measure_config, measured_network
    from qfa_search.supernet.files import resolve_supernet

    files = resolve_supernet(supernet)
    if isinstance(subnet, FrontMember):
        subnet = subnet.subnet
    if not isinstance(subnet, Subnet):
        subnet = read_subnet(subnet, files.space(), files.digest())
    config = measure_config(files.weights, files.data(data), device=device)
    return measured_network(config, subnet)
