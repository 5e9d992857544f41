"""Paired inference on cross-validated scores: corrected tests, ranks, equivalence, verdicts."""
