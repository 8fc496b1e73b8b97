"""What goes wrong: one exception for each thing that a program may want to do something about."""

from __future__ import annotations

from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

# eclose/error.h; codes of the domain MQL are MongoDB's own
_PROJECT, _UPGRADE, _MQL = 0x45434C04, 0x45434C05, 0x45434C03
_STORE = 0x45434C06  # and those after it: of leases and migrations
_CODES = {1: 'invalid', 2: 'too_large', 3: 'too_deep', 4: 'syntax', 5: 'unknown_key', 6: 'duplicate_key',
          7: 'unsupported', 8: 'file', 9: 'chain', 10: 'no_way', 11: 'version', 12: 'conflict', 13: 'lossy',
          14: 'server', 15: 'needs', 16: 'cancelled', 17: 'lease'}
_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class EcloseError(Exception):
    """Anything that eclose refuses. `reason` says what kind it is ('chain', 'unsupported', …)."""

    def __init__(self, message: str, reason: str = '') -> None:
        super().__init__(message)
        self.reason = reason


class ProjectError(EcloseError):
    """The files or functions of a project are wrong. `problems` has all of them, with file, line and path."""

    def __init__(self, message: str, reason: str = '', problems: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message, reason)
        self.problems = problems or []


class UpgradeError(EcloseError):
    """A document cannot be carried along its chain; nothing was changed. What a Python function raised is `__cause__`.

    details: {collection, _id, version, to, file, line, column, path, message}, as far as they are known.
    """

    def __init__(self, message: str, reason: str = '', details: dict[str, Any] | None = None) -> None:
        super().__init__(message, reason)
        self.details = details or {}


class LossyError(UpgradeError):
    """Refused: the stored document is of a later version and holds what this program does not see and would lose."""


class ConflictError(EcloseError):
    """Somebody else changed the document since it was read; nothing was written. `current`: as it is now, or None."""

    def __init__(self, message: str, current: Any = None) -> None:
        super().__init__(message, 'conflict')
        self.current = current


class LeaseError(EcloseError):
    """About the right to be the one."""


class LeaseBusy(LeaseError):
    """Somebody else holds the lease; the message says who."""


class LeaseLost(LeaseError):
    """The lease is not held any more: somebody else may have it."""


class MigrateError(EcloseError):
    """What is pending could not be run to its end; it may be run again. result: what was done, as of migrate()."""

    def __init__(self, message: str, reason: str = '', result: dict[str, Any] | None = None) -> None:
        super().__init__(message, reason)
        self.result = result or {}


class Quarantined(MigrateError):
    """All was done but for single documents; the collection eclose_quarantine has them, with the reason."""


def _not_of_pymongo(what: str, given: Any) -> TypeError:
    """For what comes from elsewhere, as of motor or mongomock, whose classes have the same names."""
    kind = type(given)
    return TypeError(f'{what} of pymongo (the blocking kind) is needed, not {kind.__module__}.{kind.__qualname__}')


class _Pending(BaseException):
    """What a function looked up is on its way: it ends here and is called again. Not for `except Exception`."""


def _make(message: str, domain: int, code: int, document: bytes | None) -> EcloseError:
    """The exception for an error of the library; called by the extension."""
    reason = str(code) if domain == _MQL else _CODES.get(code, str(code))
    # Problems are an array: its first key is 0.
    if domain == _PROJECT or (document and document[4:7] == b'\x030\0'):
        problems = list(bson.decode(document, _OPTIONS).values()) if document else []
        return ProjectError(message, reason, problems)
    if domain >= _STORE:
        return (LeaseError if reason == 'lease' else EcloseError)(message, reason)
    details = bson.decode(document, _OPTIONS) if document else None
    kind = LossyError if reason == 'lossy' else UpgradeError
    return kind(message, reason, details)
