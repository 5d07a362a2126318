"""The resources of a new product as the text of a template: its stream, who may write and read it, its alarms.

Text, for it is put into a template that people wrote, whose comments and order stay. Knows nothing of files.
"""

from __future__ import annotations

import json
from typing import Final

from localcloud.products.checks import OWNED_KEY
from localcloud.products.descriptor import CLASSIFICATIONS, Product

__all__ = ["AGE_FACTOR", "ALARM_TOPIC", "name_resources", "write_fragment"]

ALARM_TOPIC: Final = "AlarmTopicArn"  # the application's parameter: alarms notify it where the template has it
AGE_FACTOR: Final = 1000  # milliseconds

_STREAM: Final = """\
  # ---------------------------------------------------------------- the data product {name}
  {stream}:
    Type: AWS::Kinesis::Stream
    Properties:
      RetentionPeriodHours: {retention}
      StreamModeDetails: {{StreamMode: ON_DEMAND}}
      StreamEncryption: {{EncryptionType: KMS, KeyId: {key}}}
      Tags:
        - {{Key: domain, Value: {domain}}}
        - {{Key: classification, Value: {classification}}}
        - {{Key: product, Value: "{name}"}}

  # Attach these to roles that have the tags domain and clearance; both must fit the stream's own tags.
  {prefix}Producers:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      Description: May put records into the data product {name}.
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action: [kinesis:PutRecord, kinesis:PutRecords, kinesis:ListShards, kinesis:DescribeStreamSummary]
            Resource: !GetAtt {stream}.Arn
            Condition:
              StringEquals:
                aws:ResourceTag/classification: {classification}
                aws:ResourceTag/domain: "${{aws:PrincipalTag/domain}}"
                aws:PrincipalTag/clearance: [{clearances}]
{encrypts}
  {prefix}Consumers:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      Description: May read the data product {name}.
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action:
              - kinesis:DescribeStream
              - kinesis:DescribeStreamConsumer
              - kinesis:DescribeStreamSummary
              - kinesis:GetRecords
              - kinesis:GetShardIterator
              - kinesis:ListShards
              - kinesis:SubscribeToShard
            Resource: [!GetAtt {stream}.Arn, !Sub "${{{stream}.Arn}}/consumer/*"]
            Condition:
              StringEquals:
                aws:ResourceTag/classification: {classification}
{reader_domain}                aws:PrincipalTag/clearance: [{clearances}]
{decrypts}"""

_KEY: Final = """\
          - Effect: Allow  # a key of one's own: AWS's is open to whoever may use the stream
            Action: {action}
            Resource: {key}
"""

_READER_DOMAIN: Final = '                aws:ResourceTag/domain: "${aws:PrincipalTag/domain}"\n'

_ALARM: Final = """\

  {prefix}{suffix}:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmDescription: {description}
      Namespace: AWS/Kinesis
      MetricName: {metric}
      Dimensions: [{{Name: StreamName, Value: !Ref {stream}}}]
      Statistic: {statistic}
      Period: 60
      EvaluationPeriods: 5
      Threshold: {threshold}
      ComparisonOperator: GreaterThanThreshold
      TreatMissingData: notBreaching
"""


def name_resources(product: Product) -> tuple[str, ...]:
    """The logical ids that the fragment declares."""
    prefix = _prefix(product)
    return (product.stream, *(prefix + suffix for suffix in ("Producers", "Consumers", "AgeAlarm", "ThrottlesAlarm")))


def write_fragment(product: Product, *, key: str, has_alarm_topic: bool) -> str:
    """The resources, indented as members of `Resources`. `key`: the ARN of a KMS key, or AWS's own (`OWNED_KEY`)."""
    clearances = ", ".join(CLASSIFICATIONS[CLASSIFICATIONS.index(product.classification) :])
    stream = _STREAM.format(
        name=product.name,
        stream=product.stream,
        prefix=_prefix(product),
        retention=product.retention_hours,
        key=json.dumps(key),
        domain=json.dumps(product.domain),
        classification=product.classification,
        clearances=clearances,
        # what is public is read in every domain; all else across domains by the stream's own resource policy only
        encrypts="" if key == OWNED_KEY else _KEY.format(action="kms:GenerateDataKey", key=json.dumps(key)),
        decrypts="" if key == OWNED_KEY else _KEY.format(action="kms:Decrypt", key=json.dumps(key)),
        reader_domain="" if product.classification == "public" else _READER_DOMAIN,
    )
    return stream + "".join(_write_alarms(product, has_alarm_topic=has_alarm_topic))


def _write_alarms(product: Product, *, has_alarm_topic: bool) -> list[str]:
    late = f"Records of {product.name} are read more than {product.freshness_s} s after they were put."
    full = f"The stream of {product.name} takes fewer records than are put."
    alarms = [
        ("AgeAlarm", late, "GetRecords.IteratorAgeMilliseconds", "Maximum", product.freshness_s * AGE_FACTOR),
        ("ThrottlesAlarm", full, "WriteProvisionedThroughputExceeded", "Sum", 0),
    ]
    actions = f"      AlarmActions: !If [HasAlarmTopic, [!Ref {ALARM_TOPIC}], !Ref AWS::NoValue]\n"
    return [
        _ALARM.format(
            prefix=_prefix(product),
            suffix=suffix,
            description=json.dumps(description),
            metric=metric,
            stream=product.stream,
            statistic=statistic,
            threshold=threshold,
        )
        + (actions if has_alarm_topic else "")
        for suffix, description, metric, statistic, threshold in alarms
    ]


def _prefix(product: Product) -> str:
    return "".join(part.capitalize() for part in product.name.split("-"))
