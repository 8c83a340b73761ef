"""Stages of a search on disk, so that an interrupted search can go on from there."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from equishare import ranks
from equishare.files import written_whole
from equishare.problems.network.fit import Fit

_FORMAT = "equishare.Checkpoint/5"
# The file ends with the SHA-256 of all that stands before it: torch itself does not tell a bit that was flipped.
_DIGEST = hashlib.sha256().digest_size
_PART = 1 << 20


class Checkpoint:
    """Results of the stages of one search, by name.

    The result of a stage depends on the problem, the options, the seed and earlier stages alone. So a search that takes
    results from the file ends with the same answer as one that was not interrupted.

    Args:
        path: file, written whole after each stage, by the first rank; None: nothing is kept.
        about: a digest of the search, which must be the same when the file is read again.

    Raises:
        ValueError: the file is no checkpoint, or one of another search.
        TypeError: path is no path.
        OSError: it cannot be read or written, or its folder does not exist.
    """

    def __init__(self, path: str | os.PathLike[str] | None, about: str) -> None:
        self.path, self.about = path, about
        self._stages: dict[str, Any] = {}
        if path is None:
            return
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            raise TypeError(f"checkpoint must be a path or None, got {path!r}")
        self._stages = ranks.from_first(lambda: _opened(path, about))

    def stage(self, name: str, run: Callable[[], Fit]) -> Fit:
        """The fit of a stage: from the file, or run and kept."""
        if self.path is None:
            return run()
        if name not in self._stages:
            self.keep(name, vars(run()))
        return Fit(**self._stages[name])

    def get(self, name: str) -> Any:
        """What was kept under a name, or None."""
        return self._stages.get(name)

    def keep(self, name: str, content: Any) -> None:
        """Keep tensors and numbers, in dicts and lists, under a name."""
        self._stages[name] = content
        if self.path is not None and ranks.is_first():
            with written_whole(self.path) as temporary:
                _write(temporary, {"format": _FORMAT, "about": self.about, "stages": self._stages})


def fingerprint(problems: Sequence[Any], method: str, seed: int, options: Any) -> str:
    """A digest of all that decides the course of a search: model, data, loss, method, seed and options.

    For a DataLoader it takes the first batch alone, for the loss its name.
    """
    digest = hashlib.sha256(repr((method, seed, options)).encode())
    for problem in problems:
        loss = getattr(problem.loss, "__qualname__", None) or repr(problem.loss)
        # Addresses differ from process to process.
        digest.update(re.sub(r" at 0x[0-9a-fA-F]+", "", f"{loss} {problem.model} {problem.restart_seed}").encode())
        trained = [name for name, p in problem.model.named_parameters() if p.requires_grad]
        digest.update(" ".join(trained).encode())
        for name, tensor in problem.model.state_dict().items():
            digest.update(name.encode())
            _add(digest, tensor)
        for name in ("train", "val", "stop"):
            samples = getattr(problem, name)
            digest.update(name.encode())
            if samples is not None:
                x, y = samples.first()
                for tensor in (*x, y):
                    _add(digest, tensor)
    return digest.hexdigest()


def _add(digest: Any, tensor: Tensor) -> None:
    digest.update(f"{tensor.dtype} {tuple(tensor.shape)} {tensor.device.type}".encode())
    digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())


def _opened(path: str | os.PathLike[str], about: str) -> dict[str, Any]:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        # Before the work, not after the first stage.
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    return _read(path, about) if os.path.exists(path) else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        # Torch refuses names that begin with a dot and have no ending.
        with open(path, "wb") as file:
            torch.save(content, file)
    except RuntimeError as error:  # of a disk that is full; torch tells no more than that the stream failed
        raise OSError(errno.EIO, "the checkpoint could not be written, is the disk full?", str(path)) from error
    digest = hashlib.sha256()
    with path.open("r+b") as file:
        while part := file.read(_PART):
            digest.update(part)
        file.write(digest.digest())


def _read(path: str | os.PathLike[str], about: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            whole = memoryview(file.read())
        if hashlib.sha256(whole[:-_DIGEST]).digest() != whole[-_DIGEST:]:
            raise ValueError("checksum")
        content = torch.load(io.BytesIO(whole[:-_DIGEST]), weights_only=True)
        if content["format"] != _FORMAT:
            raise KeyError("format")
    except Exception as error:
        # A damaged file fails in zipfile, pickle or torch, each with errors of its own.
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise ValueError(f"checkpoint {os.fspath(path)!r} is no checkpoint of a search, or it is damaged") from error
    if content["about"] != about:
        raise ValueError(
            f"checkpoint {os.fspath(path)!r} is of another search: model, data, loss, method, seed or options differ; "
            f"give another path or remove the file"
        )
    return content["stages"]
