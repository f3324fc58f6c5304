"""Quantized-for-all architecture search.

Names are imported where they are first used: a search never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfa_search.deployment.classifier import Classifier
    from qfa_search.deployment.export import Export, export, export_onnx
    from qfa_search.deployment.preprocessing import Preprocessing
    from qfa_search.deployment.verify import Verification, verify_export
    from qfa_search.errors import (
        CheckpointMismatchError,
        DataError,
        ExportError,
        InfeasibleBudgetError,
        MeasurementError,
        QFAError,
        TrainingError,
    )
    from qfa_search.evolution.config import SearchConfig
    from qfa_search.evolution.loop import SearchProgress
    from qfa_search.evolution.measured import measured_front
    from qfa_search.evolution.refining import RefinedRound, refine
    from qfa_search.evolution.search import search
    from qfa_search.front.dominance import hypervolume, non_dominated_mask
    from qfa_search.front.front import ParetoFront
    from qfa_search.front.networks import network
    from qfa_search.front.objectives import Limits
    from qfa_search.images.sources import open_data
    from qfa_search.measuring.calls import Sampled, fit, measure, sample
    from qfa_search.measuring.evaluation import evaluate
    from qfa_search.measuring.result import Evaluation
    from qfa_search.published.checkpoint import as_released, import_published_supernet
    from qfa_search.report.page import write_report
    from qfa_search.supernet.extract import StaticNetwork, extract
    from qfa_search.supernet.mobilenet_v3 import Supernet
    from qfa_search.supernet.recalibrate import recalibrate
    from qfa_search.supernet.storage import load_supernet
    from qfa_search.training.calls import train

# Where each public name lives.
_MODULES = {
    "CheckpointMismatchError": "qfa_search.errors",
    "Classifier": "qfa_search.deployment.classifier",
    "DataError": "qfa_search.errors",
    "Evaluation": "qfa_search.measuring.result",
    "Export": "qfa_search.deployment.export",
    "ExportError": "qfa_search.errors",
    "InfeasibleBudgetError": "qfa_search.errors",
    "Limits": "qfa_search.front.objectives",
    "MeasurementError": "qfa_search.errors",
    "ParetoFront": "qfa_search.front.front",
    "Preprocessing": "qfa_search.deployment.preprocessing",
    "QFAError": "qfa_search.errors",
    "RefinedRound": "qfa_search.evolution.refining",
    "Sampled": "qfa_search.measuring.calls",
    "SearchConfig": "qfa_search.evolution.config",
    "SearchProgress": "qfa_search.evolution.loop",
    "StaticNetwork": "qfa_search.supernet.extract",
    "Supernet": "qfa_search.supernet.mobilenet_v3",
    "TrainingError": "qfa_search.errors",
    "Verification": "qfa_search.deployment.verify",
    "as_released": "qfa_search.published.checkpoint",
    "evaluate": "qfa_search.measuring.evaluation",
    "export": "qfa_search.deployment.export",
    "export_onnx": "qfa_search.deployment.export",
    "extract": "qfa_search.supernet.extract",
    "fit": "qfa_search.measuring.calls",
    "hypervolume": "qfa_search.front.dominance",
    "import_published_supernet": "qfa_search.published.checkpoint",
    "load_supernet": "qfa_search.supernet.storage",
    "measure": "qfa_search.measuring.calls",
    "measured_front": "qfa_search.evolution.measured",
    "network": "qfa_search.front.networks",
    "non_dominated_mask": "qfa_search.front.dominance",
    "open_data": "qfa_search.images.sources",
    "recalibrate": "qfa_search.supernet.recalibrate",
    "refine": "qfa_search.evolution.refining",
    "sample": "qfa_search.measuring.calls",
    "search": "qfa_search.evolution.search",
    "train": "qfa_search.training.calls",
    "verify_export": "qfa_search.deployment.verify",
    "write_report": "qfa_search.report.page",
}

__all__ = [
    "CheckpointMismatchError",
    "Classifier",
    "DataError",
    "Evaluation",
    "Export",
    "ExportError",
    "InfeasibleBudgetError",
    "Limits",
    "MeasurementError",
    "ParetoFront",
    "Preprocessing",
    "QFAError",
    "RefinedRound",
    "Sampled",
    "SearchConfig",
    "SearchProgress",
    "StaticNetwork",
    "Supernet",
    "TrainingError",
    "Verification",
    "as_released",
    "evaluate",
    "export",
    "export_onnx",
    "extract",
    "fit",
    "hypervolume",
    "import_published_supernet",
    "load_supernet",
    "measure",
    "measured_front",
    "network",
    "non_dominated_mask",
    "open_data",
    "recalibrate",
    "refine",
    "sample",
    "search",
    "train",
    "verify_export",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
