"""One large cell through a store and back, in a process of its own, whose memory is looked at."""

import json
from pathlib import Path

from ocblob.cells import Column
from ocblob.databases.addresses import Address
from processes import finish, spawn

TIMEOUT_S = 300.0
CODE = """
import json, sys
from pathlib import Path
from ocblob import BlobStore
from ocblob.cells import Column, Scope
from ocblob.databases.addresses import server_address
from ocblob.databases.opening import open_database
from ocblob.offload import offload
from ocblob.restore import restore
from processes import peak_bytes
url, table, column, path = sys.argv[1:]
where = (Column(table, column),)
with open_database(server_address(url)) as database, BlobStore.create(Path(path))[0] as store:
    out = offload(database, store, where, scope=Scope(), previews=False)
    back = restore(database, store, where, scope=Scope())
print(json.dumps([out.payloads, back.refs_restored, peak_bytes() // 2**20]))
"""


def offload_and_restore(address: Address, column: Column, store: Path) -> tuple[int, int, int]:
    """Payloads that moved out, refs that came back, and the peak of memory in MiB."""
    child = spawn(CODE, address.url, column.table, column.column, str(store))
    moved, restored, peak_mib = json.loads(finish(child, timeout_s=TIMEOUT_S))
    return moved, restored, peak_mib
