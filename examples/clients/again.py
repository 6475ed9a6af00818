import json

PASSING = {"40001", "40P01", "SH429", "57P01", "57P02", "57P03", None}


class Refusal(Exception):
    """commerce says no: code is the SQLSTATE of docs/errors.md"""

    def __init__(self, code, message, detail):
        super().__init__(message)
        self.code, self.details = code, json.loads(detail)


def answer(error, code, detail, tries):
    """What an error means: an answer of the shop is raised as Refusal, what
    cannot pass by itself as it is. After what met others, and after a lost
    connection (it has no code), it returns: do the work again. With an idempotency key it
    is done once."""
    if (detail or "").startswith("{") and code != "SH429":
        raise Refusal(code, str(error), detail) from error
    if tries == 5 or code not in PASSING and not code.startswith("08"):
        raise error
