"""The language of gates: shipped files, overrides, and what is refused with which words."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic.fields import FieldInfo

from isthmus.config.promotion.gates import LockboxGates, PromotionConfig, TrialGates
from isthmus.config.promotion.load import gate_names, gates_paths, load_gates
from isthmus.config.settings import Settings
from isthmus.core.errors import ConfigError


def test_the_shipped_gates_are_found_by_name() -> None:
    assert gate_names() == ("demo", "standard")
    for name in gate_names():
        assert load_gates(name).name == name


def test_the_standard_asks_every_gate_there_is() -> None:
    standard = load_gates()
    assert [name for name, _ in standard.gates.asked()] == list(TrialGates.model_fields)
    assert [name for name, _ in standard.lockbox.asked()] == list(LockboxGates.model_fields)
    assert standard.champion is not None
    assert standard.columns == ("sex", "site")


def test_the_demo_says_what_it_leaves_out() -> None:
    demo = load_gates("demo")
    text = (Path(__file__).parents[4] / "platform/isthmus/config/gates/demo.yaml").read_text()
    left_out = set(TrialGates.model_fields) - {name for name, _ in demo.gates.asked()}
    assert left_out == {"embedding_shuffle", "strata", "stability"}
    for name in left_out:
        assert name in text.split("schema_version")[0]
    assert "means nothing" in demo.description


def test_a_gate_that_is_left_out_is_not_asked(tmp_path: Path) -> None:
    gates = load_gates(_write(tmp_path, {"gates": {"size": {"max_parameters": 5}}}))
    assert gates.name == "mine"
    assert [name for name, _ in gates.gates.asked()] == ["size"]
    assert list(gates.lockbox.asked()) == []
    assert gates.champion is None
    assert gates.columns == ()


def test_true_asks_a_gate_with_its_own_thresholds_and_false_does_not(tmp_path: Path) -> None:
    file = _write(tmp_path, {"gates": {"integrity": True, "pca": True, "latency": False}})
    gates = load_gates(str(file), ["gates.mean_image=true", "champion=true"])
    assert [name for name, _ in gates.gates.asked()] == ["integrity", "mean_image", "pca"]
    assert gates.gates.pca is not None
    assert gates.gates.pca.max_ratio == 1.0
    assert gates.champion is not None
    assert load_gates("standard", ["champion=false"]).champion is None


def test_overrides_set_thresholds_and_ask_gates() -> None:
    gates = load_gates(
        "demo", ["gates.pca.max_ratio=0.9", "gates.latency=false", "gates.strata.min_robust=2"]
    )
    assert gates.gates.pca is not None
    assert gates.gates.pca.max_ratio == 0.9
    assert gates.gates.pca.by == "mean"
    assert gates.gates.latency is None
    assert gates.gates.strata is not None
    assert gates.gates.strata.min_robust == 2


@pytest.mark.parametrize("name", ["standard", "demo"])
def test_what_is_written_is_read_back(name: str) -> None:
    gates = load_gates(name)
    written = gates.model_dump(mode="json")
    assert PromotionConfig.model_validate(written) == gates
    assert set(written["gates"]) == {asked for asked, _ in gates.gates.asked()}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"gates": {"mean_imag": {}}}, "gates.mean_imag: no such setting. Did you mean "),
        ({"gates": {"pca": {"max_ration": 1}}}, "Did you mean 'gates.pca.max_ratio'?"),
        ({"gates": {"pca": {"max_ratio": 0}}}, "gates.pca.max_ratio: must be greater than 0"),
        ({"gates": {"pca": None}}, "`pca: true` asks it with its own thresholds"),
        ({"gates": {"pca": 3}}, "gates.pca: must be a group of settings, got 3"),
        ({"gates": {"size": True}}, "must have max_parameters, max_embedding_size or both"),
        ({"gates": {}}, "gates: must ask at least one of integrity, not_leaky, "),
        ({"gates": {"pca": False}}, "gates: must ask at least one of"),
        ({"lockbox": {"looks": True}}, "gates: must be given"),
        (
            {"gates": {"pca": {"by": "mean", "alpha": 0.1}}},
            "alpha is of the interval and a mean would ignore it, got 0.1",
        ),
        (
            {"gates": {"cnr_ratio": {"min_ratio": 0.9, "max_ratio": 0.8}}},
            "max_ratio must be at least min_ratio, got 0.8 and 0.9",
        ),
        (
            {"gates": {"equal_performance": {"columns": ["sex", "sex"]}}},
            "each column must be named once",
        ),
        ({"gates": {"integrity": {"strict": True}}}, "gates.integrity.strict: no such setting"),
        ({"gates": {"integrity": True}, "schema_version": 2}, "schema_version: must be 1"),
        ({"gates": {"latency": {"max_seconds": True}}}, "must not be true or false"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(
    tmp_path: Path, content: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load_gates(_write(tmp_path, content))
    assert words in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("standrd", [], "got 'standrd'. Did you mean 'standard'?"),
        ("mine.yaml", [], "mine.yaml: there is no such file."),
        ("demo", ["gates.pac.max_ratio=1"], "--gates-set: gates.pac.max_ratio: no such setting."),
        ("demo", ["gates.pca.max_ratio"], "--gates-set must be path=value"),
        ("demo", ["gates.pca.max_ratio=[1"], "the value must be YAML"),
    ],
)
def test_names_and_overrides_are_checked(name: str, overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_gates(name, overrides)
    assert words in str(error.value)


@pytest.mark.parametrize("path", sorted(gates_paths()))
def test_every_threshold_is_described(path: str) -> None:
    description = dict(_fields(PromotionConfig, ""))[path].description
    assert description
    assert description[0].isupper()
    assert description.endswith(".")


def test_every_threshold_is_read_by_a_gate() -> None:
    folder = Path(__file__).parents[4] / "platform" / "isthmus" / "promotion"
    text = "".join(path.read_text("utf-8") for path in folder.rglob("*.py"))
    own = {"schema_version", "name", "description", "champion"}
    for path in gates_paths():
        leaf = path.rpartition(".")[2]
        is_gate = path.count(".") == 1 and not path.startswith("champion.")
        read = f'"{leaf}"' if is_gate else f"settings.{leaf}"
        assert leaf in own or read in text, path


def _write(folder: Path, content: dict[str, object]) -> Path:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def _fields(group: type[Settings], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in group.model_fields.items():
        yield f"{prefix}{name}", field
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Settings):
                yield from _fields(kind, f"{prefix}{name}.")
