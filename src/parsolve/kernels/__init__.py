"""Kernels: load, find, bind, launch."""
