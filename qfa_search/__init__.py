"""Quantized-for-all architecture search.

Names are imported where they are first used: a search never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfa_search.api import search
    from qfa_search.config import Limits, SearchConfig
    from qfa_search.errors import (
        CheckpointMismatchError,
        DataError,
        ExportError,
        InfeasibleBudgetError,
        QFAError,
        TrainingError,
    )
    from qfa_search.evaluation import Evaluation, evaluate
    from qfa_search.evolution import SearchProgress
    from qfa_search.pareto import ParetoFront, hypervolume, non_dominated_mask
    from qfa_search.published import as_released, import_published_supernet
    from qfa_search.refining import RefinedRound, refine
    from qfa_search.supernet.extract import StaticNetwork, extract
    from qfa_search.supernet.mobilenet_v3 import Supernet
    from qfa_search.supernet.recalibrate import recalibrate
    from qfa_search.supernet.storage import load_supernet

# Where each public name lives.
_MODULES = {
    "CheckpointMismatchError": "qfa_search.errors",
    "DataError": "qfa_search.errors",
    "Evaluation": "qfa_search.evaluation",
    "ExportError": "qfa_search.errors",
    "InfeasibleBudgetError": "qfa_search.errors",
    "Limits": "qfa_search.config",
    "ParetoFront": "qfa_search.pareto",
    "QFAError": "qfa_search.errors",
    "RefinedRound": "qfa_search.refining",
    "SearchConfig": "qfa_search.config",
    "SearchProgress": "qfa_search.evolution",
    "StaticNetwork": "qfa_search.supernet.extract",
    "Supernet": "qfa_search.supernet.mobilenet_v3",
    "TrainingError": "qfa_search.errors",
    "as_released": "qfa_search.published",
    "evaluate": "qfa_search.evaluation",
    "extract": "qfa_search.supernet.extract",
    "hypervolume": "qfa_search.pareto",
    "import_published_supernet": "qfa_search.published",
    "load_supernet": "qfa_search.supernet.storage",
    "non_dominated_mask": "qfa_search.pareto",
    "recalibrate": "qfa_search.supernet.recalibrate",
    "refine": "qfa_search.refining",
    "search": "qfa_search.api",
}

__all__ = [
    "CheckpointMismatchError",
    "DataError",
    "Evaluation",
    "ExportError",
    "InfeasibleBudgetError",
    "Limits",
    "ParetoFront",
    "QFAError",
    "RefinedRound",
    "SearchConfig",
    "SearchProgress",
    "StaticNetwork",
    "Supernet",
    "TrainingError",
    "as_released",
    "evaluate",
    "extract",
    "hypervolume",
    "import_published_supernet",
    "load_supernet",
    "non_dominated_mask",
    "recalibrate",
    "refine",
    "search",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
