"""The exceptions that a user's input can cause, each with the offending value and the way out.

They are ``ValueError``s, so library users need not know them; the command line prints them as one
line.
"""


class InputError(ValueError):
    """An input cannot be used: a name, a number, a file."""


class TargetError(InputError):
    """A target of :func:`asr_core.insert_asr` matches nothing, or a layer that can take no gate."""


class CheckpointError(InputError):
    """A checkpoint is missing, damaged, unsafe to read, or of another architecture."""


class ParityError(InputError):
    """Two models that should agree do not; nothing was changed or written."""
