# What the examples in Python are run with: python3 FILE USER PRODUCT. It prints
# what came of each step, and test/clients/drivers.pl compares.
#
# place_order(user_id, items, key) answers (id, payment_amount), or raises an
# error with code and details; backend() answers pg_backend_pid().
import os
import sys


def main(place_order, backend):
    user, product = map(int, sys.argv[1:])
    key = f"{user}-{os.getpid()}"

    def items(quantity):
        return [{"product_id": product, "quantity": quantity}]

    order, amount = place_order(user, items(1), f"{key}-1")
    print(f"order {order} of {amount}")
    order, amount = place_order(user, items(1), f"{key}-1")
    print(f"order {order} again")

    before = backend()
    try:
        place_order(user, items(1000), f"{key}-2")
    except Exception as no:
        if not hasattr(no, "details"):
            raise
        print("{}: product {product_id}, asked {asked}, available {available}".format(no.code, **no.details))
    print("connection", "kept" if backend() == before else "closed")

    order, amount = place_order(user, items(2), f"{key}-3")
    print(f"order {order} of {amount}")
