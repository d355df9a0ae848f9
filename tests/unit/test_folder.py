"""A run's folder: nothing in it leads out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.errors import RunFolderError
from optimizer.scheduler.folder import make_folder


@pytest.mark.parametrize("place", ["logs", "predictions", "models/a", "predictions/a/xgboost", "journal.jsonl",
                                   "scores/best-a.csv", "data/0123", "logs/run.log"])
def test_a_link_out_of_the_folder_is_refused_and_named(tmp_path: Path, place: str) -> None:
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = folder / place
    path.parent.mkdir(parents=True)
    path.symlink_to(elsewhere / "file" if path.suffix else elsewhere)
    with pytest.raises(RunFolderError, match=f"{place} is a link to .*elsewhere"):
        make_folder(folder)
    assert not list(elsewhere.iterdir())


def test_a_link_that_stays_inside_is_nobodys_harm(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "scores" / "mine.csv").symlink_to("best-a.csv")
    make_folder(tmp_path)


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "big-disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "big-disk")
    make_folder(tmp_path / "run")
    assert (tmp_path / "big-disk" / "logs").is_dir()


def test_a_link_to_nowhere_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path / "gone" / "away")
    with pytest.raises(RunFolderError, match="run is in the way: the run needs a folder there"):
        make_folder(tmp_path / "run")
