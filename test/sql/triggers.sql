-- Triggers that a DBA puts on the extension's tables fire for the rows that it writes, quietly, and may
-- call it themselves.

CREATE TABLE public.audit (relation regclass, event text, amount bigint);
CREATE FUNCTION public.note_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.audit VALUES (TG_RELID, TG_WHEN || ' ' || TG_OP, NULL);
	RETURN NEW;
END $$;
CREATE TRIGGER audit BEFORE INSERT ON commerce.orders FOR EACH ROW EXECUTE FUNCTION public.note_row();
CREATE TRIGGER audit_after AFTER INSERT ON commerce.orders FOR EACH ROW EXECUTE FUNCTION public.note_row();
CREATE TRIGGER audit_after AFTER INSERT ON commerce.order_items FOR EACH ROW EXECUTE FUNCTION public.note_row();
CREATE TRIGGER audit_after AFTER INSERT ON commerce.coupon_issues FOR EACH ROW EXECUTE FUNCTION public.note_row();

-- a bonus for each large charge, given by a trigger on the very table that charging writes
CREATE FUNCTION public.give_bonus() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.amount >= 10000 THEN
		INSERT INTO public.audit SELECT TG_RELID, TG_WHEN || ' ' || TG_OP, balance FROM commerce.charge_balance(NEW.user_id, 500);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER bonus AFTER INSERT ON commerce.balance_entries FOR EACH ROW EXECUTE FUNCTION public.give_bonus();

SELECT commerce.create_user('Trigger', 'trigger@example.com') AS buyer,
	   commerce.create_product(NULL, 'Cup', 1000, 10) AS cup,
	   commerce.create_coupon('c', 'FIXED', 100, 10, valid_days => 1) AS coupon \gset
SELECT balance FROM commerce.charge_balance(:buyer, 10000);
SELECT balance FROM commerce.get_balance(:buyer);
SELECT status FROM commerce.claim_coupon(:buyer, :coupon);
SELECT status, payment_amount
FROM commerce.place_order(:buyer, jsonb_build_array(jsonb_build_object('product_id', :cup, 'quantity', 2)));
SELECT * FROM public.audit;
SELECT * FROM commerce.check_invariants();
DROP TRIGGER bonus ON commerce.balance_entries;

-- a bonus that is charged between a change of the balance and its entry: for an order, and for a change itself
CREATE FUNCTION public.pay_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM commerce.charge_balance(CASE WHEN TG_TABLE_NAME = 'orders' THEN (to_jsonb(NEW)->>'user_id')::bigint ELSE NEW.id END, 100);
	RETURN NULL;
END $$;
CREATE TRIGGER pay_back AFTER INSERT ON commerce.orders FOR EACH ROW EXECUTE FUNCTION public.pay_back();
CREATE TRIGGER pay_back AFTER UPDATE OF balance ON commerce.users
	FOR EACH ROW WHEN (abs(NEW.balance - OLD.balance) >= 1000) EXECUTE FUNCTION public.pay_back();
SELECT id AS o FROM commerce.place_order(:buyer, jsonb_build_array(jsonb_build_object('product_id', :cup, 'quantity', 3))) \gset
SELECT balance FROM commerce.charge_balance(:buyer, 5000);
SELECT refunded_amount FROM commerce.cancel_order(:o, 'ADMIN');
SELECT balance FROM commerce.adjust_balance(:buyer, -1000, 'corrected');
SELECT kind, amount, balance_after FROM commerce.balance_entries WHERE user_id = :buyer ORDER BY number DESC LIMIT 9;

-- the events are in the order of the entries, also of the charge above that had another within
SELECT array_agg(balance_after ORDER BY number) = (
	SELECT array_agg((payload->>'balance')::bigint ORDER BY era, key, position) FROM commerce.outbox
	WHERE aggregatetype = 'User' AND aggregateid = :'buyer' AND type IN ('BalanceCharged', 'BalanceAdjusted')) AS in_order, count(*)
FROM commerce.balance_entries WHERE user_id = :buyer AND kind IN ('CHARGE', 'ADJUST');
SELECT * FROM commerce.check_invariants();

DROP TABLE public.audit;
DROP FUNCTION public.note_row, public.give_bonus, public.pay_back CASCADE;
