"""The spaces of search_spaces/: they load, begin where they say, and lead to models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from isthmus.cohort.phantom_settings import PhantomConfig
from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import resolve
from isthmus.config.paths import put
from isthmus.config.reference import reference_page
from isthmus.config.search_first import first_points
from isthmus.config.search_load import load_space
from isthmus.config.search_points import can_take, is_asked, ordered_dimensions
from isthmus.config.search_size import size_of_grid
from isthmus.config.search_space import Categorical, IntRange, SearchSpace
from isthmus.core.errors import ConfigError
from isthmus.model.families import build_model

FOLDER = Path(__file__).resolve().parents[3] / "search_spaces"
FILES = sorted(FOLDER.glob("*.yaml"))
PAPERS_GRID = (128, 128, 96)
PHANTOMS_GRID = PhantomConfig().grid
COHORT = {
    "images": "{participant_id}_{modality}.nii.gz",
    "modalities": ["T1w", "FA"],
    "phenotypes": ["memory", "speed"],
}


def base_of(space: str) -> ExperimentConfig:
    return resolve({"cohort": COHORT, "preset": "smoke" if space == "smoke" else "paper"})


def _draw(space: SearchSpace, rng: np.random.Generator) -> dict[str, Any]:
    """Draw a point, each dimension evenly."""
    point: dict[str, Any] = {}
    for path, dimension in ordered_dimensions(space):
        if not is_asked(dimension, point):
            continue
        if isinstance(dimension, Categorical):
            point[path] = dimension.choices[rng.integers(len(dimension.choices))]
        elif isinstance(dimension, IntRange):
            n_steps = (dimension.high - dimension.low) // dimension.step
            point[path] = dimension.low + dimension.step * int(rng.integers(n_steps + 1))
        elif dimension.step is not None:
            n_steps = round((dimension.high - dimension.low) / dimension.step)
            point[path] = dimension.low + dimension.step * int(rng.integers(n_steps + 1))
        else:
            point[path] = float(rng.uniform(dimension.low, dimension.high))
        assert can_take(dimension, point[path])
    return point


def _at(base: ExperimentConfig, point: dict[str, Any]) -> ExperimentConfig:
    """Lay a point over an experiment."""
    content = base.model_dump(mode="json")
    for path, value in point.items():
        put(content, path, value)
    return ExperimentConfig.model_validate(content)


def _buildable(config: ExperimentConfig, grid: tuple[int, int, int]) -> bool:
    with torch.device("meta"):
        try:
            build_model(config.model, config.fused_modalities, grid)
        except ConfigError:
            return False
    return True


def test_the_spaces_are_those_that_are_documented():
    assert [file.stem for file in FILES] == ["architecture", "embedding_size", "smoke", "training"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_space_loads_with_and_without_an_experiment(file):
    space = load_space(file)
    assert space.name == file.stem
    assert space.description.endswith(".")
    assert file.read_text().startswith("# ")
    assert "?" in file.read_text().splitlines()[0]  # the question that it answers
    assert load_space(file, base_of(file.stem)) == space


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_space_begins_with_experiments_that_can_be_built(file):
    base = base_of(file.stem)
    space = load_space(file, base)
    points = first_points(space, base)
    assert len(points) == len(space.try_first)
    grid = PHANTOMS_GRID if file.stem == "smoke" else PAPERS_GRID
    assert all(_buildable(_at(base, point), grid) for point in points)


@pytest.mark.parametrize(
    ("name", "grid", "n_points"),
    [
        ("architecture", PAPERS_GRID, 20),
        ("embedding_size", PAPERS_GRID, 10),
        ("training", PAPERS_GRID, 2),  # the network is the experiment's
        ("smoke", PHANTOMS_GRID, 20),
        ("smoke", (16, 16, 16), 20),
    ],
)
def test_the_points_of_a_shipped_space_are_models(name, grid, n_points):
    base = base_of(name)
    space = load_space(FOLDER / f"{name}.yaml", base)
    rng = np.random.default_rng(0)
    built = [_buildable(_at(base, _draw(space, rng)), grid) for _ in range(n_points)]
    assert np.mean(built) >= 0.9


def test_every_embedding_size_is_visited_once():
    space = load_space(FOLDER / "embedding_size.yaml")
    assert size_of_grid(space) == space.budget.n_trials


def test_the_published_networks_are_the_first_to_be_beaten():
    base = base_of("architecture")
    space = load_space(FOLDER / "architecture.yaml", base)
    for point, preset in zip(first_points(space, base), ("paper", "released"), strict=True):
        assert _at(base, point).digest == resolve({"cohort": COHORT, "preset": preset}).digest


def test_the_example_of_the_documentation_loads(tmp_path):
    page = reference_page()
    (tmp_path / "x.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    assert yaml.safe_load((tmp_path / "x.yaml").read_text())["space"]
    base = base_of("paper")
    assert len(first_points(load_space(tmp_path / "x.yaml", base), base)) == 2
