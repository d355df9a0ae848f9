"""Adds the planted families to those that every process of a run finds (this folder in ``PYTHONPATH``)."""

from __future__ import annotations

from pathlib import Path

import optimizer.models

optimizer.models.__path__.append(str(Path(__file__).with_name("families")))
