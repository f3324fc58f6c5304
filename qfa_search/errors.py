"""Every error of this package that a caller may want to catch."""


class QFAError(Exception):
    """Something that the user can mend; the command line prints it in one line."""


class InfeasibleBudgetError(QFAError):
    """No subnet is inside the limits, or none that was measured."""


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


def is_full_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full, that of a GPU too: torch has no kind for it.

    So does one that was raised while such a one was handled: `torch.save` ends with another word.
    """
    kinds = RuntimeError | ImportError | SystemError
    if isinstance(error, MemoryError) or (
        isinstance(error, kinds) and says_full_memory(str(error))
    ):
        return True
    return error.__context__ is not None and is_full_memory(error.__context__)


def says_full_memory(told: str) -> bool:
    """Whether the words of a library's error say that memory is full."""
    words = (
        *("can't allocate memory", "out of memory", "bad_alloc", "can't start new thread"),
        "Failed to allocate memory",  # of onnxruntime
        "could not create a primitive",  # of oneDNN, which says no more
        "failed to map segment",  # of the loader, where a library is imported late
        "error return without exception set",  # of Python, where not even an error had room
    )
    return any(word in told for word in words)
