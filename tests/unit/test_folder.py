"""A run's folder: nothing in it leads out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.errors import RunFolderError
from optimizer.scheduler.folder import file_system_of, is_remote, make_folder, too_little_space


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


# Where a run cannot live.

MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:25 / /home rw,relatime shared:3 - btrfs /dev/vdb rw
31 30 0:26 / /home/ann/nas rw,relatime - nfs4 server:/export rw
32 30 0:27 / /home/ann/my\\040disk rw,relatime - fuse.sshfs ann@there:/ rw
33 31 0:28 / /home/ann/nas/scratch rw,relatime - xfs /dev/vdc rw
34 27 0:29 / /twice rw,relatime - cifs //there/twice rw
35 34 0:30 / /twice rw,relatime - tmpfs none rw
a line that says nothing
"""


@pytest.mark.parametrize(("path", "expected"), [
    ("/var/run", "ext4"), ("/home/ann", "btrfs"), ("/home/ann/nas/studies/s", "nfs4"), ("/home/ann/nasty", "btrfs"),
    ("/home/ann/my disk/s", "fuse.sshfs"), ("/home/ann/nas/scratch/s", "xfs"), ("/twice/s", "tmpfs"),
])
def test_a_path_is_on_the_file_system_that_was_mounted_deepest_and_last(path: str, expected: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == expected


def test_without_mountinfo_nothing_is_known(tmp_path: Path) -> None:
    assert file_system_of(tmp_path, "") == ""
    assert not is_remote("")


@pytest.mark.parametrize("name", ["nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "afs", "9p", "ceph", "fuse.sshfs",
                                  "fuse.rclone", "fuse.glusterfs"])
def test_a_file_system_on_another_machine_is_remote(name: str) -> None:
    assert is_remote(name)


@pytest.mark.parametrize("name", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.fuse-overlayfs"])
def test_a_file_system_on_this_machine_is_not(name: str) -> None:
    assert not is_remote(name)


def test_a_run_on_a_network_file_system_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("optimizer.scheduler.folder.file_system_of", lambda path, mounts: "nfs4")

    with pytest.raises(RunFolderError, match=r"network file system \(nfs4\).* put the study file on a local disk"):
        make_folder(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_too_little_space_is_said_with_figures() -> None:
    assert too_little_space(72 << 20, held=False) == ""
    assert too_little_space(64 << 20, held=True) == ""
    assert too_little_space(71 << 20, held=False).startswith(
        "71 MiB are free on its disk, and a run needs 72 MiB to start; free some space")
