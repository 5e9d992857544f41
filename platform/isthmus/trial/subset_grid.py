"""The subset grid: what a model reconstructs, and which strata it gives, from fewer modalities.

Legend: N subject, M modality, E value of the embedding, D H W the grid.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from isthmus.cohort.splits import Fold
from isthmus.core.errors import StratificationError
from isthmus.core.files import write_text
from isthmus.core.seeds import derive_seed
from isthmus.stratification.cloud import make_cloud
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.partition import Partition, StrataOutcome
from isthmus.stratification.stability import compare_partitions
from isthmus.stratification.strata import find_strata
from isthmus.stratification.subjects import blocks, choose_subjects
from isthmus.training.encoder import LoadedEncoder
from isthmus.trial.panels import Panel, cut_panel, save_panels
from isthmus.trial.strata import StrataJob
from isthmus.trial.subset_records import SubsetAgreement, SubsetGrid, SubsetScore, subsets_of
from isthmus.volumes import fidelity
from isthmus.volumes.store import VolumeStore

GRID_TABLE, AGREEMENT_TABLE = "subset_grid.tsv", "subset_agreement.tsv"
SYNTHESIS_PANELS = "synthesis.npz"
NUMBERS = ("mse", "normalised_difference", "mean_image_mse")

FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SubsetResults:
    """The subset grid of a fold, and what is kept beside its record.

    Attributes
    ----------
    grid : SubsetGrid
        The record.
    table : DataFrame
        Columns ``given`` (joined by ``+``), ``participant_id``, ``modality``, ``synthesised``,
        ``mse``, ``normalised_difference``, ``mean_image_mse``: a row for each.
    panels : tuple of Panel
        Of the held-out subject with the median error: each modality beside its synthesis from all
        others. Empty where nothing can be synthesised.
    """

    grid: SubsetGrid
    table: pd.DataFrame
    panels: tuple[Panel, ...]

    def write(self, directory: Path, leaky: bool) -> None:
        """Write tables and panels.

        Parameters
        ----------
        directory : Path
            The fold's folder; receives ``subset_grid.tsv``, ``subset_agreement.tsv`` and, where
            there are panels, ``synthesis.npz``.
        leaky : bool
            Whether normalisation saw the held-out subjects; a column says so.
        """
        agreements = pd.DataFrame(
            [
                {**item, "given": "+".join(item["given"])}
                for item in self.grid.to_json()["agreements"]
            ]
        )
        for name, table in ((GRID_TABLE, self.table), (AGREEMENT_TABLE, agreements)):
            text = table.assign(leaky=leaky).to_csv(sep="\t", index=False, na_rep="n/a")
            write_text(directory / name, text)
        if self.panels:
            save_panels(self.panels, directory / SYNTHESIS_PANELS)


def subset_grid(
    encoder: LoadedEncoder,
    store: VolumeStore,
    fold: Fold,
    strata: StrataJob,
    embedding: EmbeddingTable,
    controls: pd.DataFrame,
    modality_dropout: float,
) -> SubsetResults:
    """Give an encoder every subset of its modalities, and score what comes of it.

    Parameters
    ----------
    encoder : LoadedEncoder
        One that accepts missing images, or has a single modality.
    store : VolumeStore
        Holds the subjects.
    fold : Fold
        Reconstructions are scored on its held-out subjects alone.
    strata : StrataJob
        How partitions are found: the same clusterer, settings and seed as for the whole embedding.
    embedding : EmbeddingTable
        All subjects of the fold, embedded from all that they have.
    controls : DataFrame
        As `run_controls` gives it; the mean image's errors are taken from it.
    modality_dropout : float
        With which the encoder was trained.

    Returns
    -------
    SubsetResults
        On subjects with an image of every modality, the same for all subsets: partitions differ by
        what was given, and never by whom. A clustering that failed is an outcome.

    Notes
    -----
    Costs 2^m - 1 reconstructions of every held-out subject, 2^m - 2 embeddings of every subject,
    and as many clusterings. What is found shows what this model makes of fewer images; a model
    trained on these modalities alone may do better, which is a question for an ablation.
    """
    modalities = encoder.card.modalities
    complete = [name for name in embedding.participant_ids if store.known(name, modalities).all()]
    held_out = [name for name in fold.validation if name in set(complete)]
    table = _score(encoder, store, held_out, controls)
    grid = SubsetGrid(
        modalities,
        len(held_out),
        _summarise(table, modalities),
        _agreements(encoder, store, strata, embedding.select(complete)) if complete else (),
        modality_dropout,
    )
    return SubsetResults(grid, table, _panels(encoder, store, table))


def _given(modalities: Sequence[str], subset: Sequence[str]) -> Mask:
    """Make the mask of a subset (M,)."""
    return np.array([name in subset for name in modalities], dtype=np.bool_)


def _score(
    encoder: LoadedEncoder, store: VolumeStore, ids: Sequence[str], controls: pd.DataFrame
) -> pd.DataFrame:
    """Reconstruct each subject from each subset."""
    modalities, mask_DHW = encoder.card.modalities, encoder.normaliser.mask_DHW
    own = controls[(controls["control"] == "mean_image") & (controls["metric"] == "mse")]
    baseline = own.set_index(["participant_id", "modality"])["value"].to_dict()
    rows = []
    for participant_id, x_MDHW in encoder.volumes(store, ids):
        for subset in subsets_of(modalities):
            y_MDHW = encoder.reconstruct_volume(x_MDHW, given_M=_given(modalities, subset))
            for m, modality in enumerate(modalities):
                pair = x_MDHW[m], y_MDHW[m], mask_DHW
                rows.append(
                    {
                        "given": "+".join(subset),
                        "participant_id": participant_id,
                        "modality": modality,
                        "synthesised": modality not in subset,
                        "mse": fidelity.mse(*pair),
                        "normalised_difference": fidelity.normalised_difference(*pair),
                        "mean_image_mse": baseline[participant_id, modality],
                    }
                )
    columns = ("given", "participant_id", "modality", "synthesised")
    return pd.DataFrame(rows, columns=[*columns, *NUMBERS])


def _summarise(table: pd.DataFrame, modalities: tuple[str, ...]) -> tuple[SubsetScore, ...]:
    """Average over subjects."""
    if table.empty:
        return ()
    means = table.groupby(["given", "modality"])[list(NUMBERS)].mean().to_dict("index")

    def score(subset: tuple[str, ...], modality: str) -> SubsetScore:
        mean = means["+".join(subset), modality]
        undefined = math.isnan(mean["normalised_difference"])
        return SubsetScore(
            given=subset,
            modality=modality,
            synthesised=modality not in subset,
            mse=float(mean["mse"]),
            normalised_difference=None if undefined else float(mean["normalised_difference"]),
            mean_image_mse=float(mean["mean_image_mse"]),
        )

    return tuple(score(subset, name) for subset in subsets_of(modalities) for name in modalities)


def _agreements(
    encoder: LoadedEncoder, store: VolumeStore, strata: StrataJob, full: EmbeddingTable
) -> tuple[SubsetAgreement, ...]:
    """Cluster what each subset embeds, and compare it with the full set's partition."""
    modalities = encoder.card.modalities
    smaller = subsets_of(modalities)[:-1]
    rows: dict[tuple[str, ...], list[FloatArray]] = {subset: [] for subset in smaller}
    for _, x_MDHW in encoder.volumes(store, full.participant_ids):
        for subset in smaller:
            rows[subset].append(encoder.embed_volume(x_MDHW, _given(modalities, subset)))
    tables = {
        subset: replace(full, values=np.stack(values).astype(np.float64))
        for subset, values in rows.items()
    }
    with threadpool_limits(limits=1):
        reference = _cluster(strata, full)
        found = [
            _compare(subset, _cluster(strata, tables[subset]), reference) for subset in smaller
        ]
        return (*found, _compare(modalities, reference, reference))


def _cluster(strata: StrataJob, table: EmbeddingTable) -> StrataOutcome | str:
    """Find strata as the robustness job does; say why where that cannot be asked."""
    try:
        chosen = choose_subjects(table, strata.participants, strata.config)
        ids = chosen.participant_ids
        families = blocks(strata.participants, ids, strata.config)
        cloud = make_cloud(chosen.values, strata.config, derive_seed(strata.seed, "cloud"))
        seed = derive_seed(strata.seed, "strata")
        return find_strata(cloud, ids, families, strata.config, seed)
    except StratificationError as error:
        return str(error)


def _compare(
    subset: tuple[str, ...], found: StrataOutcome | str, reference: StrataOutcome | str
) -> SubsetAgreement:
    """Put an outcome beside the full set's."""
    if isinstance(found, str):
        return SubsetAgreement(subset, 0, "not_possible", None, None, None, found)
    n_subjects = len(found.participant_ids)
    if not isinstance(found, Partition):
        return SubsetAgreement(subset, n_subjects, found.kind, None, None, None, found.reason)
    ari = ami = None
    if isinstance(reference, Partition):
        ari, ami = compare_partitions(np.array(found.labels), np.array(reference.labels))
    n_strata = len(found.sizes)
    return SubsetAgreement(subset, n_subjects, found.kind, n_strata, ari, ami, None)


def _panels(encoder: LoadedEncoder, store: VolumeStore, table: pd.DataFrame) -> tuple[Panel, ...]:
    """Cut slices of each modality's synthesis from all others, of one held-out subject."""
    modalities = encoder.card.modalities
    n_given = table["given"].str.count(r"\+") + 1
    left_out = table[table["synthesised"] & (n_given == len(modalities) - 1)]
    if left_out.empty:
        return ()
    ranked = left_out.groupby("participant_id")["mse"].mean().sort_values(kind="stable")
    chosen = str(ranked.index[(len(ranked) - 1) // 2])
    x_MDHW = encoder.read(store, chosen)
    y_MDHW = np.empty_like(x_MDHW)
    for m, modality in enumerate(modalities):
        others = [name for name in modalities if name != modality]
        y_MDHW[m] = encoder.reconstruct_volume(x_MDHW, given_M=_given(modalities, others))[m]
    why = "each modality synthesised from the others, median error"
    return (cut_panel(chosen, why, modalities, x_MDHW, y_MDHW, encoder.normaliser.mask_DHW),)
