"""Documents of MongoDB, in the shape that a program was written for, whatever shape the database holds.

    project = eclose.Project('migrations')
    users = project.collection(client.shop.users)
    users.find_one({'_id': 1})                       # upgraded if need be; nothing is written

The work is done by libeclose, on the driver's raw bytes. For mongoengine see eclose.mongoengine.
"""

from eclose._native import version as _version
from eclose.collection import Collection, drain
from eclose.cursor import Cursor
from eclose.errors import (
    ConflictError,
    EcloseError,
    LeaseBusy,
    LeaseError,
    LeaseLost,
    LossyError,
    MigrateError,
    ProjectError,
    Quarantined,
    UpgradeError,
)
from eclose.leading import Lease, Progress
from eclose.project import Context, Project
from eclose.stream import ChangeStream

__version__ = _version()
__all__ = ['ChangeStream', 'Collection', 'ConflictError', 'Context', 'Cursor', 'EcloseError', 'Lease', 'LeaseBusy',
           'LeaseError', 'LeaseLost', 'LossyError', 'MigrateError', 'Progress', 'Project', 'ProjectError',
           'Quarantined', 'UpgradeError', 'drain']
