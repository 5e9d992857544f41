"""Ablations: from a question to arms, from arms to trials, from trials to verdicts."""
