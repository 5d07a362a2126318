"""What DynamoDB tells of an account, and the operations that are not here, each refused by name and with a reason.

Every operation of the API stands in `wire` or in `REFUSED`.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database

__all__ = ["REFUSED", "describe_endpoints", "describe_limits"]

_ACCOUNT_UNITS: Final = 80_000  # ServiceQuotas.html: read and write units of an account, each
_TABLE_UNITS: Final = 40_000  # ServiceQuotas.html: of one table
_CACHE_MINUTES: Final = 1440

_NO_BACKUP: Final = "no backups are kept here; `--persist` keeps the items between runs"
_NO_EXPORT: Final = "exports to S3 and imports from it are not here"
_NO_INSIGHTS: Final = "Contributor Insights is not here"
_NO_KINESIS: Final = "streaming to Kinesis is not here; a table's own stream is"
_NO_PARTIQL: Final = "PartiQL is not here; the same is said with expressions"
_OLD_TABLES: Final = "global tables of version 2017.11.29 are not here; UpdateTable makes those of version 2019.11.21"
_NO_SCALING: Final = "auto scaling is not here"
REFUSED: Final[Mapping[str, str]] = {
    "BatchExecuteStatement": _NO_PARTIQL,
    "CreateBackup": _NO_BACKUP,
    "CreateGlobalTable": _OLD_TABLES,
    "DeleteBackup": _NO_BACKUP,
    "DescribeBackup": _NO_BACKUP,
    "DescribeContributorInsights": _NO_INSIGHTS,
    "DescribeExport": _NO_EXPORT,
    "DescribeGlobalTable": _OLD_TABLES,
    "DescribeGlobalTableSettings": _OLD_TABLES,
    "DescribeImport": _NO_EXPORT,
    "DescribeKinesisStreamingDestination": _NO_KINESIS,
    "DescribeTableReplicaAutoScaling": _NO_SCALING,
    "DisableKinesisStreamingDestination": _NO_KINESIS,
    "EnableKinesisStreamingDestination": _NO_KINESIS,
    "ExecuteStatement": _NO_PARTIQL,
    "ExecuteTransaction": _NO_PARTIQL,
    "ExportTableToPointInTime": _NO_EXPORT,
    "ImportTable": _NO_EXPORT,
    "ListBackups": _NO_BACKUP,
    "ListContributorInsights": _NO_INSIGHTS,
    "ListExports": _NO_EXPORT,
    "ListGlobalTables": _OLD_TABLES,
    "ListImports": _NO_EXPORT,
    "RestoreTableFromBackup": _NO_BACKUP,
    "RestoreTableToPointInTime": _NO_BACKUP,
    "UpdateContinuousBackups": _NO_BACKUP,
    "UpdateContributorInsights": _NO_INSIGHTS,
    "UpdateGlobalTable": _OLD_TABLES,
    "UpdateGlobalTableSettings": _OLD_TABLES,
    "UpdateKinesisStreamingDestination": _NO_KINESIS,
    "UpdateTableReplicaAutoScaling": _NO_SCALING,
}


def describe_limits(database: Database, request: Members) -> dict[str, Any]:  # noqa: ARG001 - every account's are the same
    """DescribeLimits: the quotas that an account has at first. Raises DynamoError."""
    request.only()
    return {
        "AccountMaxReadCapacityUnits": _ACCOUNT_UNITS,
        "AccountMaxWriteCapacityUnits": _ACCOUNT_UNITS,
        "TableMaxReadCapacityUnits": _TABLE_UNITS,
        "TableMaxWriteCapacityUnits": _TABLE_UNITS,
    }


def describe_endpoints(host: str, request: Members) -> dict[str, Any]:
    """DescribeEndpoints: the address that was called, so that whoever asks stays here. Raises DynamoError."""
    request.only()
    return {"Endpoints": [{"Address": host, "CachePeriodInMinutes": _CACHE_MINUTES}]}
