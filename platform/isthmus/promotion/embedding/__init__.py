"""Embedding a cohort by a model: whom, in parts that are kept, into one table."""
