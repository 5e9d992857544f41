"""What the tests of the configuration share."""

from typing import Any

import pytest


@pytest.fixture
def minimal() -> dict[str, Any]:
    """Return the least that an experiment must say."""
    return {
        "cohort": {
            "images": "{participant_id}/{participant_id}_{modality}.nii.gz",
            "modalities": ["T1w", "FA"],
        }
    }
