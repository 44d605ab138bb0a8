"""The one error that a person is meant to read."""


class InputError(ValueError):
    """What was given cannot be used; the message is one sentence that names the file and the reason.

    The command line prints it and exits with code 2, napari shows it as a notification. Neither shows a
    traceback: an `InputError` is the person's news, not the programmer's.
    """
