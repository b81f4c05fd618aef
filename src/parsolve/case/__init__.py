"""The case file as typed, validated data: no physics, no MPI."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsolve.case.schema import (
        Axis,
        Case,
        Checkpoint,
        FileValue,
        Meaning,
        Output,
        PassSettings,
        Run,
        SideCondition,
        Time,
        Value,
    )

__all__ = [
    "Axis",
    "Case",
    "Checkpoint",
    "FileValue",
    "Meaning",
    "Output",
    "PassSettings",
    "Run",
    "SideCondition",
    "Time",
    "Value",
]


def __getattr__(name: str) -> Any:
    """Load the schema when a name of it is first used: what only reads the text of cases needs no msgspec."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from parsolve.case import schema

    return getattr(schema, name)
