"""What a customer's order costs less."""


class NoSuchCustomer(Exception):
    pass


def discount(event, context):
    if event["customer"] == "nobody":
        raise NoSuchCustomer(event["customer"])
    return {"percent": 10 if event["total"] >= 100 else 0}
