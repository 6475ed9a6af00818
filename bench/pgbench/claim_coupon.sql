-- every client has 10 000 users of its own, and lets each claim once
\set n :n + 1
\set user 1 + :client_id * 10000 + :n
SELECT id FROM commerce.claim_coupon(:user, :coupon);
