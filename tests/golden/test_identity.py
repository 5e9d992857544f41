"""What identifies an experiment, and the streams that its seed gives, stay as they are."""

from collections.abc import Callable

from isthmus.config.load import preset_names, resolve
from isthmus.core.seeds import derive_seed, generator

COHORT = {"images": "{participant_id}_{modality}.nii.gz", "modalities": ["T1w", "FA"]}


def test_digests_of_the_presets(golden: Callable[..., None]) -> None:
    # A change here means that runs of the same settings are no longer found again.
    digests = {name: resolve({"preset": name, "cohort": COHORT}).digest for name in preset_names()}
    golden("digests", digests)


def test_random_streams(golden: Callable[..., None]) -> None:
    names = [(0,), (0, "fold", 1), (7, "dropout", 3, "sub-001")]
    golden(
        "streams",
        {
            repr(name): {
                "seed": derive_seed(*name),
                "draws": generator(*name).integers(0, 2**31, 4).tolist(),
            }
            for name in names
        },
    )
