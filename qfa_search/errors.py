"""Every error of this package that a caller may want to catch."""


class QFAError(Exception):
    """Something that the user can mend; the command line prints it in one line."""


class InfeasibleBudgetError(QFAError):
    """No subnet of the space is inside the limits."""


class CheckpointMismatchError(QFAError):
    """A file does not fit the space, supernet or predictor that it is used with."""


class DataError(QFAError):
    """The images are missing, unreadable or of the wrong form."""


class MeasurementError(QFAError):
    """A network has no accuracy, or a process that measures is gone."""


class TrainingError(QFAError):
    """Training cannot go on."""


class ExportError(QFAError):
    """A network cannot be exported, or the export is not equal to it."""
