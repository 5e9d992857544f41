"""Ten steps of a whole training, from images on disk to losses, at full precision."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isthmus.training.fit import fit


@pytest.fixture
def importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1])
        yield


@pytest.mark.usefixtures("importable")
def test_losses_of_ten_steps(golden: Callable[..., None], tmp_path: Path) -> None:
    from small_cohort import make_task, write_cohort

    experiment = write_cohort(tmp_path)
    task = make_task(
        experiment.folder / "experiment.yaml",
        tmp_path / "fold-0",
        "training.epochs=4",
        "training.schedule=warmup_cosine",
        "training.warmup_share=0.25",
        "training.gradient_clip_norm=0.05",
        "training.early_stopping.monitor_share=0.2",
    )
    losses: list[float] = []
    fitted = fit(task, on_step=lambda _, loss: losses.append(loss))
    monitored = [record["monitor_loss"] for record in fitted.history]
    # Processors differ in the last digits of a float32 sum, and each step carries them on.
    golden("training_losses", losses[:10], relative=1e-5)
    golden("training_monitored", monitored, relative=1e-3)
