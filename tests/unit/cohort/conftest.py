"""A small cohort's folder, and experiments on it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.load import Experiment, resolve

TABLE = """participant_id\tage\tsex\tfamily_id\tsite\tscore
sub-01\t30\tF\t0417\tA\t1.5
sub-02\t30\tF\t0417\tA\tn/a
sub-03\t41\tM\t0500\tB\t2
sub-04\tn/a\tM\tn/a\tB\t-3e1
sub-05\t52\tn/a\tn/a\tC\t4
"""


@pytest.fixture
def cohort_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cohort"
    folder.mkdir()
    (folder / "participants.tsv").write_text(TABLE)
    return folder


@pytest.fixture
def experiment_of(cohort_folder: Path) -> Callable[..., Experiment]:
    def make(**settings: Any) -> Experiment:
        controls: Mapping[str, Any] = settings.pop("controls", {})
        cohort = {"modalities": ["T1w", "FA"], **settings}
        if "manifest" not in cohort:
            cohort.setdefault("images", "{participant_id}/{participant_id}_{modality}.nii.gz")
        return Experiment(resolve({"cohort": cohort, "controls": controls}), cohort_folder)

    return make


def people_of(families: list[str], **columns: list[Any]) -> Participants:
    """Participants with those families, sub-000 and on."""
    index = pd.Index([f"sub-{i:03d}" for i in range(len(families))], name="participant_id")
    return Participants(pd.DataFrame({"family_id": families, **columns}, index=index), "family_id")


@pytest.fixture
def people() -> Callable[..., Participants]:
    return people_of
