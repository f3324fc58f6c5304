"""What finished runs found, kept so that an interrupted benchmark goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictors.files import write_text

Numbers = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FinishedRuns:
    """A JSON file for each finished run, named after the run and a digest of its settings.

    Attributes:
        folder: Where the files are.
    """

    folder: Path

    def numbers(
        self, name: str, settings: Mapping[str, Any], run: Callable[[Path], Numbers]
    ) -> Numbers:
        """What the run found: read if it has finished before with equal settings, else run now.

        Args:
            name: What the run is, fit for a file name.
            settings: Everything that its numbers depend on, plain data.
            run: Takes a folder for unfinished work, which is the same after an interruption and
                is removed at the end; returns plain data.
        """
        text = json.dumps(settings, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        path = self.folder / f"{name}-{digest}.json"
        if path.is_file():
            kept: Numbers = json.loads(path.read_text(encoding="utf-8"))["numbers"]
            return kept
        print(f"{name} ...", file=sys.stderr, flush=True)
        unfinished = self.folder / f"{name}-{digest}"
        unfinished.mkdir(parents=True, exist_ok=True)
        # Through JSON, so that a first and a repeated reading are alike.
        numbers: Numbers = json.loads(json.dumps(run(unfinished)))
        content = {"name": name, "settings": dict(settings), "numbers": numbers}
        write_text(path, json.dumps(content, indent=1) + "\n")
        shutil.rmtree(unfinished, ignore_errors=True)
        return numbers
