"""From a point of the space to the experiment that it stands for, and whether that can be run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.laid_over import laid_over
from isthmus.config.load import Experiment
from isthmus.config.paths import settings_paths
from isthmus.config.search_space import SearchSpace
from isthmus.core.digest import digest_of
from isthmus.core.errors import ConfigError, IsthmusError
from isthmus.trial.preflight import require_images, require_strata_possible, steps_of_folds
from isthmus.trial.run import PreparedTrial

WhyNot = Callable[[ExperimentConfig], str | None]


@dataclass(frozen=True)
class Prospect:
    """A point that can be run.

    Attributes
    ----------
    experiment : Experiment
        Resolved settings and folders.
    digest : str
        Identity of the trial that it makes.
    folder : str
        Name of the trial's folder below the experiment's output.
    """

    experiment: Experiment
    digest: str
    folder: str


class Prospects:
    """Makes experiments of points; all of them share cohort, images and folds.

    Parameters
    ----------
    base : PreparedTrial
        The experiment that is varied, with its inputs open.
    space : SearchSpace
        Which settings vary.
    execution : Mapping of str to Any
        Settings of `execution` that each trial is given, such as its threads.
    why_not : callable
        Says of settings why their model cannot be built here, or None.
    """

    def __init__(
        self,
        base: PreparedTrial,
        space: SearchSpace,
        execution: Mapping[str, Any],
        why_not: WhyNot,
    ) -> None:
        self._base = base
        self._space = space
        self._execution = dict(execution)
        self._why_not = why_not

    @property
    def max_failures(self) -> int:
        """How often the process of a trial may die."""
        return self._base.experiment.config.execution.max_failures

    def make(self, point: Mapping[str, Any], changed: Mapping[str, Any]) -> Prospect:
        """Turn a point into an experiment.

        Parameters
        ----------
        point : Mapping of str to Any
            Values by dotted path. A dimension that was not asked, because its `when` does not
            hold, has the setting's default: it says something that would be ignored.
        changed : Mapping of str to Any
            Settings that are laid over it, by dotted path.

        Returns
        -------
        Prospect
            With a digest of its own unless it is the same experiment.

        Raises
        ------
        ConfigError
            If no such trial can be run, with the reason.
        """
        values = {**unasked(self._space, point), **point, **changed}
        return prospect_of(self._base, values, self._execution, self._why_not, "this point")


def prospect_of(
    base: PreparedTrial,
    values: Mapping[str, Any],
    execution: Mapping[str, Any],
    why_not: WhyNot,
    source: str,
) -> Prospect:
    """Lay settings over a prepared trial, whose cohort, images and folds stay.

    Parameters
    ----------
    base : PreparedTrial
        The experiment that is varied, with its inputs open.
    values : Mapping of str to Any
        Settings by dotted path; none that changes who is studied or the folds.
    execution : Mapping of str to Any
        Settings of `execution` that the trial is given.
    why_not : callable
        Says of settings why their model cannot be built here, or None.
    source : str
        What asks for the settings, for messages.

    Returns
    -------
    Prospect
        With a digest of its own unless it is the same experiment.

    Raises
    ------
    ConfigError
        If no such trial can be run, with the reason.
    """
    given = {f"execution.{name}": value for name, value in execution.items()}
    config = laid_over(base.experiment.config, {**values, **given}, source)
    try:
        steps_of_folds(config, base.split)
        require_images(config, base.store, base.split)
        require_strata_possible(config, base.participants, base.split)
    except IsthmusError as error:
        raise ConfigError(str(error)) from None
    reason = why_not(config)
    if reason is not None:
        raise ConfigError(reason)
    digest = digest_of({**base.identity, "experiment": config.digest})
    experiment = replace(base.experiment, config=config)
    trial = replace(base, experiment=experiment, digest=digest)
    return Prospect(experiment, digest, trial.directory.name)


def unasked(space: SearchSpace, point: Mapping[str, Any]) -> dict[str, Any]:
    """Give the dimensions that were not asked at a point their settings' defaults.

    Parameters
    ----------
    space : SearchSpace
        Which settings vary.
    point : Mapping of str to Any
        Values of those that were asked, by dotted path.

    Returns
    -------
    dict of str to Any
        By dotted path.
    """
    known = settings_paths()
    return {
        path: known[path].get_default(call_default_factory=True)
        for path in space.space
        if path not in point
    }
