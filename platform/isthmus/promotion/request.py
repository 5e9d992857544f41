"""What is asked of a promotion, and what cannot be asked for."""

from dataclasses import dataclass

from isthmus.cohort.seal import SEAL_NAME, read_seal
from isthmus.config.load import Experiment
from isthmus.config.promotion.gates import PromotionConfig
from isthmus.core.errors import CohortError, ConfigError
from isthmus.promotion.contest import Contest
from isthmus.promotion.registry.aliases import CHAMPION, checked_reason
from isthmus.promotion.registry.reference import parse_reference
from isthmus.volumes.location import StoreLocation

_LONGEST_NAME = 200


@dataclass(frozen=True)
class PromotionRequest:
    """What is asked for.

    Attributes
    ----------
    gates : PromotionConfig
        Gates and thresholds.
    model : str
        Name of the registered model.
    trial : int or None
        Only this one; None: all finished trials, of which one is chosen.
    refit : bool
        Train once more, on all development subjects.
    override : str or None
        Why the model goes on although gates fail; for one trial alone.
    challenger : bool
        Stop short of the champion: the model becomes ``challenger``.
    """

    gates: PromotionConfig
    model: str
    trial: int | None = None
    refit: bool = False
    override: str | None = None
    challenger: bool = False

    @property
    def opens_lockbox(self) -> bool:
        """Whether the gates ask anything of the lockbox."""
        return any(True for _ in self.gates.lockbox.asked())


def check_request(contest: Contest, request: PromotionRequest) -> None:
    """Refuse what cannot be asked for, before anything is computed or looked at.

    Parameters
    ----------
    contest : Contest
        The finished trials.
    request : PromotionRequest
        What is asked for.

    Raises
    ------
    ConfigError
        If the trial has not finished, a reason to override is not given for one trial, or the
        name is none that a model can be found by.
    AliasRefused
        If the reason is blank, or longer than the registry keeps.
    """
    _check_name(request.model)
    numbers = sorted(contest.directories)
    if request.trial is not None and request.trial not in numbers:
        raise ConfigError(
            f"--trial must be a finished trial of {contest.name}, one of "
            f"{', '.join(map(str, numbers))}, got {request.trial}."
        )
    if request.override is None:
        return
    checked_reason(request.override, "--override")
    if request.trial is None and len(numbers) > 1:
        raise ConfigError(
            f"--override must be for one trial, but {len(numbers)} have finished. Say which "
            "one the reason is for: --trial N."
        )


def require_lockbox(experiment: Experiment) -> None:
    """Refuse gates on a lockbox that is not there, before hours are spent on a refit.

    Parameters
    ----------
    experiment : Experiment
        Of the trial.

    Raises
    ------
    CohortError
        If nobody was set aside.
    """
    folder = StoreLocation(experiment.store_url).path
    if folder is None:
        return  # is refused with the reason when it is opened
    seal = read_seal(folder)
    if seal is None or not seal.participant_ids:
        raise CohortError(
            f"{folder / SEAL_NAME}: the gates ask of the lockbox, but nobody was set aside in it. "
            "Develop the model again with cohort.lockbox_share above 0 and a new execution.store, "
            "or ask nothing of it: --gates-set lockbox.mean_image=false, and so for each gate of "
            "it; then nothing is known of subjects whom no choice has seen."
        )


def _check_name(name: str) -> None:
    """Refuse a name that no registry takes, or that NAME@champion could not be told from."""
    try:
        found = parse_reference(f"{name}@{CHAMPION}").name
    except ConfigError:
        found = ""
    if found != name or not name.strip(" .") or len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"--model must be a name of at most {_LONGEST_NAME} characters without '/', ':' and "
            f"'@', not of blanks or dots alone nor with a blank before it, got {name!r}."
        )
