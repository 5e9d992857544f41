"""Ray and MLflow read their switches when they are imported: before any file of tests does that."""

import isthmus.backends  # noqa: F401
