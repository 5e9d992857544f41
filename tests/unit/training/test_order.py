"""Order of subjects: a function of seed and epoch; equal parts; messages that say what works."""

import itertools

import pytest

from isthmus.config.load import resolve
from isthmus.config.training import TrainingConfig
from isthmus.core.errors import ConfigError
from isthmus.training.order import (
    Slicing,
    epoch_batches,
    slicing,
    smaller_micro_batch,
    steps_per_epoch,
    world_sizes,
)

COHORT = {"images": "{participant_id}_{modality}.nii.gz", "modalities": ["T1w"]}
IDS = tuple(f"sub-{i:02d}" for i in range(11))


def test_epoch_is_a_permutation_without_the_incomplete_batch() -> None:
    batches = epoch_batches(IDS, 3, seed=1, epoch=1)
    seen = list(itertools.chain(*batches))
    assert [len(batch) for batch in batches] == [3, 3, 3]
    assert len(set(seen)) == 9
    assert set(seen) <= set(IDS)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first = epoch_batches(IDS, 3, seed=1, epoch=1)
    assert first == epoch_batches(tuple(reversed(IDS)), 3, seed=1, epoch=1)
    assert first != epoch_batches(IDS, 3, seed=1, epoch=2)
    assert first != epoch_batches(IDS, 3, seed=2, epoch=1)


def test_those_left_out_change_from_epoch_to_epoch() -> None:
    left_out = [
        set(IDS) - set(itertools.chain(*epoch_batches(IDS, 3, seed=1, epoch=epoch)))
        for epoch in range(1, 30)
    ]
    assert set().union(*left_out) == set(IDS)


@pytest.mark.parametrize(("steps", "world"), [(1, 1), (2, 1), (1, 2), (2, 2), (4, 2)])
def test_parts_of_all_workers_make_up_the_global_batch(steps: int, world: int) -> None:
    cut = Slicing(8, steps, world)
    positions = [list(itertools.chain(*cut.parts(rank))) for rank in range(world)]
    assert sorted(itertools.chain(*positions)) == list(range(8))
    assert {len(own) for own in positions} == {8 // world}
    for number in range(steps):
        together = sorted(itertools.chain(*(cut.parts(rank)[number] for rank in range(world))))
        assert together == list(range(number * 8 // steps, (number + 1) * 8 // steps))


def test_indivisible_batch_names_the_settings_and_what_works() -> None:
    config = TrainingConfig(global_batch_size=6, accumulation_steps=2)
    with pytest.raises(ConfigError) as caught:
        slicing(config, world_size=2)
    message = str(caught.value)
    assert "training.global_batch_size (6)" in message
    assert "training.accumulation_steps (2)" in message
    assert "execution.workers (2)" in message
    assert "4 or 8" in message
    assert "[1, 3]" in message


def test_more_workers_than_subjects_in_a_batch() -> None:
    with pytest.raises(
        ConfigError, match=r"global_batch_size to 4, or execution.workers to.*\[1\]"
    ):
        slicing(TrainingConfig(global_batch_size=1), world_size=4)


def test_workers_that_come_and_go_cut_the_batch_into_equal_parts() -> None:
    config = TrainingConfig(global_batch_size=24, accumulation_steps=2)
    assert world_sizes(config, 12, 1) == (1, 2, 3, 4, 6, 12)
    assert world_sizes(config, 6, 4) == (4, 6)
    assert world_sizes(config, 6, 6) == world_sizes(config, 6, None) == (6,)
    for size in world_sizes(config, 12, 1):
        assert slicing(config, size).part_size * size * 2 == 24
    with pytest.raises(ConfigError, match=r"execution\.workers \(5\)"):
        world_sizes(config, 5, 1)


def test_fewer_workers_that_never_fit_are_refused_with_what_to_set() -> None:
    config = TrainingConfig(global_batch_size=8)
    with pytest.raises(
        ConfigError, match=r"min_workers \(5\) .*none from 5 to 7 does\. Set it to 4 or less"
    ):
        world_sizes(config, 8, 5)


def test_fold_smaller_than_a_batch() -> None:
    assert steps_per_epoch(4, 4) == 1
    with pytest.raises(ConfigError, match="at most the training fold's 3 subjects, got 4"):
        steps_per_epoch(3, 4)


def test_smaller_slices_leave_the_numbers_of_workers_that_may_run() -> None:
    def steps(min_workers: int | None) -> dict[str, int] | None:
        training = {"global_batch_size": 24}
        execution = {"workers": 6, "min_workers": min_workers}
        config = resolve({"cohort": COHORT, "training": training, "execution": execution})
        return smaller_micro_batch(config, workers=6)

    assert steps(None) == {"training.accumulation_steps": 2}
    assert steps(4) == {"training.accumulation_steps": 2}  # 24 / 2 is cut by 4
    assert steps(5) is None  # by none below 6
