"""The errors a user can cause or must read.

Each message says what must hold, what was given, where, and what to do. The command line prints it
as one paragraph and exits with the class's ``exit_code``.
"""


class IsthmusError(Exception):
    """Anything isthmus refuses knowingly; never raised for a bug in isthmus itself."""

    exit_code = 2


class ConfigError(IsthmusError, ValueError):
    """A setting, an override or a configuration file that cannot be used."""


class CohortError(IsthmusError):
    """Participants, phenotypes or families that do not fit together."""


class ImageError(IsthmusError):
    """An image that cannot be used, with the reason."""


class LeakageError(IsthmusError):
    """A split or a statistic that would let held-out subjects into training."""


class ResourceError(IsthmusError):
    """More workers, memory or devices were asked for than there are."""


class NoRoom(ResourceError):
    """Room for workers was waited for in vain; it may come, as when nodes come back."""


class FolderBusy(ResourceError):
    """Another process writes the folder, and it must be one at a time."""


class OutOfMemory(ResourceError):
    """Training did not fit into memory; a smaller micro-batch may."""


class DiskFull(IsthmusError):
    """A file system has no room left, or a quota is used up; what was finished is intact."""


class TrainingDiverged(IsthmusError):
    """A loss or a gradient that is not finite; raised before the optimiser's step."""

    exit_code = 4


class StoreUnavailable(IsthmusError):
    """A store of runs or of a study that does not answer now, and may again."""


class StratificationError(IsthmusError):
    """Embeddings or phenotypes on which no stratification can be computed."""


class PromotionRefused(IsthmusError):
    """A model that a gate keeps from production; the message names the gates, and by how much."""

    exit_code = 3
