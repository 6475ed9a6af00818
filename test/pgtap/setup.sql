-- Run by the superuser in the database that every pgTAP file and torture
-- script gets a copy of. Roles are shared by all databases of the server:
-- they are made here and nowhere else.

CREATE EXTENSION commerce;

CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
GRANT USAGE ON SCHEMA tap TO PUBLIC;

-- An application's role: no superuser, owner of nothing.
CREATE ROLE shop LOGIN;
GRANT USAGE ON SCHEMA commerce TO shop;
GRANT SELECT ON ALL TABLES IN SCHEMA commerce TO shop;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA commerce TO shop;
