"""Makes a small one of each upload; what is no text cannot be made small."""

import os
from urllib.parse import unquote_plus

import boto3

s3 = boto3.client("s3")


def handler(event, context):
    for record in event["Records"]:
        bucket, key = record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"])
        found = s3.get_object(Bucket=bucket, Key=key)
        small = found["Body"].read().decode("ascii")[:4]
        s3.put_object(
            Bucket=os.environ["SMALL"],
            Key="thumbnails/" + key.removeprefix("photos/"),
            Body=small.encode(),
            ContentType=found["ContentType"],
            Metadata={"of": bucket, "size": str(record["s3"]["object"]["size"])},
        )
