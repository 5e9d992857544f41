"""What a search may seek is what a trial reports."""

from isthmus.config.search_metrics import (
    OF_SUBSETS,
    SYNTHESIS,
    known_metrics,
    metrics_by_modality,
    metrics_without_the_model,
    why_not_sought,
)
from isthmus.training.evaluate import TISSUE_MODALITY

MODALITIES = ("T1w", "FA")


def test_every_metric_of_a_trial_is_sought_or_refused_for_a_reason(ran):
    reported = {name for fold in ran.result.folds for name in fold.metrics}
    sought = {name for name in reported if why_not_sought(name, ran.experiment.config) is None}
    refused = {name for name in reported - sought if "probe_" not in name}
    assert {name.partition("/")[0] for name in refused} <= set(metrics_without_the_model())
    probes = {name for name in reported if name.startswith("probe_")}
    assert probes
    assert {name for name in probes & sought if not name.endswith("/embedding")} == set()
    # answering the training mean is a score of the target alone
    left_out = {name for name in probes - sought if name.endswith("/embedding")}
    assert {name.partition(".")[2] for name in left_out} <= {"mae_of_mean/embedding"}


def test_every_metric_that_can_be_sought_is_reported_by_a_trial(ran):
    reported = {name for fold in ran.result.folds for name in fold.metrics}
    # no categorical phenotype is declared, no effect need be testable, and there is no subset grid
    absent = {name for name in set(known_metrics()) - reported if "strata_category_" not in name}
    of_subsets = {*OF_SUBSETS, *SYNTHESIS}
    assert of_subsets <= absent
    absent -= of_subsets
    assert {n for n in absent if not n.endswith(("_effect_size", "_q_value"))} == set()
    for name in set(metrics_by_modality()) - of_subsets:
        assert {f"{name}/{modality}" for modality in MODALITIES} <= reported


def test_the_metrics_of_controls_are_those_that_a_trial_reports(ran):
    reported = {name for fold in ran.result.folds for name in fold.metrics}
    own = {name for name in metrics_without_the_model() if "_strata_" not in name}
    # PCA of 23 subjects may be undefined for the contrast of a subject, never for its error
    assert {name for name in own - reported if not name.endswith("cnr_ratio")} == set()


def test_tissues_are_told_apart_in_the_modality_that_the_check_names(ran):
    reason = why_not_sought("validation_cnr_ratio", _without(ran.experiment.config))
    assert reason is not None
    assert TISSUE_MODALITY in reason


def _without(config):
    """The experiment on images that tell no tissues apart."""
    return config.model_copy(
        update={"cohort": config.cohort.model_copy(update={"modalities": ("FA",)})}
    )
