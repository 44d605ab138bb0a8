"""The error whose message is written for the user."""

from napari_vqad.text import printable


class InputError(ValueError):
    """An input cannot be used. The message is one sentence that names the file and the reason.

    The command line prints it and exits with code 2; napari shows it as a notification. Neither shows a traceback,
    because the message is for the user, not the programmer.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))  # it names files, whose names may contain any character
