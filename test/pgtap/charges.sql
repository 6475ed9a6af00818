-- Charges of a balance that a provider is to pay.
-- role: postgres
-- Postgres only moves clocks and settings by hand; everything else is done as shop.

SELECT no_plan();
SET ROLE shop;
SELECT commerce.create_user('Boss', 'boss@example.com', role => 'ADMIN') AS boss \gset
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.create_user('Lee', 'lee@example.com') AS lee \gset
CREATE FUNCTION pg_temp.balance(u bigint) RETURNS bigint LANGUAGE sql AS 'SELECT balance FROM commerce.users WHERE id = u';
CREATE FUNCTION pg_temp.payments(u bigint) RETURNS text LANGUAGE sql
AS $$SELECT string_agg(concat_ws(':', kind, status, amount, provider_event_id), ' ' ORDER BY id) FROM commerce.payments WHERE user_id = u$$;
RESET ROLE;
CREATE FUNCTION pg_temp.overdue(c bigint) RETURNS void LANGUAGE sql SECURITY DEFINER
AS $$UPDATE commerce.payments SET expires_at = now() - interval '1 second' WHERE id = c$$;
SET commerce.payment_ttls = 'card=10min, virtual_account=2d';
SET ROLE shop;

-- Asked for, and paid
SELECT id AS c FROM commerce.request_charge(:kim, 5000, 'card') \gset
SELECT results_eq(format('SELECT kind::text, method::text, status::text, amount, channel, order_id, user_id, expires_at - at FROM commerce.payments WHERE id = %s', :c),
	format($$VALUES ('CHARGE', 'EXTERNAL', 'REQUESTED', 5000::bigint, 'card', NULL::bigint, %s::bigint, interval '10 minutes')$$, :kim), 'a charge waits for its payment');
SELECT is(pg_temp.balance(:kim), 0::bigint, 'and credits nothing');
SELECT is(event_payload('User', :kim, 'ChargeRequested') #>> '{payment,id}', :'c'::text, 'the provider is asked for it');
SELECT is(event_payload('User', :kim, 'ChargeRequested') #>> '{payment,currency}', 'KRW', 'in the shop''s currency');
SELECT results_eq(format('SELECT id, status::text FROM commerce.confirm_charge(%s, true, ''e1'', 5000)', :c), format($$VALUES (%s::bigint, 'COMPLETED')$$, :c), 'a success completes it');
SELECT is(pg_temp.balance(:kim), 5000::bigint, 'and credits the balance');
SELECT results_eq(format('SELECT kind::text, amount, payment_id, reference FROM commerce.balance_entries WHERE user_id = %s', :kim),
	format($$VALUES ('CHARGE', 5000::bigint, %s::bigint, NULL::text)$$, :c), 'with an entry that names it');
SELECT is(events('User', :kim), 'UserCreated ChargeRequested BalanceCharged', 'events');
SELECT books() AS books \gset
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_charge(%s, true, ''e1'', 5000)', :c), $$VALUES ('COMPLETED')$$, 'the same answer again');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_charge(%s, false, ''e2'')', :c), $$VALUES ('COMPLETED')$$, 'and a late failure');
SELECT is(books(), :'books', 'change nothing');
-- money that was not asked for
SELECT results_eq(format('SELECT id, status::text FROM commerce.confirm_charge(%s, true, ''e3'')', :c), format($$VALUES (%s::bigint, 'COMPLETED')$$, :c), 'a second success answers the charge');
SELECT is(pg_temp.payments(:kim), 'CHARGE:COMPLETED:5000:e1 CHARGE:UNEXPECTED:5000:e3', 'and is kept');
SELECT is(pg_temp.balance(:kim), 5000::bigint, 'but not credited');
SELECT is(event_payload('User', :kim, 'PaymentUnexpected') #>> '{payment,charge_id}', :'c'::text, 'it is told, with the charge');
SELECT * FROM commerce.confirm_charge(:c, true, 'e3') \g /dev/null
SELECT is(pg_temp.payments(:kim), 'CHARGE:COMPLETED:5000:e1 CHARGE:UNEXPECTED:5000:e3', 'once');
SELECT id AS u FROM commerce.payments WHERE provider_event_id = 'e3' \gset
SELECT refuses(format('SELECT commerce.confirm_charge(%s, true, ''e4'')', :u), 'ENTITY_NOT_FOUND', 'it is no charge to be confirmed');
SELECT id AS r FROM commerce.return_payment(:u, :boss, 'twice') \gset
SELECT is(event_payload('User', :kim, 'RefundRequested') #>> '{refund,provider_event_id}', 'e3', 'it is given back by the provider');
SELECT is(event_payload('User', :kim, 'RefundRequested') #>> '{actor,id}', :'boss'::text, 'as somebody asked');
SELECT results_eq(format('SELECT status::text FROM commerce.report_refund(%s, true, ''e5'')', :r), $$VALUES ('COMPLETED')$$, 'who says so');
SELECT is(events('User', :kim), 'UserCreated ChargeRequested BalanceCharged PaymentUnexpected RefundRequested RefundCompleted', 'events');
SELECT refuses(format('SELECT commerce.return_payment(%s)', :c), 'INVALID_STATE_TRANSITION', 'a charge that was credited is not given back so');
SELECT id AS c FROM commerce.request_charge(:kim, 5000) \gset
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_charge(%s, true, ''e1'', 4900)', :c), $$VALUES ('REQUESTED')$$, 'with another amount it still waits, under an id that is another charge''s');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_charge(%s, true, ''e6'')', :c), $$VALUES ('COMPLETED')$$, 'and can be paid');
SELECT is(pg_temp.balance(:kim), 10000::bigint, 'by the right amount alone');

-- Not paid, and late
SELECT id AS c FROM commerce.request_charge(:lee, 700) \gset
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_charge(%s, false, ''f1'')', :c), $$VALUES ('FAILED')$$, 'a failure');
SELECT is(event_payload('User', :lee, 'ChargeFailed') #>> '{payment,status}', 'FAILED', 'is told');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_charge(%s, true, ''f1'')', :c), $$VALUES ('COMPLETED')$$, 'a success after it, under its id, credits');
SELECT id AS c FROM commerce.request_charge(:lee, 300) \gset
SELECT is(commerce.expire_pending_orders(), 0, 'nothing expires before its time');
SELECT pg_temp.overdue(:c);
SELECT is(commerce.expire_pending_orders(), 1, 'a charge whose time is over does');
SELECT is(event_payload('User', :lee, 'ChargeFailed') #>> '{payment,status}', 'EXPIRED', 'and is told');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_charge(%s, true, ''f2'')', :c), $$VALUES ('COMPLETED')$$, 'a late success credits too');
SELECT is(pg_temp.balance(:lee), 1000::bigint, 'once each');
-- of a user who is not active
SELECT id AS c FROM commerce.request_charge(:lee, 200) \gset
SELECT commerce.set_user_status(:lee, 'SUSPENDED') \g /dev/null
SELECT is((SELECT status::text FROM commerce.payments WHERE id = :c), 'EXPIRED', 'a suspended user''s charges end');
SELECT refuses(format('SELECT commerce.request_charge(%s, 100)', :lee), 'FORBIDDEN', 'and he cannot ask for others');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_charge(%s, true, ''f3'')', :c), $$VALUES ('EXPIRED')$$, 'money that comes all the same');
SELECT is((SELECT status::text FROM commerce.payments WHERE provider_event_id = 'f3'), 'UNEXPECTED', 'is kept');
SELECT is(pg_temp.balance(:lee), 1000::bigint, 'and not credited');
SELECT commerce.set_user_status(:lee, 'ACTIVE') \g /dev/null

-- Keys
SELECT id AS c FROM commerce.request_charge(:lee, 500, 'card', '5min', 'k') \gset
SELECT books() AS books \gset
SELECT results_eq(format('SELECT id FROM commerce.request_charge(%s, 500, ''card'', ''5min'', ''k'')', :lee), format('VALUES (%s::bigint)', :c), 'the same key is the same charge');
SELECT is(books(), :'books', 'once');
SELECT refuses(format('SELECT commerce.request_charge(%s, 500, ''card'', ''6min'', ''k'')', :lee), 'IDEMPOTENCY_KEY_REUSED', 'and no other');
RESET ROLE;
DELETE FROM commerce_private.idempotency_keys;
SET ROLE shop;
SELECT results_eq(format('SELECT id FROM commerce.request_charge(%s, 500, ''card'', ''5min'', ''k'')', :lee), format('VALUES (%s::bigint)', :c), 'months later too');
SELECT refuses(format('SELECT commerce.request_charge(%s, 600, ''card'', ''5min'', ''k'')', :lee), 'IDEMPOTENCY_KEY_REUSED', 'not with another amount');
SELECT refuses(format('SELECT commerce.request_charge(%s, 500, NULL, ''5min'', ''k'')', :lee), 'IDEMPOTENCY_KEY_REUSED', 'nor by another channel');
SELECT lives_ok(format('SELECT commerce.request_charge(%s, 600, idempotency_key => ''k'')', :kim), 'the key is the user''s own');
SELECT lives_ok(format('SELECT commerce.charge_balance(%s, 600, ''k'')', :lee), 'and of this function');

-- Limits and bad arguments
RESET ROLE;
SET commerce.max_pending_orders = 1;
SET ROLE shop;
SELECT refuses(format('SELECT commerce.request_charge(%s, 100)', :lee), 'PENDING_LIMIT_EXCEEDED', 'too many at a time');
SELECT pg_temp.overdue(:c);
SELECT lives_ok(format('SELECT commerce.request_charge(%s, 100, ''virtual_account'', ''7d'')', :lee), 'one that is overdue does not count');
SELECT refuses(format('SELECT commerce.request_charge(%s, 0)', :lee), 'INVALID_REQUEST', 'nothing');
SELECT refuses(format('SELECT commerce.request_charge(%s, 150)', :lee), 'INVALID_REQUEST', 'no multiple of 100');
SELECT refuses(format('SELECT commerce.request_charge(%s, 100000000)', :lee), 'INVALID_REQUEST', 'too much');
SELECT refuses(format('SELECT commerce.request_charge(%s, 100, ''cheque'')', :lee), 'INVALID_REQUEST', 'an unknown channel');
SELECT refuses(format('SELECT commerce.request_charge(%s, 100, pay_within => ''8d'')', :lee), 'INVALID_REQUEST', 'too long');
SELECT refuses('SELECT commerce.request_charge(999999, 100)', 'ENTITY_NOT_FOUND', 'an unknown user');
SELECT refuses('SELECT commerce.confirm_charge(999999, true, ''x'')', 'ENTITY_NOT_FOUND', 'an unknown charge');
SELECT refuses(format('SELECT commerce.confirm_charge(%s, NULL, ''x'')', :c), 'INVALID_REQUEST', 'no answer');
SELECT refuses(format('SELECT commerce.confirm_charge(%s, true, '''')', :c), 'INVALID_REQUEST', 'no event');
SELECT refuses(format('SELECT commerce.confirm_charge(%s, true, ''x'', -1)', :c), 'INVALID_REQUEST', 'less than nothing');

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');
SELECT * FROM finish();
