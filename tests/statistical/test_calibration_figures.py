"""The figures are drawn from records as the simulations write them, and their lack is told."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


def load() -> ModuleType:
    """Load the script; tests are no package to import it from."""
    path = Path(__file__).with_name("calibration_figures.py")
    spec = importlib.util.spec_from_file_location("calibration_figures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FIGURES = load()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Record what an honest test, a misused one and a planted effect would give."""
    monkeypatch.setenv("ISTHMUS_CALIBRATION", str(tmp_path / "records"))
    record: Callable[..., None] = request.getfixturevalue("record")
    rng = np.random.default_rng(0)
    for _, (right, _), (wrong, _) in FIGURES.PANELS:
        uniform = rng.integers(1, 201, 400) / 200
        record(right, p_values=uniform, alpha=0.05)
        record(wrong, p_values=uniform**2, alpha=0.05)
    request.getfixturevalue("show")(21, 400, 0.05)
    for name in ("power_factor", "power_factor_given_age", "power_category"):
        record(name, effects=[0.0, 0.5, 1.0], counts=[4, 50, 100], n=100, alpha=0.05)
    for name, *_ in FIGURES.CLOUDS:
        record(name, p_values=rng.uniform(size=50), observed=[0.4, 0.5], null_mean=[0.5, 0.4])
    rates = {"rate": rng.uniform(size=30), "null_rate_high": rng.uniform(size=30)}
    record("replication_null", **rates)
    for distance in (2.0, 4.0, 6.0):
        record(
            f"planted_{distance:g}",
            distance=distance,
            count=int(3 * distance),
            n=20,
            alpha=0.05,
            observed=[0.8, 0.9],
            null_mean=[0.5, 0.6],
            floor=0.5,
            **rates,
        )
    return tmp_path


def test_every_figure_is_drawn(folder: Path) -> None:
    assert FIGURES.main([str(folder / "records"), str(folder / "images")]) == 0
    written = {path.name for path in (folder / "images").iterdir()}
    assert written == {f"calibration-{name}.png" for name in FIGURES.FIGURES}


def test_a_figure_without_its_simulation_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "records" / "power_category.json").unlink()
    assert FIGURES.main([str(folder / "records"), str(folder / "images")]) == 1
    assert "calibration-power.png: not drawn" in capsys.readouterr().err
    assert (folder / "images" / "calibration-null-p-values.png").exists()
    assert not (folder / "images" / "calibration-power.png").exists()


def test_without_a_folder_nothing_is_written(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ISTHMUS_CALIBRATION", raising=False)
    monkeypatch.chdir(tmp_path)
    request.getfixturevalue("record")("anything", p_values=[1.0])
    assert list(tmp_path.iterdir()) == []
