"""Verdicts in words: exact about numbers, and no more sure than the tests."""

from dataclasses import replace

import pytest
from example_ablation import DIVERGED, NOT_BUILT, skips_ablation, subsets_ablation

from isthmus.report.ablation.labels import comparison_label
from isthmus.report.ablation.lead import contrasts_about, lead_of
from isthmus.report.ablation.outcome import counts_in_words, failures, losses_differ, state_of
from isthmus.report.ablation.words import sample_in_words, verdict_in_words
from isthmus.study.ablation.findings import AblationContrast, Block
from isthmus.study.ablation.records import Comparison, Factor

AGAINST = Comparison("none against all", "arm", (("none", "all", 1.0),), "model.skips")
FAMILY = "2 comparisons with the baseline by validation_mse, holm"
TESTED = AblationContrast(
    comparison=AGAINST,
    verdict="worse",
    n_blocks=10,
    mean=0.0231,
    reference_mean=0.02,
    difference=0.0031,
    ci_low=0.0021,
    ci_high=0.0041,
    p_value=0.002,
    p_value_adjusted=0.004,
    equivalence_p_value=0.001,
    equivalence_p_value_adjusted=0.002,
    smallest_resolvable=0.004,
    family=FAMILY,
)


@pytest.fixture(scope="module")
def skips(tmp_path_factory):
    return skips_ablation(tmp_path_factory.mktemp("skips"))


@pytest.fixture(scope="module")
def subsets(tmp_path_factory):
    return subsets_ablation(tmp_path_factory.mktemp("subsets"))


def said(result, **changes):
    """Put one changed contrast into words, in a family of two."""
    contrast = replace(TESTED, **changes)
    other = replace(TESTED, comparison=replace(AGAINST, name="other"))
    # what is corrected elsewhere, or was not compared, does not count
    elsewhere = (replace(other, family="1 interactions"), replace(other, family=""))
    finding = replace(result.findings[0], contrasts=(contrast, other, *elsewhere))
    return verdict_in_words(result, finding, contrast)


def test_a_significant_difference_is_said_with_its_interval_and_correction(skips):
    assert said(skips) == (
        "none is worse than all: validation_mse higher by 0.0031 (95 % interval 0.0021 to 0.0041, "
        "p = 0.004 after Holm over 2)."
    )


def test_a_fall_is_said_as_a_fall_with_its_interval_the_right_way_round(skips):
    words = said(skips, verdict="better", difference=-0.0031, ci_low=-0.0041, ci_high=-0.0021)
    assert words.startswith(
        "none is better than all: validation_mse lower by 0.0031 (95 % interval 0.0021 to 0.0041,"
    )


def test_level_power_and_correction_are_those_of_the_ablation(skips):
    other = replace(skips, alpha=0.01, power=0.9, correction="fdr_by")
    assert "(99 % interval" in said(other)
    assert "after Benjamini-Yekutieli over 2" in said(other)
    assert "with a power of 90 %" in said(other, verdict="not_resolvable")


def test_where_neither_way_is_better_none_is_called_so(skips):
    words = said(skips, verdict="higher")
    assert words.startswith("none differs from all: validation_mse higher by 0.0031")
    assert "better" not in words
    assert "worse" not in words


def test_not_resolvable_says_what_could_be_and_what_would_have_been_found(skips):
    words = said(skips, verdict="not_resolvable", ci_low=-0.001, ci_high=0.003)
    assert words == (
        "none against all: not resolvable at this n: the difference in validation_mse could be "
        "anything from -0.001 to +0.003 (95 % interval); 2 seeds x 5 folds of 48 subjects would "
        "have found 0.004 with a power of 80 % after Holm over 2."
    )
    with_margin = said(skips, verdict="not_resolvable", margin=0.0005)
    assert "not shown to be within the margin of 0.0005 either" in with_margin


def test_scores_that_are_equal_are_no_interval(skips):
    nothing = {"difference": 0.0, "ci_low": None, "ci_high": None}
    note = "The scores are equal in each of 10 blocks."
    words = said(skips, verdict="not_resolvable", notes=(note,), **nothing)
    assert words == f"none against all: not resolvable at this n: {note}"


def test_equivalence_names_its_margin_and_a_difference_that_is_there(skips):
    words = said(skips, verdict="equivalent", margin=0.005, p_value_adjusted=0.4)
    assert "equivalent in validation_mse: within the margin of 0.005 either way" in words
    assert "95 % interval +0.0021 to +0.0041, two one-sided tests p = 0.002 after Holm" in words
    assert "too small" not in words
    there = said(skips, verdict="equivalent", margin=0.005)
    assert there.endswith("; the difference is there (p = 0.004) but too small.")


@pytest.mark.parametrize(
    ("verdict", "words"), [("unpaired", "not compared"), ("undefined", "undefined")]
)
def test_what_has_no_number_has_its_reason(skips, verdict, words):
    reason = "none failed at seed 1, fold 2: " + DIVERGED
    assert said(skips, verdict=verdict, reason=reason, difference=None) == (
        f"none against all: {words}: {reason}"
    )


def test_effects_over_several_pairs_say_so(skips):
    pairs = (("none", "all", 0.5), ("additive", "all", 0.5))
    effect = Comparison("skips none against all, over all else", "main_effect", pairs)
    words = said(skips, comparison=effect)
    assert words.startswith(f"{effect.name}: worse, averaged over 2 pairs of arms: validation_mse")
    together = replace(effect, name="skips x depth", kind="interaction")
    assert "together than their single effects add up to" in said(skips, comparison=together)


def test_arms_of_other_modalities_name_what_they_were_compared_on(subsets):
    contrast = subsets.findings[0].contrasts[0]
    words = verdict_in_words(subsets, subsets.findings[0], contrast)
    assert words.endswith("; compared on T1w, FA.")
    assert "T1w, FA" not in verdict_in_words(
        subsets, subsets.findings[2], subsets.findings[2].contrasts[0]
    )


def test_an_average_says_over_how_many_pairs_whatever_came_of_it(skips):
    effect = Comparison("adding T1w", "modality", (("a", "b", 0.5), ("c", "d", 0.5)))
    unsure = said(skips, comparison=effect, verdict="not_resolvable")
    assert unsure.startswith("adding T1w, averaged over 2 pairs of arms: not resolvable at this n:")
    alike = said(skips, comparison=effect, verdict="equivalent", margin=0.1)
    assert alike.startswith("adding T1w, averaged over 2 pairs of arms: equivalent")


def test_pairs_that_are_compared_on_other_modalities_each_are_said_to_be(subsets):
    effect = Comparison("adding T1w", "modality", (("a", "b", 0.5), ("c", "d", 0.5)))
    contrast = replace(TESTED, comparison=effect)
    words = [verdict_in_words(subsets, finding, contrast) for finding in subsets.findings]
    by_modality = "; each pair is compared on the modalities that both of its arms fuse."
    assert subsets.findings[0].metric == "validation_mse"
    assert words[0].endswith(by_modality)
    assert not words[2].endswith(by_modality)


def test_kinds_that_are_corrected_apart_are_said_to_be(skips):
    other = replace(TESTED, family="3 main effects by validation_mse, holm")

    def careful(*contrasts):
        finding = replace(skips.findings[0], contrasts=contrasts)
        passages = lead_of(replace(skips, findings=(finding,)))
        lines = [line for one in passages if one.title == "To be careful of" for line in one.lines]
        return [line for line in lines if "kind by kind" in line]

    (line,) = careful(TESTED, other)
    assert "(2 comparisons with the baseline; 3 main effects): the level of 5 %" in line
    assert careful(TESTED, TESTED) == []


def test_blocks_of_other_sizes_are_said_as_a_range():
    blocks = (Block(1, 0, 30, 10), Block(1, 1, 31, 10), Block(2, 0, 30, 10))
    assert sample_in_words(blocks) == "2 seeds x 2 folds of 40 to 41 subjects"


def test_leaky_arms_are_labelled_wherever_they_are_named(tmp_path):
    leaky = skips_ablation(tmp_path, leaky=("none",))
    contrast = next(one for one in leaky.findings[0].contrasts if "none" in one.comparison.name)
    assert comparison_label(leaky.plan, contrast.comparison) == "none against all [LEAKY]"
    words = verdict_in_words(leaky, leaky.findings[0], contrast)
    assert words.startswith("none [LEAKY] is worse than all:")
    careful = next(one for one in lead_of(leaky) if one.title == "To be careful of")
    assert careful.lines[0].startswith("[LEAKY] none: normalisation saw the held-out subjects")
    assert sum("saw the held-out" in line for line in careful.lines) == 1


def test_the_lead_says_question_verdicts_and_failures_in_this_order(subsets):
    question, verdicts, failed, careful, hypothesis = lead_of(subsets)
    assert question.lines[0] == "Which modalities matter?"
    assert "validation_mse (less is better)" in verdicts.title
    assert len(verdicts.lines) == len(subsets.findings[0].contrasts)
    assert "not compared" in verdicts.lines[-1]
    assert failed.lines[0] == (
        "T1w+NDI failed in seed 1, fold 2 "
        "(TrainingDiverged: the loss of step 12 is not finite (nan))."
    )
    assert failed.lines[-1] == f"T1w cannot be built: {NOT_BUILT}"
    assert "compared on the modalities that both have" in careful.lines[0]
    assert hypothesis.lines[0].endswith("FA and NDI overlap; T1w adds what neither has.")
    assert failed.warns
    assert careful.warns


def test_what_is_not_resolvable_supports_no_hypothesis(skips):
    contrasts = tuple(replace(one, verdict="not_resolvable") for one in skips.findings[0].contrasts)
    unsure = replace(skips, findings=(replace(skips.findings[0], contrasts=contrasts),))
    lines = lead_of(unsure)[-1].lines
    assert "What is not resolvable speaks neither for the hypothesis nor against it." in lines
    assert not any("signs say" in line or "Equivalence speaks" in line for line in lines)


def test_a_hypothesis_gets_the_verdicts_of_its_factor_alone(skips):
    factors = (*skips.plan.factors, Factor("model.skip", "Nothing.", ("a", "b"), "a"))
    plan = replace(skips.plan, factors=factors)
    named = replace(AGAINST, factor="model.skips, training.loss")
    of = {
        "its level": replace(AGAINST, factor=""),
        "its name": named,
        "another": replace(AGAINST, factor="training.loss"),
    }
    contrasts = tuple(replace(TESTED, comparison=one) for one in of.values())
    finding = replace(skips.findings[0], contrasts=contrasts)
    assert contrasts_about(plan, finding, factors[0]) == contrasts[:2]
    assert contrasts_about(plan, finding, factors[1]) == ()


def test_before_anything_has_finished_there_is_a_lead(tmp_path):
    nothing = skips_ablation(tmp_path, finished=0)
    question, verdicts, *_ = lead_of(nothing)
    assert question.lines[1] == "3 arms x 2 seeds x 5 folds; 0 of 30 folds done."
    assert all("not compared" in line for line in verdicts.lines)
    bare = lead_of(replace(nothing, findings=()))
    assert bare[1].lines == ("None yet: nothing has been compared.",)
    assert bare[-1].lines[-1] == "It has got no verdict yet."


def test_states_and_counts_are_those_of_the_folds(subsets):
    states = {arm.name: state_of(subsets, arm) for arm in subsets.plan.arms}
    assert states["T1w+FA"] == "done"
    assert states["T1w+NDI"] == "failed"
    assert states["T1w"] == "infeasible"
    assert states["NDI+FA"] == "done, same as FA+NDI"
    assert counts_in_words(subsets) == (
        "7 arms x 2 seeds x 5 folds; 42 of 50 folds done, 1 failed, 7 skipped, 1 of the arms "
        "cannot be built"
    )


def test_a_failure_names_all_arms_that_share_the_run(subsets):
    (failure,) = failures(subsets)
    assert (failure.arm, failure.seed, failure.fold) == ("T1w+NDI", 1, 2)
    folds = tuple(
        replace(one, state="failed", reason="DiskFull")
        if subsets.plan.runs[one.run].arm == "FA+NDI"
        else one
        for one in subsets.progress.folds
    )
    shared = failures(replace(subsets, progress=replace(subsets.progress, folds=folds)))
    assert "FA+NDI, NDI+FA" in {one.arm for one in shared}
    assert ("DiskFull", "") in {(one.kind, one.message) for one in shared}


def test_losses_of_different_kinds_are_told_apart(skips, subsets):
    assert not losses_differ(skips)
    assert losses_differ(subsets)
    arms = tuple(replace(arm, settings={"training.loss.kind": arm.name}) for arm in skips.plan.arms)
    assert losses_differ(replace(skips, plan=replace(skips.plan, arms=arms)))
