"""The operations of CloudFormation's API that change something, or tell what there is nothing of here: by name.

Source: botocore's service model of cloudformation, 2010-05-15.
"""

from __future__ import annotations

from typing import Final

__all__ = ["UNSERVED"]

UNSERVED: Final = frozenset((
    "ActivateOrganizationsAccess", "ActivateType", "BatchDescribeTypeConfigurations", "CancelUpdateStack",
    "ContinueUpdateRollback", "CreateChangeSet", "CreateGeneratedTemplate", "CreateStack", "CreateStackInstances",
    "CreateStackRefactor", "CreateStackSet", "DeactivateOrganizationsAccess", "DeactivateType", "DeleteChangeSet",
    "DeleteGeneratedTemplate", "DeleteStack", "DeleteStackInstances", "DeleteStackSet", "DeregisterType",
    "DescribeAccountLimits", "DescribeChangeSet", "DescribeChangeSetHooks", "DescribeGeneratedTemplate",
    "DescribeOrganizationsAccess", "DescribePublisher", "DescribeResourceScan", "DescribeStackDriftDetectionStatus",
    "DescribeStackInstance", "DescribeStackRefactor", "DescribeStackResourceDrifts", "DescribeStackSet",
    "DescribeStackSetOperation", "DescribeType", "DescribeTypeRegistration", "DetectStackDrift",
    "DetectStackResourceDrift", "DetectStackSetDrift", "EstimateTemplateCost", "ExecuteChangeSet",
    "ExecuteStackRefactor", "GetGeneratedTemplate", "GetStackPolicy", "GetTemplateSummary", "ImportStacksToStackSet",
    "ListChangeSets", "ListGeneratedTemplates", "ListHookResults", "ListResourceScanRelatedResources",
    "ListResourceScanResources", "ListResourceScans", "ListStackInstanceResourceDrifts", "ListStackInstances",
    "ListStackRefactorActions", "ListStackRefactors", "ListStackSetAutoDeploymentTargets",
    "ListStackSetOperationResults", "ListStackSetOperations", "ListStackSets", "ListTypeRegistrations",
    "ListTypeVersions", "ListTypes", "PublishType", "RecordHandlerProgress", "RegisterPublisher", "RegisterType",
    "RollbackStack", "SetStackPolicy", "SetTypeConfiguration", "SetTypeDefaultVersion", "SignalResource",
    "StartResourceScan", "StopStackSetOperation", "TestType", "UpdateGeneratedTemplate", "UpdateStack",
    "UpdateStackInstances", "UpdateStackSet", "UpdateTerminationProtection", "ValidateTemplate",
))  # fmt: skip
