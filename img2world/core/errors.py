"""Errors that a user can act on. Any other exception is a bug and keeps its traceback."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class Img2WorldError(Exception):
    """The input, the options or the machine cannot be used as requested.

    The message is one line: what was found and what is needed. The hint is the next step.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class ImageError(Img2WorldError):
    """A picture cannot be read or used."""


class VideoError(Img2WorldError):
    """A video or a folder of frames cannot be read, generated or used."""


class CameraError(Img2WorldError):
    """A camera path cannot be read or is not usable."""


class PoseError(Img2WorldError):
    """The cameras of the frames could not be found."""


class RejectedError(Img2WorldError):
    """The video, or the cameras found in it, are too poor to continue; the exit code is 3."""


class SubjectError(Img2WorldError):
    """No subject could be isolated from the pictures of a capture."""


class SplatError(Img2WorldError):
    """The scene could not be reconstructed."""


class RecipeError(Img2WorldError):
    """A recipe or a --set option names something that does not exist, or has a value of the wrong type."""


class RunFolderError(Img2WorldError):
    """The run folder cannot be written, is in use, or is not a run folder."""


class FormatError(Img2WorldError):
    """A file is not of the format that it claims, is damaged, or holds what its format does not allow."""


class ExportError(Img2WorldError):
    """A file cannot be written, or cannot be read back."""


class MissingPackageError(Img2WorldError):
    """An optional package, program or device that is needed is missing."""


class OutOfMemoryError(Img2WorldError):
    """The machine, or a limit set for this process, has too little memory."""


OUT_OF_MEMORY = ("allocate memory", "out of memory", "bad_alloc", "start new thread", "failed to map segment")
"""Phrases in the errors of libraries that get no memory, or no thread for lack of it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception of Python or of a library says that memory ran out."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOMEM, errno.EAGAIN)
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in text for phrase in OUT_OF_MEMORY)


def reason(error: BaseException) -> str:
    """Return the message of an exception on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


@contextmanager
def library_errors(kind: type[Img2WorldError], message: str, *, hint: str) -> Iterator[None]:
    """Raise any exception of a library that reads a file as an error of this kind, with `{reason}` filled in.

    What damaged and hostile files make a decoder raise cannot be listed. Use it around calls of a library only: it
    would hide bugs of ours.
    """
    try:
        yield
    except Img2WorldError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            message, hint = message.replace("{reason}", "memory ran out"), "use a smaller one, or free memory"
        raise kind(message.replace("{reason}", reason(error)), hint=hint) from error
