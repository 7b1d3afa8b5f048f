"""Errors that a user can act on. Any other exception is a bug and keeps its traceback."""


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
