"""What stands beside each figure of a study: how to read it, and what it does not show."""

from dataclasses import replace

from isthmus.report.strata_captions import CAPTIONS, Caption

# More rows cannot be read in a figure; all of them stand in the table.
MOST_SELECTED = 40

_ERRORS = "Whiskers are one standard error over folds"

STUDY_CAPTIONS = {
    "front": Caption(
        "Pareto front",
        "A point a finished trial, by two objectives (with more, a plane for each two). Filled and "
        f"joined: trials that no other one beats in all objectives. {_ERRORS}.",
        "That trials on the front differ, or that one beside it is worse: the front takes means "
        "for exact. Folds share training subjects, so whiskers are too short, and what is "
        "foremost of many is so partly by luck.",
    ),
    "history": Caption(
        "What the search found, trial by trial",
        f"A point a finished trial, in the order of suggestion. {_ERRORS}; the line is the best "
        "so far. Open squares: trials that the scheduler stopped, at their mean over the folds "
        "they had finished. Ticks at the foot: trials without a value that could be compared.",
        "How well the best will do on new subjects: the best of many means flatters itself, the "
        "more trials the more. A falling line does not show that the sampler learnt: points drawn "
        "at random make one too.",
    ),
    "hypervolume": Caption(
        "Hypervolume by trial",
        "Size of the region that the trials up to each one beat, measured from a corner a tenth "
        "beyond the worst finished trial in every objective. It rises when the front moves.",
        "Anything about another study, or about this one at another time: the corner moves with "
        "the worst trial. That it has stopped rising is no proof that nothing better exists.",
    ),
    "importance": Caption(
        "Importance of the dimensions",
        "Share of the differences between finished trials that each dimension explains, by method; "
        "the shares of one method add up to 1. fANOVA looks at the whole space, PED-ANOVA at what "
        "sets the better trials apart, so they need not agree.",
        "A direction, a cause, or a test: shares depend on the ranges of the space and on which "
        "points the sampler chose, and with few trials they change with each further one. An "
        "ablation on equal folds answers what one setting does.",
    ),
    "parallel": Caption(
        "All finished trials over all dimensions",
        "A line a trial, crossing each dimension and objective at its value; dark is best by the "
        "first objective, light is worst. A dimension that its conditions left out is crossed at "
        "'not asked'. On the page, groups of ranks can be taken away in the legend.",
        "The effect of a setting: trials differ in many at a time, and the sampler tried what "
        "looked good more often.",
    ),
    "selection": replace(
        CAPTIONS["selection"],
        reads=CAPTIONS["selection"].reads
        + f" At most {MOST_SELECTED} trials are drawn; all are in the table.",
    ),
}
