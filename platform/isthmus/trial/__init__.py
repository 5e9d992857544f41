"""Floor 3: one experiment, cross-validated: folds, embeddings, strata, result."""
