"""Floor 1: participants, phenotypes, splits, the lockbox and a synthetic cohort."""
