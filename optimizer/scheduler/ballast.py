"""Space that a run holds in reserve, so that what was finished can still be written when the disk is full."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

_NAME = ".ballast"
#: Bytes that are held: the lines of thousands of told trials.
SIZE = 8 << 20
#: Bytes of free space below which nothing new is started, and from which on it is again.
NEARLY_FULL = 2 * SIZE
PLENTY = 4 * SIZE


class Ballast:
    """A file of no content that is given back when the disk is full, and made again when there is plenty of space."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made yet; one that an earlier start has left counts."""
        self._folder = folder
        self._path = folder / _NAME

    @property
    def held(self) -> bool:
        """Whether it is there."""
        return self._path.is_file()

    def free(self) -> int | None:
        """Bytes that are free beside it; ``None`` where the file system does not say."""
        return free_bytes(self._folder)

    def make(self) -> bool:
        """Make it where there is plenty of space; whether it is there now."""
        if self.held:
            return True
        free = self.free()
        if free is None or free < PLENTY:
            return False
        beside = self._path.with_name(f"{_NAME}.{os.getpid()}")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                _allocate(descriptor)
            finally:
                os.close(descriptor)
            os.replace(beside, self._path)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            return False
        return True

    def give_back(self) -> bool:
        """Free its space; whether there was any to free."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def free_bytes(folder: Path) -> int | None:
    """Bytes that are free for us where this folder is; ``None`` where the file system does not say."""
    try:
        figures = os.statvfs(folder)
    except OSError:
        return None
    return figures.f_bavail * figures.f_frsize if figures.f_blocks else None


def _allocate(descriptor: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, SIZE)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        block = os.urandom(1 << 20)  # not zeros: a file system that compresses would hold nothing
        for _ in range(SIZE // len(block)):
            os.write(descriptor, block)
