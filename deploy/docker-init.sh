#!/bin/sh
# Run once, by the image's entry point, in a database directory that is new.
set -eu
if [ "$POSTGRES_DB" != shop ]; then
	echo "10-commerce.sh: POSTGRES_DB is $POSTGRES_DB; pg_cron is set up for the database shop." >&2
	exit 1
fi
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
	-c 'CREATE EXTENSION pg_cron' -c 'CREATE EXTENSION commerce' -c 'SELECT commerce.schedule_jobs()'
# without it there is no PostgREST to let in
if [ -n "${AUTHENTICATOR_PASSWORD-}" ]; then
	psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f /docker-entrypoint-initdb.d/roles.sql.in
fi
