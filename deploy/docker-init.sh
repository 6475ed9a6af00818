#!/bin/sh
# Run once, by the image's entry point, in a database directory that is new.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
	-c 'CREATE EXTENSION pg_cron' -c 'CREATE EXTENSION commerce' -c 'SELECT commerce.schedule_jobs()'
psql -v ON_ERROR_STOP=1 -v password="$AUTHENTICATOR_PASSWORD" -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
	-f /docker-entrypoint-initdb.d/roles.sql.in
