\set cell random(:from, :to)
\set user :cell * 1000000000000 + random(1, :users)
\set a random(1, :products)
\set b random(1, :products)
SELECT id FROM commerce.place_order(:user, ('[{"product_id": ' || :a || ', "quantity": 1}, {"product_id": ' || :b || ', "quantity": 2}]')::jsonb);
