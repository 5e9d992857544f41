"""Ingest: every image checked, and those of good subjects stored, once, whatever interrupts it."""

import logging
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import psutil

from isthmus.cohort.participants import Participants
from isthmus.config.load import Experiment
from isthmus.core.errors import ConfigError, ResourceError
from isthmus.core.machine import usable_cores
from isthmus.volumes.ingest_report import (
    IngestReport,
    lacking_images,
    refused_subjects,
    require_good,
)
from isthmus.volumes.layout import (
    COMPLETE_FILE,
    PARTITIONS,
    STORE_FILE,
    VERDICTS_FILE,
    Place,
    read_settings,
    require_rows,
    write_settings,
)
from isthmus.volumes.location import StoreLocation
from isthmus.volumes.lock import LOCK_FILE, ingest_lock
from isthmus.volumes.membership import assign_places
from isthmus.volumes.nifti import TooLargeError
from isthmus.volumes.records import discard, has_volumes, is_accepted, read_records, record_name
from isthmus.volumes.reference import mend_mask, require_same, resolve_settings
from isthmus.volumes.sources import Sources, image_sources
from isthmus.volumes.store import open_store
from isthmus.volumes.stored_settings import StoreSettings
from isthmus.volumes.subject import (
    SubjectOutcome,
    SubjectTask,
    end_with_parent,
    ingest_subject,
    recorded_outcome,
)
from isthmus.volumes.verdict import ImageVerdict, verdict_table

_LOG = logging.getLogger(__name__)

# What an ingest that was killed at once may have left in a folder without settings.
_BEGINNINGS = {LOCK_FILE, "mask", "zarr.json"}


def ingest(
    experiment: Experiment,
    participants: Participants,
    on_image: Callable[[ImageVerdict], None] | None = None,
    strict: bool = False,
) -> IngestReport:
    """Check every image of a cohort and store the volumes of those subjects whose images are good.

    What is stored or refused already, from the same bytes under the same settings, is not read
    again; a run that was killed is completed by running it again. The lockbox is drawn over the
    participants listed at the first ingest.

    Parameters
    ----------
    experiment : Experiment
        The settings and where they stand.
    participants : Participants
        Who is listed.
    on_image : callable, optional
        Told each verdict as it is found, in no particular order.
    strict : bool, default False
        Let one refused image fail the run, after every image was examined.

    Returns
    -------
    IngestReport
        Counts and verdicts; the table is in the store's ``verdicts.tsv``.

    Raises
    ------
    ConfigError
        If the store was made with other settings, or its folder holds something else.
    CohortError
        If there is not one image file.
    ImageError
        If no subject can be used, or any image was refused and `strict` is set.
    ResourceError
        If more processes are asked for than there are cores, another ingest is writing the store,
        a worker process died, an image does not fit in memory, or the disk is full.
    """
    _require_cores(experiment)
    sources = image_sources(experiment, participants)
    location = StoreLocation(experiment.store_url)
    _require_own_folder(location)
    with ingest_lock(location):
        settings = _settings(location, experiment, sources)
        places = assign_places(location, participants, experiment.config)
        kept, stale, outdated = _kept(location, settings, places, sources)
        todo = {name: items for name, items in sources.items() if name not in kept}
        _require_rows(location, settings, places)
        if stale:
            location.remove(COMPLETE_FILE)
        for _, place in stale:
            discard(location, place.partition, place.row)
        for place in outdated:
            location.remove(record_name(place.partition, place.row))
        _tell(on_image, kept.values())
        outcomes = dict(kept)
        tasks = _tasks(experiment, location, settings, places, todo)
        for outcome in _run(tasks, _n_processes(experiment, location, len(tasks))):
            outcomes[outcome.participant_id] = outcome
            _tell(on_image, [outcome])
        in_order = [outcomes[name] for name in sources]
        verdicts = tuple(verdict for outcome in in_order for verdict in outcome.verdicts)
        location.write_text(VERDICTS_FILE, verdict_table(verdicts))
        refused = refused_subjects(in_order)
        require_good(location, refused, len(sources), strict)
        location.write_json(COMPLETE_FILE, {"n_participants": len(sources)})
    store = open_store(location.url)
    return IngestReport(
        store_url=location.url,
        digest=store.digest,
        grid=settings.grid,
        reference=settings.reference,
        n_participants=len(sources),
        n_accepted=len(sources) - len(refused),
        n_refused=len(refused),
        n_lockbox=sum(
            outcome.accepted and places[outcome.participant_id].partition == "lockbox"
            for outcome in in_order
        ),
        n_read=sum(
            verdict.sha256 is not None for name in todo for verdict in outcomes[name].verdicts
        ),
        n_reused=sum(outcome.n_stored for outcome in kept.values()),
        n_withdrawn=sum(participant_id not in sources for participant_id, _ in stale),
        n_incomplete=sum(bool(outcome.lacking) for outcome in in_order if outcome.accepted),
        lacking=lacking_images(in_order, experiment.config.cohort.modalities),
        refused=refused,
        verdicts=verdicts,
    )


def _require_own_folder(location: StoreLocation) -> None:
    """Refuse to mix a store into a folder of something else."""
    names = location.names()
    # What a killed writer left beside a file it was about to replace is nobody's.
    whole = {name for name in names if not name.startswith(".") and not name.endswith(".partial")}
    if STORE_FILE not in whole and (foreign := sorted(whole - _BEGINNINGS)):
        raise ConfigError(
            f"execution.store must be a store or an empty folder, but {location.url} holds "
            f"{foreign[:3]}. Set another one."
        )


def _settings(location: StoreLocation, experiment: Experiment, sources: Sources) -> StoreSettings:
    """Decide on the store's settings at the first ingest, and hold to them ever after."""
    settings = read_settings(location)
    images = [source for items in sources.values() for source in items]
    if settings is not None:
        require_same(settings, experiment, location.url)
        mend_mask(location, settings, experiment, images)
        return settings
    settings, mask_DHW = resolve_settings(experiment, images)
    write_settings(location, settings, mask_DHW)
    return settings


def _kept(
    location: StoreLocation,
    settings: StoreSettings,
    places: Mapping[str, Place],
    sources: Sources,
) -> tuple[dict[str, SubjectOutcome], list[tuple[str, Place]], list[Place]]:
    """Tell subjects whose records still hold, volumes that must go, and refusals that must."""
    kept: dict[str, SubjectOutcome] = {}
    stale: list[tuple[str, Place]] = []
    outdated: list[Place] = []
    n_hashed = 0
    holders = {place: participant_id for participant_id, place in places.items()}
    for partition in PARTITIONS:
        for row, record in read_records(location, partition).items():
            place = Place(partition, row)
            participant_id = holders.get(place, "")
            items = sources.get(participant_id)
            stored = is_accepted(record)
            lost = stored and items and not has_volumes(location, settings, place, record)
            found = items and not lost and recorded_outcome(record, participant_id, items)
            if found:
                kept[participant_id] = found[0]
                n_hashed += found[1] == "hash"
            elif stored:
                stale.append((participant_id, place))
            else:
                outdated.append(place)
    if kept:
        n_stored = sum(outcome.accepted for outcome in kept.values())
        _LOG.info(
            "%s: %d subjects are stored already and not read again, nor are %d that were refused "
            "(%d by their files' size and times, %d by hashing them)",
            location.url,
            n_stored,
            len(kept) - n_stored,
            len(kept) - n_hashed,
            n_hashed,
        )
    return kept, stale, outdated


def _require_rows(
    location: StoreLocation, settings: StoreSettings, places: Mapping[str, Place]
) -> None:
    """Make room for every participant, in the partitions that have any."""
    for partition in PARTITIONS:
        rows = [place.row for place in places.values() if place.partition == partition]
        if rows:
            require_rows(location, partition, settings, max(rows) + 1)


def _tasks(
    experiment: Experiment,
    location: StoreLocation,
    settings: StoreSettings,
    places: Mapping[str, Place],
    todo: Sources,
) -> list[SubjectTask]:
    """List what is left to do, images in the store's order of modalities."""
    n_processes = _n_processes(experiment, location, len(todo))
    memory_limit_bytes = int(psutil.virtual_memory().available / n_processes)
    return [
        SubjectTask(
            location.url,
            settings.digest,
            participant_id,
            places[participant_id],
            tuple(sorted(items, key=lambda item: settings.modalities.index(item.modality))),
            memory_limit_bytes,
        )
        for participant_id, items in todo.items()
    ]


def _require_cores(experiment: Experiment) -> None:
    """Refuse more reading processes than this machine has cores, before anything is written."""
    asked, there = experiment.config.execution.ingest_processes, usable_cores()
    if asked is not None and asked > there:
        raise ResourceError(
            f"All reading processes must have a core, but execution asks for {asked} of them and "
            f"there are {there} cores. Set execution.ingest_processes to {there} or less."
        )


def _n_processes(experiment: Experiment, location: StoreLocation, n_tasks: int) -> int:
    """Count the processes that read; a store behind a URL is written by this one alone."""
    if not location.is_local:
        return 1
    wanted = experiment.config.execution.ingest_processes or usable_cores()
    return max(1, min(wanted, n_tasks))


def _run(tasks: Sequence[SubjectTask], n_processes: int) -> Iterator[SubjectOutcome]:
    """Do the tasks, giving outcomes as they come; what was too large at first comes last."""
    too_large: list[SubjectTask] = []
    yield from _attempt(tasks, n_processes, too_large)
    # How much is free, and for how many, is chance, and must not decide who is in the cohort: an
    # image that had no room beside others gets all there is, and if that is too little, the run
    # fails and not the subject.
    errors = []
    for task in too_large:
        free = replace(task, memory_limit_bytes=psutil.virtual_memory().available)
        try:
            outcome = ingest_subject(free)
        except TooLargeError as error:
            errors.append(f"{task.participant_id}: {error}")
            continue
        yield outcome
    if errors:
        raise ResourceError(
            f"Each image must fit in memory by itself, but those of {len(errors)} subjects do not: "
            f"{' '.join(errors[:5])} Subjects that are finished are kept: run isthmus ingest again "
            "where more memory is free, or take these out of the table of participants."
        )


def _attempt(
    tasks: Sequence[SubjectTask], n_processes: int, too_large: list[SubjectTask]
) -> Iterator[SubjectOutcome]:
    """Do the tasks, here or in processes of their own, listing those that had no room."""
    if n_processes == 1:
        for task in tasks:
            try:
                outcome = ingest_subject(task)
            except TooLargeError:
                too_large.append(task)
                continue
            yield outcome
        return
    # Spawned: a forked process would inherit zarr's event loop and torch's threads half alive.
    pool = ProcessPoolExecutor(
        n_processes, multiprocessing.get_context("spawn"), initializer=end_with_parent
    )
    try:
        futures = {pool.submit(ingest_subject, task): task for task in tasks}
        for future in as_completed(futures):
            try:
                outcome = future.result()
            except TooLargeError:
                too_large.append(futures[future])
                continue
            yield outcome
    except BrokenProcessPool:
        raise ResourceError(
            "A process that reads images ended unexpectedly, most often for want of memory. "
            "Subjects that are finished are kept: run isthmus ingest again, with fewer "
            "execution.ingest_processes (1 reads in the command's own process)."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _tell(
    on_image: Callable[[ImageVerdict], None] | None, outcomes: Iterable[SubjectOutcome]
) -> None:
    """Pass verdicts on."""
    if on_image is not None:
        for outcome in outcomes:
            for verdict in outcome.verdicts:
                on_image(verdict)
