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

DROP TABLE public.audit;
DROP FUNCTION public.note_row, public.give_bonus CASCADE;
