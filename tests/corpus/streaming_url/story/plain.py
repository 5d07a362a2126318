"""For those who sign their requests."""


def secret(event, context):
    return {
        "said": event["queryStringParameters"]["word"],
        "by": event["requestContext"]["authorizer"]["iam"]["accountId"],
    }
