\set user random(1, :users)
\set product random(1, :last)
SELECT id FROM plain.place_order(:user, ('[{"product_id": ' || :product || ', "quantity": 1}]')::jsonb);
