"""The one error that a person is meant to read."""

from napari_vqad.text import printable


class InputError(ValueError):
    """What was given cannot be used; the message is one sentence that names the file and the reason.

    The command line prints it and exits with code 2, napari shows it as a notification. Neither shows a
    traceback: an `InputError` is the person's news, not the programmer's.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))  # it names files, and a file may have any name
