"""A run's folder: made where a run can live, or moved aside for a fresh one."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from optimizer.errors import RunFolderError
from optimizer.scheduler import ballast
from optimizer.scheduler.lock import RunLock

#: What a run's folder holds.
_FOLDERS = ("logs", "data", "predictions", "models", "scores", "backups")
#: File systems that are on another machine, or behind a program: their locks and renames do not hold what SQLite and
#: we need of them, and they may be away for minutes.
_REMOTE = frozenset({
    "nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "kafs", "openafs", "auristorfs",
    "coda", "9p", "ceph", "lustre", "lustre_lite", "gpfs", "mmfs", "beegfs", "fhgfs", "orangefs", "pvfs2", "glusterfs",
    "panfs", "wekafs", "ocfs2", "gfs2", "davfs", "vboxsf", "vmhgfs", "prl_fs",
})
#: Programs behind FUSE that read a local disk.
_LOCAL_FUSE = frozenset({
    "fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.bindfs", "fuse.gocryptfs", "fuse.encfs", "fuse.cryfs", "fuse.ntfs-3g",
    "fuse.exfat", "fuse.lxcfs", "fuse.unionfs",
})
#: Bytes that have to be free at the start, the reserve apart.
_NEEDED = 64 << 20


def make_folder(folder: Path) -> None:
    """Make the run's folder with what it holds; raises `RunFolderError` where a run cannot live there."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        mounts = ""
    _refuse_remote(folder, mounts)
    _refuse_links(folder)
    try:
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
            if not os.access(folder / name, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "may not be written to")
    except (FileExistsError, NotADirectoryError) as error:
        raise RunFolderError(f"{_in_the_way(folder)} is in the way: the run needs a folder there; rename it, or the "
                             "study file") from error
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be made: {error.strerror}; choose another place for the study file, "
                             "or make the folder writable") from error
    free = ballast.free_bytes(folder)
    lacking = "" if free is None else too_little_space(free, held=ballast.Ballast(folder).held)
    if lacking:
        raise RunFolderError(f"{folder}: {lacking}")


def _in_the_way(folder: Path) -> Path:
    """What stands where the run's folder, or one in it, shall be; a link that leads nowhere too."""
    wanted = [*reversed(folder.parents), folder, *(folder / name for name in _FOLDERS)]
    return next((path for path in wanted if os.path.lexists(path) and not path.is_dir()), folder)


def too_little_space(free: int, *, held: bool) -> str:
    """Why so many free bytes are too few to start with, or nothing; ``held``: the reserve is there already."""
    needed = _NEEDED + (0 if held else ballast.SIZE)
    if free >= needed:
        return ""
    return (f"{free >> 20} MiB are free on its disk, and a run needs {needed >> 20} MiB to start; free some space, or "
            "put the study file on another disk")


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that an absolute path is on, by ``/proc/self/mountinfo``; empty if it is not told."""
    found, depth = "", -1
    for line in mounts.splitlines():
        before, separator, behind = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = Path(_unescaped(fields[4]))
        # Of two on the same place the later one is seen.
        if len(point.parts) >= depth and path.is_relative_to(point):
            found, depth = behind.split(" ")[0], len(point.parts)
    return found


def is_remote(file_system: str) -> bool:
    """Whether a type of file system is one that a run cannot live on."""
    if file_system.startswith("fuse."):
        return file_system not in _LOCAL_FUSE
    return file_system in _REMOTE


def _refuse_remote(folder: Path, mounts: str) -> None:
    there = folder.resolve()
    file_system = file_system_of(there, mounts)
    if is_remote(file_system):
        raise RunFolderError(f"{there} is on a network file system ({file_system}), where a database is not safe; put "
                             "the study file on a local disk, and copy its folder when the run has ended")


def _refuse_links(folder: Path) -> None:
    """Whatever a run writes stays in its folder, so nothing in it may lead out of it."""
    home = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                raise RunFolderError(f"{path} is a link to {path.resolve()}, outside of the run's folder; replace it "
                                     "by what it leads to, or remove it")


def _unescaped(field: str) -> str:
    """A path of mountinfo, in which a blank is written as ``\\040``."""
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escaped, plain)
    return field


def set_aside(folder: Path) -> Path:
    """Rename an earlier run's folder, so that a fresh one can take its place; returns the new name.

    Raises:
        RunFolderError: another scheduler runs it now.
    """
    changed = folder.stat().st_mtime
    RunLock(folder).release()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(changed))
    aside = folder.with_name(f"{folder.name}.{stamp}")
    number = 2
    while aside.exists():
        aside = folder.with_name(f"{folder.name}.{stamp}.{number}")
        number += 1
    folder.rename(aside)
    return aside
