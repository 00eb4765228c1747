"""One database, one store, many workers of a Dask cluster."""

from ocblob.fleet.report import FleetReport
from ocblob.fleet.run import Fleet

__all__ = ["Fleet", "FleetReport"]
