"""Equations: text, stencils, kernels in C and NumPy."""
