"""What can go wrong that a user can mend. Every message says what came, what was expected and what to do."""


class SavsError(Exception):
    """Base of every error that `savs` raises on purpose."""


class _LocatedError(SavsError):
    """Something at a place: `location` names the file, and the line or index in it, where they are known."""

    def __init__(self, message: str, *, location: str | None = None) -> None:
        super().__init__(f"{location}: {message}" if location else message)
        self.location = location


class DataError(_LocatedError):
    """A data file, a row or a piece of media cannot be used as it is. `location` names it, where it is known."""


class BackboneError(SavsError):
    """A model cannot be loaded, or has no attention heads that can be read."""


class HeadSearchError(BackboneError):
    """The attention heads of a model were not found by structure, or not told apart; they can be named by hand."""


class SpecMismatchError(SavsError):
    """Features or a classifier come from another backbone than the one at hand."""


class StoreError(_LocatedError):
    """Stored features are damaged, missing, or cannot be written. `location` names the file or folder, if known."""


class OutputExistsError(SavsError):
    """A result would overwrite one that is already there."""


class EndpointError(SavsError):
    """A model behind an HTTP endpoint does not answer, or not as it should."""


def first_line(error: BaseException) -> str:
    """What another library's error says, in one line without its full stop; the name of its class where it is silent.

    >>> first_line(ValueError("no such file.")), first_line(KeyError())
    ('no such file', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
