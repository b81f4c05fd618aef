"""Time: schemes, steps, and the march."""
