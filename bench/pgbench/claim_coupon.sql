\set user random(1, 1000000000)
SELECT id FROM commerce.claim_coupon(:user, 1);
