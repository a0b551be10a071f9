# SQLCipher's build of the standard sqlite3 module: the same classes under another name.
from sqlite3 import Connection as Connection, Cursor as Cursor, Row as Row
from sqlite3 import DatabaseError as DatabaseError, Error as Error, IntegrityError as IntegrityError
from sqlite3 import OperationalError as OperationalError
from types import ModuleType as ModuleType

sqlite_version: str

def connect(
    database: str,
    timeout: float = ...,
    isolation_level: str | None = ...,
    check_same_thread: bool = ...,
    uri: bool = ...,
) -> Connection: ...
