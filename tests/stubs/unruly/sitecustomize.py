"""Adds the unruly families to those of every process (``PYTHONPATH``: this folder, and ``planted``)."""

from __future__ import annotations

from pathlib import Path

import optimizer.models

optimizer.models.__path__.append(str(Path(__file__).with_name("families")))
