"""Schemes and marching."""
