"""The directory of a saved model: its files are replaced together, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from scdit._checks import check_class, shown
from scdit.model._saved_file import DATA_FILE, MODEL_FILE, is_file_of, read_model

_PREVIOUS = f"{DATA_FILE}.previous"  # the data of the old model, until the new one is in its place


class Folder:
    """Where a model is saved.

    Parameters
    ----------
    dir_path
        The directory, which need not exist.
    prefix
        Put before the names of the files.

    Raises
    ------
    TypeError
        If `dir_path` is no path.
    ValueError
        If `prefix` is no part of a file name.
    """

    def __init__(self, dir_path: str | os.PathLike, prefix: str | None = None):
        self.path = Path(check_class("dir_path", dir_path, str, os.PathLike))
        if prefix is not None and (
            not isinstance(prefix, str) or any(mark in prefix for mark in "/\\:\0")
        ):
            raise ValueError(
                f"prefix must be text without '/', '\\' and ':', got {shown(prefix)}: it begins the "
                "names of files inside dir_path"
            )
        self.prefix = prefix or ""

    def file(self, name: str) -> Path:
        """Path of one of its files."""
        return self.path / f"{self.prefix}{name}"

    def data(self, data: Any) -> Path | None:
        """The file of data with a fingerprint, if it is there."""
        for name in (DATA_FILE, _PREVIOUS):  # the second one after a save that was killed
            if is_file_of(self.file(name), data):
                return self.file(name)
        return None

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """An empty directory to write the files to; they take their places at the end.

        After an error, everything is as it was.
        """
        exists = self.path.exists()
        home = self.path if exists else self.path.resolve().parent
        made = [home, *home.parents]
        made = made[: next(i for i, parent in enumerate(made) if parent.exists())]
        work = home / f".{'' if exists else self.path.name}-{uuid4().hex[:8]}.saving"
        try:
            work.mkdir(parents=True)
            yield work
            for file in [*work.iterdir(), work]:
                _flush(file)
            if exists:
                self._replace(work)
            else:
                work.rename(self.path)
            _flush(home)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            for parent in made:
                if parent.is_dir() and not any(parent.iterdir()):
                    parent.rmdir()
            raise
        if exists:
            work.rmdir()

    def _replace(self, work: Path) -> None:
        """Put new files in the place of old ones, such that one model is complete at any time."""
        data, previous = self.file(DATA_FILE), self.file(_PREVIOUS)
        new_data = work / data.name
        old = self._record() if data.exists() or previous.exists() else None
        moved = False
        try:
            if data.exists() and not is_file_of(previous, old):
                if new_data.exists() or is_file_of(data, old):
                    data.replace(previous)
                    moved = True
            if new_data.exists():
                new_data.replace(data)
            (work / self.file(MODEL_FILE).name).replace(self.file(MODEL_FILE))
        except BaseException:
            if moved:
                previous.replace(data)
            raise
        previous.unlink(missing_ok=True)

    def _record(self) -> Any:
        try:
            return read_model(self.file(MODEL_FILE)).data
        except ValueError:
            return None


def _flush(path: Path) -> None:
    """Have what was written to a file or directory on the disk."""
    if os.name == "nt" and path.is_dir():  # where directories cannot be opened
        return
    descriptor = os.open(path, os.O_RDWR if path.is_file() and os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
