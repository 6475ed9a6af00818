\set user random(1, :users)
SELECT plain.charge_balance(:user, 100);
