\set user random(1, :users)
SELECT balance FROM commerce.charge_balance(:user, 100);
