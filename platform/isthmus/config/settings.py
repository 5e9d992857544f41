"""What all settings share: they are frozen, and an unknown name is an error."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Settings(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false where a number is due: pydantic would make them 1 and 0."""
        kind = cls.model_fields[str(info.field_name)].annotation
        parts = value if isinstance(value, list | tuple) else [value]
        if kind not in (bool, bool | None) and any(isinstance(part, bool) for part in parts):
            raise ValueError(f"must not be true or false, got {value}")
        return value
