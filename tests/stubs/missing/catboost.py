"""Stands in for a library whose installation is broken (``PYTHONPATH`` first)."""

raise ImportError("libsomething.so.1: cannot open shared object file")
