"""Where a file of cells is to be: it is there when it is complete, and a folder beside it until then."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import zarr

from scdit._checks import check_bool, check_class, shown
from scdit.store._writer import RECORD

_FORMAT = 1  # of the folder: to be increased when it is written in another way
_PROGRESS, _STORE, _COPY, _REPLACED = "progress.json", "store", "copy.partial", "replaced"
_OURS = {_PROGRESS, f"{_PROGRESS}.new", _STORE, _COPY, _REPLACED}


class Target:
    """A path for a file of cells, and the folder ``<path>.unfinished`` in which it is made.

    Parameters
    ----------
    path
        The path; its suffix says the format.
    suffixes
        Formats that are possible.
    overwrite
        Whether a file that is there is replaced, once the new one is complete.
    resume
        Whether to go on with what an interrupted call left.
    shard
        Rank and number of shards, which become a part of the file's name; None for a whole file.

    Raises
    ------
    ValueError
        If the path has another suffix, or what an interrupted call left cannot be read.
    TypeError
        If it is no path.
    FileNotFoundError, NotADirectoryError
        If its folder does not exist.
    FileExistsError
        If it exists, or is being made, and nothing says what to do then.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        suffixes: Collection[str],
        *,
        overwrite: bool = False,
        resume: bool = False,
        shard: tuple[int, int] | None = None,
    ):
        self.path = Path(check_class("path", path, str, os.PathLike))
        self._overwrite = check_bool("overwrite", overwrite)
        self._resume = check_bool("resume", resume)
        if self.path.suffix not in suffixes:
            raise ValueError(
                f"path must end with {' or '.join(suffixes)}, got {shown(str(self.path))}"
            )
        if shard is not None:
            rank, of = shard
            name = f"{self.path.stem}.shard-{rank:0{len(str(of - 1))}d}-of-{of}{self.path.suffix}"
            self.path = self.path.with_name(name)
        self._work = self.path.with_name(f"{self.path.name}.unfinished")
        if not self.path.parent.exists():
            raise FileNotFoundError(f"path: the folder {str(self.path.parent)!r} does not exist")
        if not self.path.parent.is_dir():
            raise NotADirectoryError(f"path: {str(self.path.parent)!r} is no folder")
        self._check_folder()
        self._progress = self._read_progress() if resume else None
        self._record = self._read_record() if resume and self.path.exists() else None
        if self.path.exists() and not overwrite and self._record is None:
            raise FileExistsError(
                f"path: {str(self.path)!r} exists: name another, or pass overwrite=True"
            )
        if self.path.exists() and not self._is_of_this_kind():
            raise FileExistsError(
                f"path: {str(self.path)!r} exists and is no {self.path.suffix} file: it is not "
                "overwritten"
            )

    @property
    def is_hdf5(self) -> bool:
        """Whether the file is of HDF5: its store is copied to it at the end."""
        return self.path.suffix != ".zarr"

    @property
    def store(self) -> Path:
        """Folder of the store that is written."""
        return self._work / _STORE

    @property
    def copy(self) -> Path:
        """The file of HDF5 before it has its name."""
        return self._work / _COPY

    @property
    def recorded(self) -> Mapping[str, Any]:
        """Settings of the call that is resumed; empty if none is."""
        if self._progress is not None:
            return self._progress["settings"]
        return self._record or {}

    def begin(self, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """Make the folder, or return what :meth:`save` was given last in the call that is resumed.

        Parameters
        ----------
        settings
            All that the cells depend on, in plain types, by names that the user knows.

        Raises
        ------
        ValueError
            If a call with other settings is to be resumed.
        FileExistsError
            If the file exists and its cells are others.
        OSError
            If the folder cannot be written.
        """
        self._settings = json.loads(json.dumps(settings))
        if self._progress is not None:
            self._check_same(self._progress["settings"])
        if self.path.exists() and not self._overwrite:
            raise FileExistsError(
                f"path: {str(self.path)!r} exists, and its cells were asked for with "
                f"{self._differences(self._record or {})}: name another, or pass overwrite=True"
            )
        if self._progress is not None:
            return self._progress["state"]
        if self._work.exists():
            shutil.rmtree(self._work)
        try:
            self._work.mkdir()
        except OSError as error:
            raise type(error)(
                error.errno, f"path: no file can be made in {str(self.path.parent)!r}: {error}"
            ) from error
        return None

    def is_complete(self, settings: Mapping[str, Any]) -> bool:
        """Whether the file is there, and its cells are those of the call that is resumed."""
        return self._record is not None and self._record == json.loads(json.dumps(settings))

    def save(self, state: Mapping[str, Any]) -> None:
        """Note how far the store is, in plain types."""
        content = {"format": _FORMAT, "settings": self._settings, "state": state}
        new = self._work / f"{_PROGRESS}.new"
        new.write_text(json.dumps(content))
        new.replace(self._work / _PROGRESS)

    def publish(self) -> None:
        """Give the complete file its name, and remove the folder.

        Raises
        ------
        FileExistsError
            If a file has appeared there meanwhile; what was written is kept.
        """
        new = self.copy if self.is_hdf5 else self.store
        if self.path.exists() and not self._overwrite:
            raise FileExistsError(
                f"path: {str(self.path)!r} was made by another process; the cells are kept in "
                f"{str(self._work)!r}"
            )
        replaced = self._work / _REPLACED
        if self.path.is_dir():
            self.path.rename(replaced)
            try:
                new.rename(self.path)
            except BaseException:
                replaced.rename(self.path)
                raise
        else:
            new.replace(self.path)
        shutil.rmtree(self._work)

    @contextmanager
    def kept_on_error(self) -> Iterator[None]:
        """Say, where the disk is full or fails, that what was written is kept."""
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            raise OSError(
                error.errno,
                f"path: writing {str(self.path)!r} failed: {error.strerror or error}. What was written "
                f"is kept in {str(self._work)!r}: make room there, and call again with resume=True",
            ) from error

    # -- what is there ---------------------------------------------------------------------------

    def _check_folder(self) -> None:
        """Raise FileExistsError if the folder is there and neither to be used nor to be replaced."""
        if not self._work.exists():
            return
        if not self._work.is_dir() or {file.name for file in self._work.iterdir()} - _OURS:
            raise FileExistsError(
                f"path: {str(self._work)!r} is needed to write to, and is something else: move it"
            )
        replaced = self._work / _REPLACED
        if replaced.exists() and not self.path.exists():  # a call was killed between two renamings
            replaced.rename(self.path)
        if not self._resume and not self._overwrite:
            raise FileExistsError(
                f"path: {str(self._work)!r} is what an interrupted call left: pass resume=True to go on "
                "with it, or overwrite=True to begin anew"
            )

    def _read_progress(self) -> dict[str, Any] | None:
        file = self._work / _PROGRESS
        if not file.exists() or not self.store.is_dir():
            return None
        try:
            content = json.loads(file.read_text())
            known = content["format"] == _FORMAT and isinstance(content["settings"], dict)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ValueError(
                f"resume: {str(file)!r} cannot be read ({error}): pass overwrite=True and not resume to "
                "begin anew"
            ) from error
        if not known:
            raise ValueError(
                f"resume: {str(self._work)!r} was written by another version of scdit: finish it with "
                "that, or pass overwrite=True and not resume to begin anew"
            )
        return content

    def _read_record(self) -> dict[str, Any] | None:
        """What the cells of a complete file were asked for with; None if it does not say so."""
        try:
            if self.is_hdf5:
                with h5py.File(self.path, "r") as file:
                    return json.loads(file.attrs[RECORD])
            return json.loads(str(zarr.open_group(str(self.path), mode="r").attrs[RECORD]))
        except (KeyError, ValueError, OSError):
            return None

    def _is_of_this_kind(self) -> bool:
        if self.is_hdf5:
            return self.path.is_file()
        return any((self.path / name).is_file() for name in ("zarr.json", ".zgroup"))

    def _check_same(self, settings: Mapping[str, Any]) -> None:
        found = self._differences(settings)
        if found:
            raise ValueError(
                f"resume: {str(self._work)!r} was begun with {found}: make the same call, or pass "
                "overwrite=True and not resume to begin anew"
            )

    def _differences(self, settings: Mapping[str, Any]) -> str:
        """Settings that are others in this call, in words; none as empty text."""
        keys = dict.fromkeys([*settings, *self._settings])
        return ", ".join(
            f"{key}={shown(settings.get(key))} instead of {shown(self._settings.get(key))}"
            for key in keys
            if settings.get(key) != self._settings.get(key)
        )
