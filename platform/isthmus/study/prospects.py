"""From a point of the space to the experiment that it stands for, and whether that can be run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import Experiment, explain
from isthmus.config.paths import put, settings_paths
from isthmus.config.search_space import SearchSpace
from isthmus.core.digest import digest_of
from isthmus.core.errors import ConfigError, IsthmusError
from isthmus.trial.preflight import require_strata_possible, steps_of_folds
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
        config = self._resolve({**self._unasked(point), **point, **changed})
        try:
            steps_of_folds(config, self._base.split)
            require_strata_possible(config, self._base.participants, self._base.split)
        except IsthmusError as error:
            raise ConfigError(str(error)) from None
        reason = self._why_not(config)
        if reason is not None:
            raise ConfigError(reason)
        digest = digest_of({**self._base.identity, "experiment": config.digest})
        experiment = replace(self._base.experiment, config=config)
        trial = replace(self._base, experiment=experiment, digest=digest)
        return Prospect(experiment, digest, trial.directory.name)

    def _unasked(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Give the dimensions that were not asked their settings' defaults."""
        known = settings_paths()
        return {
            path: known[path].get_default(call_default_factory=True)
            for path in self._space.space
            if path not in point
        }

    def _resolve(self, values: Mapping[str, Any]) -> ExperimentConfig:
        """Lay values over the experiment's settings and check them together."""
        content = self._base.experiment.config.model_dump(mode="json")
        for path, value in values.items():
            put(content, path, value)
        content["execution"] |= self._execution
        try:
            return ExperimentConfig.model_validate(content)
        except ValidationError as error:
            raise ConfigError(explain(error, "this point")) from None
