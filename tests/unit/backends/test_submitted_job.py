"""What a submitted job would lose is refused by the name of its setting."""

import pytest

from isthmus.backends.submitted_job import require_lasting_places
from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import Experiment
from isthmus.core.errors import ConfigError


def config(places: dict[str, str]) -> ExperimentConfig:
    content: dict[str, dict[str, object]] = {
        "cohort": {"modalities": ["T1w"], "images": "{participant_id}_{modality}.nii.gz"}
    }
    for path, value in places.items():
        group, _, name = path.partition(".")
        content.setdefault(group, {})[name] = value
    return ExperimentConfig.model_validate(content)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("execution.output", "runs"),
        ("execution.store", "store"),
        ("cohort.root", "."),
        ("execution.tracking_uri", "sqlite:///mlflow.db"),
        ("execution.study_storage", "sqlite:///study.db"),
        ("execution.study_storage", "journal:///study.log"),
    ],
)
def test_each_place_in_the_jobs_copy_is_refused(setting, value, monkeypatch, tmp_path):
    copy = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_0"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    lasting = {
        "execution.output": str(tmp_path / "runs"),
        "execution.store": "s3://bucket/store",
        "cohort.root": str(tmp_path / "cohort"),
        "execution.tracking_uri": "http://mlflow:5000",
        "execution.study_storage": "postgresql://host/studies",
    }
    require_lasting_places(Experiment(config(lasting), copy))
    with pytest.raises(ConfigError, match=f"^{setting} must outlast a submitted job"):
        require_lasting_places(Experiment(config({**lasting, setting: value}), copy))
