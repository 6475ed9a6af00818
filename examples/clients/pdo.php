<?php
// commerce says no: its code is the SQLSTATE of docs/errors.md
class Refusal extends Exception
{
    public function __construct(public string $sqlstate, public array $details)
    {
        parent::__construct($sqlstate);
    }
}

function connect(): PDO
{
    return new PDO('pgsql:', null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);   // PGHOST and so on
}

$db = connect();

function query(string $text, array $values = []): array
{
    global $db;
    $statement = $db->prepare($text);
    $statement->execute($values);
    return $statement->fetch(PDO::FETCH_ASSOC);
}

function place_order(int $user, array $items, string $key): array
{
    global $db;
    for ($tries = 1; ; $tries++) {
        try {
            return query('SELECT id, payment_amount FROM commerce.place_order(?, ?, idempotency_key => ?)',
                [$user, json_encode($items), $key]);
        } catch (PDOException $error) {
            [$code, , $message] = $error->errorInfo;
            // PDO has the detail only as a line of its text
            if (preg_match('/^DETAIL:  (\{.*\})$/m', $message, $detail) && $code !== 'SH429') {
                throw new Refusal($code, json_decode($detail[1], true));
            }
            $lost = preg_match('/^(08...|57P0[1-3]|HY000)$/', $code);
            if ($tries === 5 || !$lost && !in_array($code, ['40001', '40P01', 'SH429'])) {
                throw $error;
            }
            usleep(50000);
            if ($lost) {
                $db = connect();
            }
        }
    }
}

require __DIR__ . '/main.php';
main('place_order', fn() => query('SELECT pg_backend_pid() AS pid')['pid']);
