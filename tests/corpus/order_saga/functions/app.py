"""Charges a card, or does not."""


class BankBusy(Exception):
    pass


class CardDeclined(Exception):
    pass


def charge(event, context):
    if event["order"] == "declined":
        raise CardDeclined("not enough money")
    if event["order"] == "busy" and event["attempt"] < 1:
        raise BankBusy("try again")
    return {"receipt": f"paid {event['total']}", "attempts": event["attempt"] + 1}
