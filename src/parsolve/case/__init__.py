"""The case file as typed, validated data: no physics, no MPI."""

from parsolve.case.schema import Axis, Case, Condition, FileValue, Output, Pipeline, Run, Time, Value

__all__ = ["Axis", "Case", "Condition", "FileValue", "Output", "Pipeline", "Run", "Time", "Value"]
