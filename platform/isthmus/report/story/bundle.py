"""All that is shown of one study, as one versioned record: `report_bundle.json`."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from isthmus.config.search_space import SearchSpace
from isthmus.report.page import Passage
from isthmus.report.table import Table
from isthmus.study.ablation.findings import AblationResult
from isthmus.study.records import StudyResult
from isthmus.trial.records import Estimate, TrialResult

Kind = Literal["search", "ablation", "trial"]
Cell = str | float | None


@dataclass(frozen=True)
class CohortSummary:
    """Who was studied, in counts; nobody of the lockbox is named.

    Attributes
    ----------
    n_subjects, n_families : int or None
        Development subjects and their families.
    n_lockbox : int or None
        Subjects set aside; None where that is not known, 0 where there is no lockbox.
    modalities : tuple of str
        What is fused.
    grid : str
        Voxels along each axis, such as ``"32x40x32"``; empty where not known.
    voxel_size_mm : tuple of float or None
        Edges of a voxel along each axis.
    counts : Mapping of str to Mapping of str to int
        For site, sex and the like: development subjects by value, ``n/a`` where it is missing.
    phenotypes, categorical_phenotypes, confounds : tuple of str
        Columns as declared.
    group_by, site : str or None
        Columns of family and site.
    facts : Mapping of str to str, int or float
        Model and cohort of the leading trial in numbers (`isthmus.trial.facts`).
    """

    n_subjects: int | None = None
    n_families: int | None = None
    n_lockbox: int | None = None
    modalities: tuple[str, ...] = ()
    grid: str = ""
    voxel_size_mm: tuple[float, float, float] | None = None
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    phenotypes: tuple[str, ...] = ()
    categorical_phenotypes: tuple[str, ...] = ()
    confounds: tuple[str, ...] = ()
    group_by: str | None = None
    site: str | None = None
    facts: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialBrief:
    """One trial in short: enough for a table, a tooltip, a link.

    Attributes
    ----------
    label : str
        What people call it: ``trial 3``, or arm and seed.
    number : int or None
        Number within the search, or of the ablation's run; None of a trial alone.
    arm : str or None
        Of an ablation: whose run it is.
    seed : int or None
        Likewise.
    state : str
        As `isthmus.study.records.TrialState`; of an ablation's run ``waiting``, ``running``,
        ``finished`` or ``failed``.
    reason : str
        Why it is in that state, where that needs a reason.
    point : Mapping of str to Any
        What was varied, by dotted path.
    digest, folder : str or None
        Identity, and name of its folder below ``execution.output``.
    n_folds, n_folds_done : int
        Folds planned (0 where that is not known), and those with a result.
    summary : Mapping of str to Estimate
        Metrics over folds; empty unless all finished.
    facts : Mapping of str to str, int or float
        Model and cohort in numbers.
    strata : tuple of tuple of str
        A finished fold each: strata, stability, verdicts and robustness score in words
        (`isthmus.report.strata_words.report_in_words`).
    run_ids : tuple of str
        Runs of the tracking store that hold its results, those of the study among them.
    fold_run_ids : Mapping of int to str
        Runs of its folds, by number.
    leaky : bool
        Normalisation saw the held-out subjects.
    """

    label: str
    number: int | None = None
    arm: str | None = None
    seed: int | None = None
    state: str = "running"
    reason: str = ""
    point: Mapping[str, Any] = field(default_factory=dict)
    digest: str | None = None
    folder: str | None = None
    n_folds: int = 0
    n_folds_done: int = 0
    summary: Mapping[str, Estimate] = field(default_factory=dict)
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    strata: tuple[tuple[str, str, str, str], ...] = ()
    run_ids: tuple[str, ...] = ()
    fold_run_ids: Mapping[int, str] = field(default_factory=dict)
    leaky: bool = False


@dataclass(frozen=True)
class KeptPicture:
    """A picture, as text that JSON can hold.

    Attributes
    ----------
    name : str
        Unique within its trial; a file's name without its ending.
    title : str
        What it is.
    alternative, png_base64 : str
        What is to be seen on it, in words; and the picture.
    participant_id : str or None
        Who is shown.
    fold : int or None
        By which fold's model.
    """

    name: str
    title: str
    alternative: str
    png_base64: str
    participant_id: str | None = None
    fold: int | None = None

    @property
    def png(self) -> bytes:
        """The picture."""
        return base64.b64decode(self.png_base64)

    @staticmethod
    def encoded(png: bytes) -> str:
        """Turn a picture into text.

        Parameters
        ----------
        png : bytes
            The picture.

        Returns
        -------
        str
            For `png_base64`.
        """
        return base64.b64encode(png).decode("ascii")


@dataclass(frozen=True)
class FoldHistory:
    """How one fold learned.

    Attributes
    ----------
    fold : int
        Its number, from 0.
    epochs : tuple of Mapping of str to float
        One record an epoch, as `isthmus.training.history` keeps it.
    """

    fold: int
    epochs: tuple[Mapping[str, float], ...]


@dataclass(frozen=True)
class Origin:
    """Code, environment and machine that a trial ran on.

    Attributes
    ----------
    version : str
        Of isthmus.
    git_commit : str
        Empty outside a checkout.
    n_changed_lines : int
        Lines added or removed in the checkout that were not committed.
    python : str
        Its version.
    packages : tuple of str
        ``name==version``.
    machine : str
        In words.
    """

    version: str
    git_commit: str
    n_changed_lines: int
    python: str
    packages: tuple[str, ...]
    machine: str


@dataclass(frozen=True)
class TrialDetail:
    """One trial in full.

    Attributes
    ----------
    label, number : str, and int or None
        As of its `TrialBrief`.
    folder : str
        Name of its folder.
    is_whole : bool
        Whether `result` is of all folds; if not, it is of those that have finished so far.
    result : TrialResult
        Folds with their `RobustnessReport`s, probes and subset grids; what encoders share.
    histories : tuple of FoldHistory
        Of every fold that has one, also while it is trained.
    panels : tuple of KeptPicture
        Reconstructions, and syntheses where there are any.
    origin : Origin or None
        None where it was not written down.
    """

    label: str
    number: int | None
    folder: str
    is_whole: bool
    result: TrialResult
    histories: tuple[FoldHistory, ...] = ()
    panels: tuple[KeptPicture, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True)
class ReadyPart:
    """Passages and tables that another floor has made ready, such as promotion.

    Attributes
    ----------
    key : str
        Unique; lower case, for a link.
    title : str
        What they are about.
    shows, not_shown : str
        In a sentence or two: what they show, and what they do not.
    passages : tuple of Passage
        Words.
    tables : tuple of Table
        Below the words.
    """

    key: str
    title: str
    shows: str = ""
    not_shown: str = ""
    passages: tuple[Passage, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class PeopleColumns:
    """What the tables say of the development subjects, for colouring points.

    Attributes
    ----------
    participant_ids : tuple of str
        Rows.
    columns : Mapping of str to tuple of (str, float or None)
        Declared columns; None where a value is missing.
    """

    participant_ids: tuple[str, ...]
    columns: Mapping[str, tuple[Cell, ...]]


@dataclass(frozen=True)
class ReportBundle:
    """All that is shown of one study.

    Attributes
    ----------
    kind : {"search", "ablation", "trial"}
        What it is.
    name, experiment : str
        What people call it, and the experiment.
    question : str
        What was asked, in words; may be empty.
    identity : Mapping of str to str
        Digests of the study, and of settings, images, participants and split.
    cohort : CohortSummary
        Who was studied.
    settings : Mapping of str to Any
        What the experiment was told that can change a result, without folders, by dotted path.
    space : SearchSpace or None
        Of a search.
    study : StudyResult or None
        Of a search.
    ablation : AblationResult or None
        Of an ablation; None before its first sitting could be read.
    trials : tuple of TrialBrief
        All of them.
    details : tuple of TrialDetail
        Of the leading ones, the first of which the story is told by; may be empty.
    side_by_side : KeptPicture or None
        Of an ablation: all arms' reconstructions of one subject.
    promotion : tuple of ReadyPart
        What promotion said, ready-made.
    people : PeopleColumns or None
        None unless asked for: values of single people are no part of a report that is passed on.
    commands : tuple of str
        What to type to run it again.
    missing : tuple of str
        What could not be gathered, and why, in sentences.

    Notes
    -----
    In bytes of JSON it grows with the number of trials (about 8 kB for each finished one: its
    metrics and strata in words) and with the trials in full (a `TrialResult` each, which grows
    with folds x subjects, and a picture for each subject shown). `gather_bundle` limits the
    second.
    """

    kind: Kind
    name: str
    experiment: str
    question: str = ""
    identity: Mapping[str, str] = field(default_factory=dict)
    cohort: CohortSummary = field(default_factory=CohortSummary)
    settings: Mapping[str, Any] = field(default_factory=dict)
    space: SearchSpace | None = None
    study: StudyResult | None = None
    ablation: AblationResult | None = None
    trials: tuple[TrialBrief, ...] = ()
    details: tuple[TrialDetail, ...] = ()
    side_by_side: KeptPicture | None = None
    promotion: tuple[ReadyPart, ...] = ()
    people: PeopleColumns | None = None
    commands: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
