<?php
// What the examples in PHP are run with: php FILE USER PRODUCT. It prints what
// came of each step, and test/clients/drivers.pl compares.

function main(callable $place_order, callable $backend): void
{
    [, $user, $product] = $GLOBALS['argv'];
    $items = fn(int $quantity) => [['product_id' => (int) $product, 'quantity' => $quantity]];
    $key = $user . '-' . getmypid();

    $order = $place_order((int) $user, $items(1), "$key-1");
    echo "order {$order['id']} of {$order['payment_amount']}\n";
    $order = $place_order((int) $user, $items(1), "$key-1");
    echo "order {$order['id']} again\n";

    $before = $backend();
    try {
        $place_order((int) $user, $items(1000), "$key-2");
    } catch (Refusal $no) {
        ['product_id' => $id, 'asked' => $asked, 'available' => $available] = $no->details;
        echo "$no->sqlstate: product $id, asked $asked, available $available\n";
    }
    echo 'connection ', $backend() === $before ? 'kept' : 'closed', "\n";

    $order = $place_order((int) $user, $items(2), "$key-3");
    echo "order {$order['id']} of {$order['payment_amount']}\n";
}
