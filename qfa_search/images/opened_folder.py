"""What is known of a folder of images without decoding any."""

from __future__ import annotations

from dataclasses import dataclass

from qfa_search.images.layout import SplitName
from qfa_search.images.splits import FolderSplit


@dataclass(frozen=True)
class OpenedFolder:
    """A folder of class folders and its split; how images are decoded is told by its kinds.

    Attributes:
        split: Which images are in which split.
    """

    split: FolderSplit

    def size(self, split: SplitName) -> int:
        """Files of one split."""
        return self.split.size(split)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: label i is the i-th."""
        return self.split.classes

    @property
    def split_digest(self) -> str:
        """Fingerprint of the training labels and of which of them are held out."""
        return self.split.split_digest

    @property
    def files_digest(self) -> str:
        """Fingerprint of all file names and of the split that each is in."""
        return self.split.files_digest

    @property
    def digest(self) -> str | None:
        """Fingerprint of all names, splits and contents; None where contents are not known."""
        return self.split.digest
