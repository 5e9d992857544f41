"""What is known of an ablation: its arms, their runs, and what became of each of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

RunState = Literal["waiting", "running", "done", "failed", "skipped"]


@dataclass(frozen=True)
class ArmSize:
    """What an arm's model and training take, known without training it.

    Attributes
    ----------
    n_parameters : int
        Trainable parameters.
    multiply_accumulates : int
        Of one subject's forward pass.
    embedding_size : int
        Values of the embedding.
    least_bytes : int
        Lower bound of a training step's memory, with one subject at a time.
    """

    n_parameters: int
    multiply_accumulates: int
    embedding_size: int
    least_bytes: int


@dataclass(frozen=True)
class Arm:
    """One variant of the experiment.

    Attributes
    ----------
    name : str
        What people call it; unique within the ablation.
    levels : Mapping of str to str
        Name of the level that each factor is at, by factor.
    settings : Mapping of str to Any
        What is laid over the baseline's settings, by dotted path; solved where the file asks for
        a matched size.
    modalities : tuple of str
        What the arm fuses.
    is_baseline : bool
        Whether arms are compared with this one; exactly one arm is it.
    same_as : str or None
        An earlier arm that is the same experiment: its runs are this arm's too.
    infeasible : str
        Why it cannot be built; empty if it can. Such an arm has no runs.
    size : ArmSize or None
        None of an infeasible arm.
    leaky : bool
        Its normalisation sees the held-out subjects.
    notes : tuple of str
        What to know of it, such as how closely a size was matched.
    """

    name: str
    levels: Mapping[str, str]
    settings: Mapping[str, Any]
    modalities: tuple[str, ...]
    is_baseline: bool = False
    same_as: str | None = None
    infeasible: str = ""
    size: ArmSize | None = None
    leaky: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArmRun:
    """An arm at one seed: one cross-validated trial.

    Attributes
    ----------
    number : int
        Number within the ablation, from 0.
    arm : str
        Name of the arm; never one that has ``same_as`` or is infeasible.
    seed : int
        Root of its random streams, folds among them: all arms have the same folds at a seed.
    digest : str
        Identity of the trial.
    folder : str
        Name of its folder below ``execution.output``.
    split : str
        Digest of its folds.
    """

    number: int
    arm: str
    seed: int
    digest: str
    folder: str
    split: str


@dataclass(frozen=True)
class FoldRun:
    """One fold of an arm at a seed: what is handed out, and resumed.

    Attributes
    ----------
    run : int
        Number of the `ArmRun`.
    fold : int
        Number of the fold, from 0.
    state : str
        ``waiting``; ``running``; ``done``; ``failed``, by a type; ``skipped``, because the arm
        had failed already.
    reason : str
        A failure's type and message, or why it was skipped.
    attempts : int
        Times it was begun, over all sittings.
    seconds : float
        Time that it ran, over all attempts.
    gpu_seconds : float
        Time x GPUs of its workers.
    reused : bool
        Was done before this ablation asked for it.
    """

    run: int
    fold: int
    state: RunState = "waiting"
    reason: str = ""
    attempts: int = 0
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    reused: bool = False


@dataclass(frozen=True)
class Factor:
    """One thing that is varied, and what is expected of it.

    Attributes
    ----------
    name : str
        A dotted path, or a name for several settings together.
    hypothesis : str
        One line, written before anything ran.
    levels : tuple of str
        Names of its levels.
    reference : str
        The level that the baseline is at.
    """

    name: str
    hypothesis: str
    levels: tuple[str, ...]
    reference: str


@dataclass(frozen=True)
class Comparison:
    """What is compared: differences between pairs of arms, weighted and added.

    Attributes
    ----------
    name : str
        In words, such as ``none against all``.
    kind : str
        ``arm``: with the baseline; ``pair``: any two arms; ``main_effect``: of a factor's level
        over all arms that differ in nothing else; ``interaction``: of two factors; ``modality``:
        of adding a modality, over all sets it can be added to.
    pairs : tuple of (str, str, float)
        Arm, arm that it is compared with, weight. The weights of a comparison other than an
        interaction sum to 1.
    factor : str
        Which factor, factors or modality it is about; empty for pairs.
    """

    name: str
    kind: Literal["arm", "pair", "main_effect", "interaction", "modality"]
    pairs: tuple[tuple[str, str, float], ...]
    factor: str = ""


@dataclass(frozen=True)
class AblationPlan:
    """An ablation before it is run: what is asked, and which trials answer it.

    Attributes
    ----------
    name : str
        What people call it.
    ablation_id : str
        Its identity: experiment, data, folds and design together.
    experiment : str
        Name of the experiment.
    question : str
        What is asked.
    design : str
        ``modality_subsets``, ``one_factor_out``, ``one_factor_in`` or ``factorial``.
    factors : tuple of Factor
        What is varied.
    arms : tuple of Arm
        All of them, the baseline first.
    seeds : tuple of int
        Of each arm.
    n_folds : int
        Of each seed.
    fold_sizes : Mapping of int to tuple of (int, int)
        By seed: training and held-out subjects of each fold.
    runs : tuple of ArmRun
        By number.
    comparisons : tuple of Comparison
        Those of kinds ``arm``, ``main_effect``, ``interaction`` and ``modality``.
    aliases : tuple of str
        Of a fraction: which effects cannot be told apart, in words.
    """

    name: str
    ablation_id: str
    experiment: str
    question: str
    design: str
    factors: tuple[Factor, ...]
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    n_folds: int
    fold_sizes: Mapping[int, tuple[tuple[int, int], ...]]
    runs: tuple[ArmRun, ...]
    comparisons: tuple[Comparison, ...]
    aliases: tuple[str, ...] = ()

    @property
    def baseline(self) -> Arm:
        """The arm that others are compared with."""
        return next(arm for arm in self.arms if arm.is_baseline)

    def runs_of(self, arm: str) -> tuple[ArmRun, ...]:
        """List an arm's trials, or those of the arm that it is the same as, by seed.

        Parameters
        ----------
        arm : str
            Its name.

        Returns
        -------
        tuple of ArmRun
            One a seed; none of an infeasible arm.
        """
        of = next(one.same_as or one.name for one in self.arms if one.name == arm)
        return tuple(run for run in self.runs if run.arm == of)


@dataclass(frozen=True)
class Progress:
    """How far an ablation is.

    Attributes
    ----------
    folds : tuple of FoldRun
        Each fold of each run.
    gathered : tuple of int
        Numbers of the runs whose trial is whole: all folds, and their encoders compared.
    ungathered : Mapping of int to str
        Of runs with all folds, whose encoders could not be compared: why.
    """

    folds: tuple[FoldRun, ...]
    gathered: tuple[int, ...] = field(default=())
    ungathered: Mapping[int, str] = field(default_factory=dict)
