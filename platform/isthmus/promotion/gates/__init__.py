"""Gates: pure functions from evidence and thresholds to verdicts, a file a theme."""
