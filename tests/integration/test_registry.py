"""The model registry on a real MLflow: versions, labels, aliases, and what a crash leaves."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from served_case import Case, train_case

from isthmus.backends.mlflow_registry import MlflowModelRegistry
from isthmus.backends.tracking_uri import TrackingError
from isthmus.core.errors import IsthmusError
from isthmus.promotion.bundle.load import load_bundle
from isthmus.promotion.registry.aliases import AliasRefused, carry_out, challenge, crown, roll_back
from isthmus.promotion.registry.history import TAG_PREFIX, champions, read_history

NOON = "2031-05-04T12:00:00+00:00"
CARD = "# Card\n\n" + "Limits: " * 1000


class Interrupted(Exception):
    """Stands for the death of the process."""


class DiesAtTheAlias(MlflowModelRegistry):
    """A registry whose process dies after the history is written and before the alias is."""

    def set_alias(self, name, alias, version):
        raise Interrupted


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    return train_case(tmp_path_factory.mktemp("case"), real=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def registry(home) -> MlflowModelRegistry:
    return MlflowModelRegistry(f"sqlite:///{home / 'mlflow.db'}")


@pytest.fixture(scope="module")
def three(case, registry, tmp_path_factory):
    """Three versions of one model: what they differ in is a file beside the bundle."""
    folder = tmp_path_factory.mktemp("extras")
    made = []
    for number in "123":
        extra = folder / f"{number}.txt"
        extra.write_text(number)
        made.append(
            registry.register(
                "brain",
                case.bundle,
                run_id=None,
                tags={"isthmus.split": number},
                description=CARD,
                extras={"note": extra},
            )
        )
    return made


def folder_of(version) -> Path:
    return Path(version.source.removeprefix("file://"))


def test_a_version_holds_the_bundle_as_it_is_and_no_pickle(case, registry, three):
    version = three[0]
    assert (version.name, version.version, version.aliases) == ("brain", "1", ())
    assert version.tags["isthmus.split"] == "1"
    kept = folder_of(version)
    inside = {path.name: path.read_bytes() for path in (kept / "artifacts/bundle").iterdir()}
    assert inside == {path.name: path.read_bytes() for path in case.bundle.iterdir()}
    assert (kept / "artifacts/1.txt").read_text() == "1"
    assert not [path for path in kept.rglob("*") if path.suffix in (".pkl", ".pickle", ".pt")]
    described = yaml.safe_load((kept / "MLmodel").read_text())
    assert str(case.bundle.parent) not in (kept / "MLmodel").read_text()
    assert described["metadata"]["encoder_id"] == case.record.encoder_id
    columns = [column["name"] for column in json.loads(described["signature"]["inputs"])]
    assert columns == ["T1w", "FA", "participant_id"]
    needed = (kept / "requirements.txt").read_text().splitlines()
    assert needed[0].startswith("isthmus==")
    assert any(line.startswith("torch==") and "+" not in line for line in needed)


def test_the_card_is_the_description_and_mlflows_pages_lead_to_each_other(registry, three):
    client = registry._client
    found = client.get_model_version("brain", three[0].version)
    assert found.description.startswith("# Card")
    assert len(found.description) == 5000
    (output,) = client.get_run(three[0].run_id).outputs.model_outputs
    linked = client.get_logged_model(output.model_id).tags["mlflow.modelVersions"]
    assert json.loads(linked) == [{"name": "brain", "version": "1"}]


def test_the_same_content_is_the_same_version_with_its_labels_anew(case, registry, three, tmp_path):
    (tmp_path / "other-name.txt").write_text("2")
    again = registry.register(
        "brain",
        case.bundle,
        run_id=None,
        tags={"isthmus.split": "later"},
        description="Short.",
        extras={"note": tmp_path / "other-name.txt"},
    )
    assert (again.version, again.tags["isthmus.split"]) == ("2", "later")
    assert [version.version for version in registry.versions("brain")] == ["1", "2", "3"]


def test_an_interrupted_registration_is_taken_up(case, registry, three, monkeypatch):
    def interrupted(*arguments, **named):
        raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(registry._client, "create_model_version", interrupted)
        with pytest.raises(Interrupted):
            registry.register("other", case.bundle, run_id=None, tags={}, description="", extras={})
    logged = len(list(folder_of(three[0]).parents[1].iterdir()))
    made = registry.register("other", case.bundle, run_id=None, tags={}, description="", extras={})
    assert made.version == "1"
    assert len(list(folder_of(made).parents[1].iterdir())) == logged


def test_what_is_not_there_is_none(registry, three):
    assert registry.find("nobody", "1") is None
    assert registry.find("nobody", "champion") is None
    assert registry.find("brain", "99") is None
    assert registry.find("brain", "sovereign") is None
    assert registry.versions("nobody") == ()
    assert registry.aliases("nobody") == {}
    assert registry.model_tags("nobody") == {}
    registry.drop_alias("brain", "sovereign")


def test_a_download_is_a_bundle_that_loads(case, registry, three, tmp_path):
    folder = registry.download(three[0], tmp_path / "models" / "brain")
    assert load_bundle(folder, "cpu").record == case.record
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["brain"]
    with pytest.raises(TrackingError, match="is there already"):
        registry.download(three[0], folder)


def test_a_file_beside_the_bundle_is_had_again(registry, three, tmp_path):
    assert registry.extra(three[1], "note", tmp_path).read_text() == "2"
    assert registry.extra(three[1], "card", tmp_path) is None


def test_a_version_that_names_files_outside_itself_is_refused(registry, three, tmp_path):
    version, description = three[2], folder_of(three[2]) / "MLmodel"
    before = description.read_text()
    content = yaml.safe_load(before)
    for path in ("../../secret", "/etc", ""):
        content["flavors"]["python_function"]["artifacts"]["bundle"]["path"] = path
        description.write_text(yaml.safe_dump(content))
        with pytest.raises(TrackingError, match="within its own files"):
            registry.download(version, tmp_path / "out")
    description.write_text("flavors: {}")
    with pytest.raises(TrackingError, match="names none"):
        registry.download(version, tmp_path / "out")
    description.write_text(before)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_served_is_not_registered(case, registry, tmp_path):
    tampered = tmp_path / "bundle"
    shutil.copytree(case.bundle, tampered)
    (tampered / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(IsthmusError, match=r"model\.safetensors"):
        registry.register("bad", tampered, run_id=None, tags={}, description="", extras={})
    with pytest.raises(TrackingError, match="must be a file"):
        registry.register(
            "bad", case.bundle, run_id=None, tags={}, description="", extras={"a": tmp_path}
        )
    assert registry.versions("bad") == ()


def test_a_record_on_the_model_is_never_cut(registry, three):
    registry.set_model_tags("brain", {"owner": "x" * 5000})
    assert registry.model_tags("brain")["owner"] == "x" * 5000
    with pytest.raises(TrackingError, match="at most 5000 characters, but owner has 5001"):
        registry.set_model_tags("brain", {"owner": "x" * 5001})


def test_champions_come_and_go_and_a_death_between_the_writes_is_mended(home, registry, three):
    dying = DiesAtTheAlias(f"sqlite:///{home / 'mlflow.db'}")

    def state():
        return read_history(registry.model_tags("brain")), registry.aliases("brain")

    def promote(version, through=registry):
        plan = crown(*state(), version, passed=True, decision="d", override=None, at=NOON)
        carry_out(through, "brain", plan)

    def go_back(through=registry):
        plan = roll_back(*state(), ("1", "2", "3"), reason="worse at site B", at=NOON)
        carry_out(through, "brain", plan)

    carry_out(registry, "brain", challenge(*state(), "1"))
    assert registry.find("brain", "challenger").version == "1"
    promote("1")
    assert registry.aliases("brain") == {"champion": "1"}
    with pytest.raises(Interrupted):
        promote("2", dying)
    assert registry.find("brain", "champion").version == "1"
    assert [move.version for move in state()[0]] == ["1", "2"]
    promote("2")
    promote("3")
    assert registry.find("brain", "champion").aliases == ("champion",)
    with pytest.raises(Interrupted):
        go_back(dying)
    assert registry.find("brain", "champion").version == "3"
    assert state()[0][-1].kind == "rollback"
    go_back()
    assert registry.find("brain", "champion").version == "2"
    go_back()
    assert registry.find("brain", "champion").version == "1"
    history, _ = state()
    assert [move.version for move in history] == ["1", "2", "3", "2", "1"]
    assert champions(history) == ("1",)
    with pytest.raises(AliasRefused, match="has none"):
        go_back()
    before = registry.model_tags("brain")
    with pytest.raises(AliasRefused, match="no version 99"):
        promote("99")
    assert registry.model_tags("brain") == before
    assert len([tag for tag in before if tag.startswith(TAG_PREFIX)]) == 5
