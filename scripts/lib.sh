# shellcheck shell=bash
#
# What the scripts here share: a private copy of PostgreSQL with commerce in
# it, and throwaway servers that run from it. Nothing is written outside the
# source tree's build/ and one temporary directory, whose layout is
#
#   pgsql/    the installation       tree/   a copy of the sources, for tests
#   data/     the server's data      log     the server's log
#   socket/   its Unix socket        tmp/    TMPDIR of what runs here
#   env       connection settings, as assignments
#
# PostgreSQL refuses to run as root: root's servers and tests run as an
# unprivileged user, who owns that directory and may be unable to read ours.

set -euo pipefail
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PG_CONFIG=${PG_CONFIG:-pg_config}

# The caller's connection settings are not meant for a throwaway server, nor
# are a surrounding make's options for ours.
for name in "${!PG@}"; do
	[[ $name == PG_* ]] || unset "$name"
done
unset MAKEFLAGS MFLAGS MAKELEVEL

say() { printf '%s\n' "$*"; }
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

run_user=
if [[ $EUID == 0 ]]; then
	run_user=postgres
	id "$run_user" >/dev/null 2>&1 || run_user=nobody
fi

# Servers outlive the script that starts them: they get neither its working
# directory, which may be closed to them, nor its file descriptor 3.
unprivileged() (
	cd /
	exec 3>&-
	if [[ $run_user ]]; then
		exec runuser -u "$run_user" -- "$@"
	else
		exec "$@"
	fi
)

# Sets $work. A Unix socket's path may have 107 bytes, so a long TMPDIR, or
# one closed to the unprivileged user, is passed over for /tmp.
make_work_dir() {
	local base=${TMPDIR:-/tmp}
	if ((${#base} > 60)) || ! unprivileged test -x "$base"; then
		base=/tmp
	fi
	work=$(mktemp -d "$base/commerce.XXXXXX")
	mkdir "$work"/{pgsql,tree,socket,tmp}
	own "$work" "$work"/{tree,socket,tmp}
}

# copy_sources FOLDER: a copy without what was built, because what is compiled there is for another server.
copy_sources() {
	mkdir -p "$1"
	tar --exclude=./build --exclude=./.git --exclude=node_modules --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
		--exclude=./src/relay/commerce-relay --exclude=./src/mover/commerce-mover -cf - . | tar -xf - -C "$1"
}

own() {
	[[ -z $run_user ]] || chown "$run_user" "$@"
}

# Builds commerce and installs it into a copy of PostgreSQL in $work/pgsql:
# the copy's pg_config reports the copy's paths. Without the bitcode for JIT, whose making
# takes as long as all the rest.
install_private() {
	local dir
	command -v "$PG_CONFIG" >/dev/null ||
		die "there is no $PG_CONFIG; scripts/install-packages installs what is needed"
	mkdir -p build
	(
		flock 9
		make --no-print-directory -s "-j$(nproc)" COPT="${COPT--Werror}" with_llvm=no
	) 9>build/lock
	for dir in --bindir --pkglibdir --sharedir; do
		dir=$("$PG_CONFIG" "$dir")
		mkdir -p "$work/pgsql${dir%/*}"
		cp -a "$dir" "$work/pgsql${dir%/*}/"
	done
	dir=$("$PG_CONFIG" --includedir)
	mkdir -p "$work/pgsql${dir%/*}"
	ln -s "$dir" "$work/pgsql$dir"
	private_pg_config=$work/pgsql$("$PG_CONFIG" --bindir)/pg_config
	bindir=$("$private_pg_config" --bindir)
	pgxs=$("$private_pg_config" --pgxs)
	pgxs=${pgxs%/src/makefiles/pgxs.mk}
	make --no-print-directory -s install PG_CONFIG="$private_pg_config" with_llvm=no
}

# start_server LIBRARIES [SETTING...]: a server in $work with these
# shared_preload_libraries and lines of postgresql.conf, and with a database
# `shop`, which is pg_cron's. Exports how to connect. The superuser comes in
# without a password by the socket, which only $run_user and root can reach,
# and with one by TCP.
start_server() {
	local libraries=$1 password attempt
	shift
	export LC_ALL=C.UTF-8
	password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	rm -rf "$work/data"
	unprivileged "$bindir/initdb" --pgdata="$work/data" --username=postgres \
		--auth-local=trust --auth-host=scram-sha-256 --no-sync \
		--encoding=UTF8 --locale=C.UTF-8 >"$work/log" 2>&1 ||
		{ cat "$work/log" >&2; return 1; }
	printf '%s\n' 'CREATE DATABASE shop' "ALTER ROLE postgres PASSWORD '$password'" |
		unprivileged "$bindir/postgres" --single -c log_checkpoints=off \
			-D "$work/data" postgres >/dev/null
	: >"$work/log"
	own "$work/log"
	{
		cat <<-END
			listen_addresses = '127.0.0.1'
			unix_socket_directories = '$work/socket'
			unix_socket_permissions = 0700
			shared_preload_libraries = '$libraries'
			cron.database_name = 'shop'
			cron.use_background_workers = on
			max_connections = 250
			max_worker_processes = 32
			max_prepared_transactions = 10
			timezone = 'UTC'
			log_timezone = 'UTC'
			log_line_prefix = '%m [%p] %q%u@%d/%a '
		END
		printf '%s\n' "$@"
	} >>"$work/data/postgresql.conf"

	for attempt in {1..20}; do
		PGPORT=$((10240 + RANDOM % 20000))
		unprivileged "$bindir/pg_ctl" start --silent --wait --pgdata="$work/data" \
			--log="$work/log" --options="-p $PGPORT" >/dev/null 2>&1 && break
		if ((attempt == 20)) || ! grep -q 'could not bind' "$work/log"; then
			tail -n 20 "$work/log" >&2
			say "The server did not start; the end of its log is above." >&2
			return 1
		fi
		: >"$work/log"
	done
	export PGPORT PGHOST=$work/socket PGUSER=postgres PGDATABASE=shop
	cat >"$work/env" <<-END
		PGHOST=$PGHOST
		PGPORT=$PGPORT
		PGUSER=$PGUSER
		PGPASSWORD=$password
		PGDATABASE=$PGDATABASE
		PG_CONFIG=$private_pg_config
	END
	chmod 600 "$work/env"
}

# Every server that has its data below $work, those of TAP tests as well.
stop_servers() {
	local pidfile
	while IFS= read -r -d '' pidfile; do
		unprivileged "$bindir/pg_ctl" stop --silent --mode=immediate \
			--pgdata="${pidfile%/*}" >/dev/null 2>&1 || true
	done < <(find "$work" -name postmaster.pid -print0)
}

remove_work_dir() {
	[[ ${work-} ]] || return 0
	[[ ${bindir-} ]] && stop_servers
	rm -rf "$work"
}

# From here on, the script's end is the end of its servers, Ctrl-C included.
remove_work_dir_at_exit() {
	trap remove_work_dir EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

# find_postgrest FOLDER: says which PostgREST to run: $POSTGREST, or that of the
# PATH, or of scripts/install-postgrest; a copy in FOLDER when the user that is
# to run it cannot reach it.
find_postgrest() {
	local found
	found=$(command -v "${POSTGREST:-postgrest}") ||
		{ [[ ! ${POSTGREST-} ]] && found=$(command -v "$PWD/build/bin/postgrest"); } || return 1
	unprivileged test -x "$found" || {
		install -m 755 "$found" "$1/postgrest"
		found=$1/postgrest
	}
	echo "$found"
}

# Ends what `run` started.
stop_running() {
	local pid
	[[ -f ${pids:?} ]] || return 0
	while read -r pid; do
		kill "$pid" 2>/dev/null || true
	done <"$pids"
	rm -f "$pids"
}

# run COMMAND...: in the background, as the server's user, with its output in $log and its
# process in the file $pids
run() {
	local -a as_user=()
	[[ -z $run_user ]] || as_user=(runuser -u "$run_user" --)
	(cd / && exec setsid "${as_user[@]}" "$@") >>"${log:?}" 2>&1 </dev/null &
	echo $! >>"${pids:?}"
}

free_port() {
	local port
	for port in "$@"; do
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
	done
	die "none of the ports $* is free"
}

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# token ROLE USER_ID: for a day, signed with $secret
token() {
	local content signature
	content=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url).$(
		printf '{"role":"%s","sub":"%s","exp":%d}' "$1" "$2" $(($(date +%s) + 86400)) | base64url)
	# not as an argument, which everybody on the machine can read
	signature=$(printf '%s' "$content" | SECRET=${secret:?} perl -MDigest::SHA=hmac_sha256 -ne 'print hmac_sha256($_, $ENV{SECRET})' | base64url)
	echo "$content.$signature"
}

psql_quiet() {
	"$bindir/psql" -X -q -v ON_ERROR_STOP=1 "$@"
}
