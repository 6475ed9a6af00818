\set user random(1, :users)
INSERT INTO plain.notes (user_id, amount) VALUES (:user, 100);
