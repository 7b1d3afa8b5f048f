"""Errors a user can act on. Anything else that is raised is a bug and keeps its traceback."""


class Img2WorldError(Exception):
    """The input, the options or the machine cannot be used as asked.

    The message is one line: what was found and what was needed. The hint is the next step.
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
    """The video, or the cameras found in it, are too bad to go on with; the command line ends with code 3."""


class SplatError(Img2WorldError):
    """The scene could not be reconstructed."""


class RecipeError(Img2WorldError):
    """A recipe or a --set option names something that does not exist or has the wrong type."""


class RunFolderError(Img2WorldError):
    """The run folder cannot be written, is in use, or is not a run folder."""


class ExportError(Img2WorldError):
    """A file could not be written, or was not readable after it was written."""


class MissingPackageError(Img2WorldError):
    """An optional package, program or device that was asked for is not there."""
