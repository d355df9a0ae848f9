"""A service that searches models overnight: one study file in, the best submissions out."""

__version__ = "0.1.0"
