# Every function of the contract, which is read from the catalog, runs out of memory, is cancelled and is
# terminated at its allocations. After each time the session and its settings are as before, the same call then
# does what it does, and the counters and the books are right. Where each point is tried it is called again, and the
# counters are looked at, after ten.
#
#   INJECT_POINTS (1)        at how many allocations of a call, chosen by INJECT_SEED (1); "all": at each that has a
#                            call stack of its own; "new": at each of those places in
#                            PostgreSQL, called by those functions of commerce, that no call before it had
#   INJECT_KINDS (oom cancel die)
#   INJECT_MODES (warm)      warm: the session has made the call before; cold: it is new; try: PL/pgSQL catches the
#                            error; savepoint: it is rolled back to
#   INJECT_FUNCTIONS (all)   only these
#   INJECT_FIRST (1)         the call that a run that was stopped goes on with
#
# PostgreSQL itself crashes at some points when memory is short: a crash at one of @known is counted, and is none
# of ours. On a server with assertions (make inject) many more mistakes are noticed.

use strict;
use warnings;
use DBI;
use Encode ();
use Inject qw(connect_to prepare_database);
use JSON::PP ();
use List::Util qw(shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $points = $ENV{INJECT_POINTS} || 1;
my $seed = $ENV{INJECT_SEED} || 1;
my @kinds = split ' ', $ENV{INJECT_KINDS} || 'oom cancel die';
my @modes = split ' ', $ENV{INJECT_MODES} || 'warm';
my $first = $ENV{INJECT_FIRST} || 1;
my $each = $points =~ /^(all|new)$/ ? 10 : 1;
my %only = map { $_ => 1 } split ' ', $ENV{INJECT_FUNCTIONS} // '';

# Where PostgreSQL crashes when it has run out of memory somewhere: both functions are in the stacks.
my @known = (
	[ qr/^GrantLockLocal$/, qr/^LockAcquireExtended$/ ],
	[ qr/^plpgsql_destroy_econtext$/, qr/^(CopyErrorData|AtSubCommit_childXids|CommitSubTransaction)$/ ],
	[ qr/^generate_partition_qual$/, qr/^copyObjectImpl$/ ],
	[ qr/^pgstat_/, qr/^pgstat_get_entry_ref/ ],
	[ qr/^TransactionId(SetStatusBit|SetPageStatus)/, qr/^pgstat_get_xact_stack_level$/ ],
	[ qr/./, qr/^AtCommit_Notify$/ ]);

my ($node, $crashes, %count);
my $shops = 0;

# A crash may leave a server that asserts its way out of recovery; the next one begins anew.
sub open_shop
{
	$node = PostgreSQL::Test::Cluster->new('inject' . ++$shops);
	$crashes = $node->basedir . '/crashes';
	mkdir $crashes or die $!;
	$ENV{INJECT_DIR} = $crashes;
	$node->init;
	$node->append_conf('postgresql.conf', q{
		commerce.max_pending_orders = 1000000
		shared_preload_libraries = 'commerce'
		restart_after_crash = on
		max_prepared_transactions = 5
		fsync = off
		log_statement = none
		commerce.maintenance_interval = 0});
	$node->start;
	$node->safe_psql('postgres', q{
		CREATE EXTENSION commerce;
		CREATE ROLE shop;
		CREATE ROLE api_anon; CREATE ROLE api_buyer; CREATE ROLE api_seller; CREATE ROLE api_admin; CREATE ROLE authenticator;
		-- the first ten of each are for calls that may spoil them
		SELECT commerce.create_user('U' || i, i || '@example.com', role => CASE WHEN i IN (2, 3, 12, 13) THEN 'SELLER' ELSE 'BUYER' END::commerce.user_role)
		FROM generate_series(1, 13) i;
		UPDATE commerce.users SET role = 'ADMIN' WHERE id = 11;
		SELECT commerce.create_seller(u, 'S' || u, u::text) FROM unnest('{2,3,12,13}'::bigint[]) u;
		SELECT commerce.create_product(1, 'X' || i, 100, 1000) FROM generate_series(1, 10) i;
		SELECT commerce.create_product(3, 'P1', 3000, 100000000, shipping_fee => 100), commerce.create_product(4, 'P2', 2000, 100000000, discount => 10),
			commerce.create_product(NULL, 'P3', 1000, 100000000), commerce.create_product(3, 'P4', 500, 100000000);
		SELECT commerce.create_promotion(14, 'PERCENT', 20, now() - interval '1 hour', now() + interval '7 days');
		SELECT commerce.create_coupon('X' || i, 'FIXED', 100, 1000, valid_days => 30) FROM generate_series(1, 10) i;
		SELECT commerce.create_coupon('C1', 'FIXED', 100, 1000000, valid_days => 30),
			commerce.create_coupon('C2', 'PERCENT', 10, 1000000, valid_days => 30, product_id => 12),
			commerce.create_coupon('C3', 'FIXED', 50, 1000000, valid_days => 30);
		SELECT commerce.charge_balance(11, 99999900) FROM generate_series(1, 50);
		SELECT commerce.subscribe('one'), commerce.subscribe('two');
		SELECT commerce.grant_app('shop'), commerce.grant_relay('shop', confirms_payments => true);
		SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_admin')});
	prepare_database($node, 'postgres');
	$node->safe_psql('postgres', q{
		CREATE SEQUENCE inject.n;
		CREATE FUNCTION inject.buyer(OUT id bigint, OUT c1 bigint, OUT c2 bigint) LANGUAGE plpgsql AS $$
		BEGIN
			id := commerce.create_user('u', 'u' || nextval('inject.n') || '@x');
			PERFORM commerce.charge_balance(id, 10000000);
			c1 := (commerce.claim_coupon(id, 11)).id;
			c2 := (commerce.claim_coupon(id, 12)).id;
		END $$;
		CREATE FUNCTION inject.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE
			result text;
		BEGIN
			BEGIN
				EXECUTE statement INTO result;
				RETURN 'ok';
			EXCEPTION WHEN OTHERS OR query_canceled THEN
				result := SQLSTATE;
			END;
			RETURN result;
		END $$;
		-- a call as PostgREST makes it
		CREATE FUNCTION inject.request(endpoint text, body jsonb) RETURNS text LANGUAGE plpgsql
		SET request.method = 'POST' SET request.jwt.claims = '{"sub": "11"}' AS $$
		DECLARE
			result text;
		BEGIN
			PERFORM set_config('role', 'api_admin', true);
			EXECUTE format('SELECT commerce_api.%I($1)::text', endpoint) INTO result USING body;
			PERFORM set_config('role', 'none', true);
			RETURN result;
		END $$;
		CREATE FUNCTION inject.state() RETURNS text LANGUAGE sql AS $$
			SELECT concat_ws(' ', current_user, session_user, current_setting('search_path'), current_setting('lock_timeout'),
				current_setting('statement_timeout'), current_setting('enable_seqscan'), current_setting('enable_hashjoin'),
				current_setting('enable_mergejoin'), current_setting('jit'), current_setting('transaction_isolation'),
				current_setting('transaction_read_only'), current_setting('session_replication_role')) $$;
		CREATE FUNCTION inject.counters() RETURNS SETOF text LANGUAGE sql AS $$
			SELECT e::text FROM commerce.escrow e
			WHERE e.in_flight <> 0 OR e.pins <> 0 OR e.waiters <> 0 OR e.available <> CASE e.kind
				WHEN 'stock' THEN (SELECT p.stock FROM commerce.product_list p WHERE p.id = e.resource_id)
				ELSE (SELECT c.remaining FROM commerce.coupon_list c WHERE c.id = e.resource_id) END $$});
	return;
}

# ---------------------------------------------------------------------------
# Sessions

my $control;
open_shop();

sub control
{
	return $control if $control && $control->ping;
	for (1 .. 600)
	{
		$control = eval { DBI->connect('dbi:Pg:' . $node->connstr('postgres') =~ s/ /;/gr, undef, undef, { RaiseError => 1, PrintError => 0 }) };
		return $control if $control;
		if (!-e $node->data_dir . '/postmaster.pid')
		{
			$count{'servers that did not recover'}++;
			take_crashes('a server that does not recover');
			open_shop();
		}
		sleep 0.1;
	}
	die 'the server does not come back';
}

sub ask
{
	my ($sql) = @_;
	for (1 .. 3)
	{
		my @row = eval { control()->selectrow_array($sql) };
		return wantarray ? @row : $row[0] unless $@;
		die $@ if control()->ping;
	}
	die "the server does not answer: $sql";
}

sub session
{
	for (1 .. 600)
	{
		my $db = eval { connect_to($node->connstr('postgres')) };
		return $db if $db;
		sleep 0.1;
	}
	die 'the server does not come back';
}

# ---------------------------------------------------------------------------
# What is called: each scenario gives a statement that does its work, each time another one.

my $serial = 0;
sub key { return "'k" . ++$serial . "'" }
sub made { my ($what) = @_; return ask("SELECT id FROM commerce.place_order(11, '[{\"product_id\": 11, \"quantity\": 3}, {\"product_id\": 13, \"quantity\": 1}]', '{}', NULL, '$what')") }
sub item { my ($status) = @_; my $order = made('BALANCE'); my $item = ask("SELECT id FROM commerce.order_items WHERE order_id = $order AND seq = 1");
	ask("SELECT commerce.change_item_status($item, '$_', 'ADMIN')") for @{ $status // [] }; return $item }
sub overdue { my ($order) = @_; ask("UPDATE commerce.orders SET expires_at = now() - interval '1 minute' WHERE id = $order RETURNING id"); return $order }

# Money that was not asked for: the id of its payment
sub unexpected { my $order = made('BALANCE'); ask("SELECT commerce.confirm_payment($order, true, " . key() . ')');
	return ask("SELECT id FROM commerce.payments WHERE order_id = $order AND status = 'UNEXPECTED'") }

my %scenario = (
	place_order => sub { my ($u, $c1, $c2) = ask('SELECT * FROM inject.buyer()');
		return "SELECT id FROM commerce.place_order($u, '[{\"product_id\": 11, \"quantity\": 2}, {\"product_id\": 12, \"quantity\": 1, \"coupon_issue_id\": $c2}, {\"product_id\": 14, \"quantity\": 3}]', ARRAY[$c1], " . key() . ')' },
	'place_order, external' => sub { my ($u, $c1) = ask('SELECT * FROM inject.buyer()');
		return "SELECT id FROM commerce.place_order($u, '[{\"product_id\": 11, \"quantity\": 2}, {\"product_id\": 13, \"quantity\": 1}]', ARRAY[$c1], " . key() . ", 'EXTERNAL')" },
	'place_order, of what overdue orders hold' => sub { my $p = ask(q{SELECT (commerce.create_product(3, 'W', 100, 1))});
		overdue(ask("SELECT id FROM commerce.place_order(11, '[{\"product_id\": $p, \"quantity\": 1}]', '{}', NULL, 'EXTERNAL')"));
		return "SELECT id FROM commerce.place_order(11, '[{\"product_id\": $p, \"quantity\": 1}]')" },
	charge_balance => sub { return 'SELECT balance FROM commerce.charge_balance(11, 100, ' . key() . ')' },
	claim_coupon => sub { my $u = ask(q{SELECT commerce.create_user('c', 'c' || nextval('inject.n') || '@x')}); return "SELECT id FROM commerce.claim_coupon($u, 13)" },
	create_order_sheet => sub { my ($u, $c1, $c2) = ask('SELECT * FROM inject.buyer()');
		return "SELECT id FROM commerce.create_order_sheet($u, '[{\"product_id\": 11, \"quantity\": 2}, {\"product_id\": 12, \"quantity\": 1, \"coupon_issue_id\": $c2}]', ARRAY[$c1])" },
	place_sheet_order => sub { my $sheet = ask(q{SELECT (commerce.create_order_sheet(b.id, '[{"product_id": 11, "quantity": 2}]', ARRAY[b.c1])).id FROM inject.buyer() b});
		return "SELECT id FROM commerce.place_sheet_order('$sheet', " . key() . ')' },
	confirm_payment => sub { return 'SELECT id FROM commerce.confirm_payment(' . made('EXTERNAL') . ', true, ' . key() . ')' },
	'confirm_payment, failed' => sub { return 'SELECT id FROM commerce.confirm_payment(' . made('EXTERNAL') . ', false, ' . key() . ')' },
	'confirm_payment, late' => sub { my $order = overdue(made('EXTERNAL')); ask('SELECT commerce.expire_pending_orders()');
		return "SELECT id FROM commerce.confirm_payment($order, true, " . key() . ')' },
	retry_payment => sub { my $order = made('EXTERNAL'); ask("SELECT commerce.confirm_payment($order, false, " . key() . ')');
		return "SELECT id FROM commerce.retry_payment($order, NULL, " . key() . ')' },
	refund_order => sub { return 'SELECT id FROM commerce.refund_order(' . made('BALANCE') . ", 100, NULL, 'n', " . key() . ')' },
	'api.refund_order' => sub { return sprintf q(SELECT inject.request('refund_order', '{"order_id": %d, "amount": 100, "note": "n"}')), made('BALANCE') },
	return_payment => sub { return 'SELECT id FROM commerce.return_payment(' . unexpected() . ", NULL, 'n', " . key() . ')' },
	report_refund => sub { my $refund = ask('SELECT id FROM commerce.return_payment(' . unexpected() . ')');
		return "SELECT id FROM commerce.report_refund($refund, false, " . key() . ')' },
	request_charge => sub { return 'SELECT id FROM commerce.request_charge(11, 100, NULL, NULL, ' . key() . ')' },
	confirm_charge => sub { my $charge = ask('SELECT id FROM commerce.request_charge(11, 100)');
		return "SELECT id FROM commerce.confirm_charge($charge, true, " . key() . ')' },
	import_user => sub { return q{SELECT commerce.import_user('{"name": "n", "balance": 5}', } . key() . ')' },
	import_order => sub { return q{SELECT commerce.import_order('{"user_id": 11, "items": [{"product_id": 11, "quantity": 2, "unit_price": 100}],
		"payment_amount": 150, "difference": "order_discount", "paid_at": "2020-01-01"}', } . key() . ')' },
	import_coupon_issue => sub { my $u = ask(q{SELECT commerce.create_user('n')});
		my $c = ask(q{SELECT commerce.create_coupon('c', 'FIXED', 5, 5, valid_days => 5)});
		return qq{SELECT commerce.import_coupon_issue('{"user_id": $u, "coupon_id": $c}', } . key() . ')' },
	sales_report => sub { return 'SELECT * FROM commerce.sales_report(NULL, current_date - 1, current_date + 1)' },
	dispatch_items => sub { return 'SELECT id FROM commerce.dispatch_items(ARRAY[' . item() . "], 'c', 't', '{1}', 'ADMIN')" },
	complete_return => sub { return 'SELECT id FROM commerce.complete_return(' . item(['DISPATCHED']) . ", false, 1, 1, 'ADMIN')" },
	complete_exchange => sub { return 'SELECT id FROM commerce.complete_exchange('
		. item([ 'DISPATCHED', 'IN_TRANSIT', 'DELIVERED', 'EXCHANGE_REQUESTED', 'EXCHANGE_PROCESSING' ]) . ", false, NULL, 1, 'ADMIN')" },
	cancel_order => sub { return 'SELECT id FROM commerce.cancel_order(' . made('BALANCE') . ", 'ADMIN')" },
	cancel_order_item => sub { return 'SELECT id FROM commerce.cancel_order_item(' . item() . ", 1, 'ADMIN')" },
	change_item_status => sub { return 'SELECT id FROM commerce.change_item_status(' . item() . ", 'DISPATCHED', 'ADMIN', NULL, 'n', 1)" },
	'change_item_status, returned' => sub { return 'SELECT id FROM commerce.change_item_status(' . item([qw(DISPATCHED IN_TRANSIT DELIVERED RETURN_REQUESTED RETURN_PROCESSING)])
		. ", 'RETURNED', 'ADMIN', NULL, 'n', 1)" },
	adjust_stock => sub { return "SELECT commerce.adjust_stock(13, 5, 'note')" },
	fetch_events => sub { return q{SELECT count(*) FROM commerce.fetch_events('one', 40)} },
	ack_events => sub { ask('SELECT commerce.charge_balance(11, 100)'); my $position = ask(q{SELECT position FROM commerce.fetch_events('two', 1)}); return "SELECT 1 FROM commerce.ack_events('two', '$position')" },
	refresh_popular_products => sub { made('BALANCE'); return 'SELECT 1 FROM commerce.refresh_popular_products()' },
	expire_pending_orders => sub { overdue(made('EXTERNAL')) for 1, 2; return 'SELECT commerce.expire_pending_orders()' },
	fold => sub { made('BALANCE'); return 'SELECT commerce.fold()' },
	create_user => sub { return q{SELECT commerce.create_user('x', } . key() . q{ || '@y')} },
	create_product => sub { return q{SELECT commerce.create_product(3, 'x', 100, 7)} },
	create_coupon => sub { return q{SELECT commerce.create_coupon('C', 'FIXED', 100, 10, valid_days => 30)} },
	revoke_coupon => sub { my $issue = ask('SELECT c1 FROM inject.buyer()'); return "SELECT id FROM commerce.revoke_coupon($issue)" },
	update_product => sub { return q{SELECT 1 FROM commerce.update_product(14, price => 500)} },
	subscribe => sub { return 'SELECT 1 FROM commerce.subscribe(' . key() . ')' },
	unsubscribe => sub { my $name = key(); ask("SELECT commerce.subscribe($name)"); return "SELECT 1 FROM commerce.unsubscribe($name)" },
	check_invariants => sub { return 'SELECT count(*) FROM commerce.check_invariants()' },
	'a write by hand' => sub { return q{INSERT INTO commerce.stock_entries (product_id, delta, reason) VALUES (13, 1, 'ADJUST') RETURNING product_id} });

my %default = (
	bigint => 1, integer => 1, smallint => 1, text => q{'one'}, name => q{'api_buyer'}, regrole => q{'shop'}, jsonb => q{'{}'}, boolean => 'true',
	'timestamp with time zone' => 'now()', uuid => q{'00000000-0000-0000-0000-000000000000'}, xid8 => q{'1000'}, 'bigint[]' => q{'{}'},
	'text[]' => q{'{}'});

# A call of a function that has no scenario: what its arguments' types ask for, good or not.
sub plain_call
{
	my ($function) = @_;
	my @arguments = map {
		my $value = $default{$_} // ask("SELECT quote_literal(enumlabel) FROM pg_enum WHERE enumtypid = '$_'::regtype ORDER BY enumsortorder LIMIT 1") // 'NULL';
		"$value\::$_"
	} @{ $function->{types} };
	return "SELECT count(*) FROM $function->{schema}.$function->{name}(" . join(', ', @arguments) . ')';
}

my %body;
{
	my $paths = JSON::PP::decode_json(Encode::encode_utf8(ask('SELECT commerce_private.openapi()::text')))->{paths};
	for my $path (keys %$paths)
	{
		my $example = $paths->{$path}{post}{requestBody}{content}{'application/json'}{example} or next;
		$body{ $path =~ s{^/rpc/}{}r } = JSON::PP::encode_json($example);
	}
}
for my $function (@{ control()->selectall_arrayref(q{
	SELECT n.nspname AS schema, p.proname AS name,
		ARRAY(SELECT t::regtype::text FROM unnest(p.proargtypes) WITH ORDINALITY AS a(t, i) ORDER BY i) AS types
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'commerce'
	WHERE p.prokind = 'f' AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
		AND (n.nspname IN ('commerce', 'commerce_api') OR has_function_privilege('shop', p.oid, 'EXECUTE'))
	ORDER BY 1, 2}, { Slice => {} }) })
{
	my ($schema, $name) = @$function{qw(schema name)};
	if ($schema eq 'commerce_api' && "@{ $function->{types} }" eq 'jsonb')
	{
		my $request = control()->quote($body{$name} // '{}');
		$scenario{"api.$name"} //= sub { return "SELECT inject.request('$name', $request)" };
	}
	else
	{
		$scenario{ $schema eq 'commerce_api' ? "api.$name" : $name } //= sub { return plain_call($function) };
	}
}

# ---------------------------------------------------------------------------
# Crashes

my %function_of;

# The functions of a stack, the innermost first
sub functions
{
	my (@lines) = @_;
	my @names;
	for (@lines)
	{
		my ($file, $offset, $name) = split;
		my $path = $file =~ /^postgres/ ? $node->config_data('--bindir') . '/postgres' : $file;
		$function_of{"$path $offset"} //= $name ne '?' ? $name : do {
			my ($found) = split /\n/, qx(addr2line -f -e '$path' $offset 2>/dev/null);
			$found && $found ne '??' ? $found : "$path+$offset";
		};
		push @names, $function_of{"$path $offset"};
	}
	return grep { !/^(ExceptionalCondition|crashed|step|my_(set|generation)_|palloc|pstrdup|MemoryContext(Alloc|Strdup)|repalloc|raise|abort|gsignal|__|errfinish)|libc\.so/ } @names;
}

my (%known_crashes, @problems, %seen);

sub problem
{
	my ($what) = @_;
	push @problems, $what if !$seen{$what}++;
	return;
}

sub has_crashed
{
	my @files = glob "$crashes/crash.*";
	return scalar @files;
}

# What is known of the crash that ended a session
sub judge_crash
{
	my ($what) = @_;
	sleep 0.1;
	take_crashes($what) or problem("$what: the connection was lost, and nothing crashed");
	control();
	return;
}

# Judges the crashes that were noted, and returns how many.
sub take_crashes
{
	my ($what) = @_;
	my @files = glob "$crashes/crash.*";
	for my $file (@files)
	{
		my ($crashed, $injected) = split /INJECTED AT\n/, slurp_file($file);
		unlink $file;
		my @at = functions(grep { /^\S+ 0x/ } split /\n/, $crashed);
		my @by = functions(grep { /^\S+ 0x/ } split /\n/, $injected // '');
		my @pairs = grep { my $pair = $_; grep({ /$pair->[0]/ } @at[ 0 .. ($#at < 7 ? $#at : 7) ]) && grep { /$pair->[1]/ } @by } @known;
		if (@pairs)
		{
			$known_crashes{ ($at[0] // '?') . ' <- ' . ($by[0] // '?') }++;
			next;
		}
		problem("$what: CRASH in " . join(' < ', @at[ 0 .. ($#at < 11 ? $#at : 11) ]) . "\n  after " . join(' < ', @by[ 0 .. ($#by < 15 ? $#by : 15) ]));
	}
	return scalar @files;
}

# ---------------------------------------------------------------------------
# Injecting

my %expected = (oom => qr/^53200$/, cancel => qr/^57014$/, die => qr/^57P01$/);
my $good = ask('SELECT inject.state()');

# Returns 'ok' or the SQLSTATE, and how it is called in this mode.
sub run_statement
{
	my ($db, $mode, $statement) = @_;
	my $row = eval { [ $db->selectrow_array($mode eq 'try' ? 'SELECT inject.try(' . $db->quote($statement) . ')' : $statement) ] };
	my $error = $db->errstr // '';
	return $mode eq 'try' ? $row->[0] : 'ok' if $row;
	return '57P01' if $error =~ /terminating connection due to administrator command/;
	return $db->ping ? $db->state : 'lost';
}

sub check_counters
{
	my ($what) = @_;
	for (1 .. 20)
	{
		return if !defined ask('SELECT inject.counters() LIMIT 1');
		sleep 0.05;
	}
	problem("$what: counters: " . ask('SELECT inject.counters() LIMIT 1'));
	return;
}

# PL/pgSQL leaves its own subtransaction open when it cannot copy the error that it has caught.
sub is_left_open
{
	return slurp_file("$crashes/fired") =~ /CopyErrorData\n\S*plpgsql\.so/;
}

# PL/pgSQL's library that has run out of memory while it was loaded cannot be loaded again.
sub is_half_loaded
{
	my ($db) = @_;
	return ($db->errstr // '') =~ /attempt to redefine parameter "plpgsql\./;
}

# One session counts what is new, before anything is injected: it knows what all calls before have had. One that is cold
# knows of no other call.
my %new;

sub count_new
{
	my $db = session();
	my $sum = 0;
	for my $mode (grep { $_ ne 'cold' } @modes)
	{
		for my $name (@_)
		{
			run_statement($db, $mode, $scenario{$name}->()) for 1, 2;
			my $statement = $scenario{$name}->();
			$db->do(q{SELECT inject.arm('new', 0)});
			run_statement($db, $mode, $statement);
			$new{"$name, $mode"} = [ map { $_->[0] } @{ $db->selectall_arrayref('SELECT * FROM inject.stacks()') } ];
			$sum += @{ $new{"$name, $mode"} };
		}
	}
	$db->disconnect;
	diag sprintf '%d new points in %d calls', $sum, scalar @_;
	return;
}

# The numbers of the allocations to be failed
sub choose_points
{
	my ($db, $name, $mode, $statement) = @_;
	return @{ $new{"$name, $mode"} } if $new{"$name, $mode"};
	$db->do('SELECT inject.arm($1, $2)', undef, { all => 'count', new => 'new' }->{$points} // 'cancel', '1000000000000');
	run_statement($db, $mode, $statement);
	my @chosen;
	if ($points =~ /^(all|new)$/)
	{
		@chosen = map { $_->[0] } @{ $db->selectall_arrayref('SELECT * FROM inject.stacks()') };
	}
	else
	{
		my $all = abs(($db->selectrow_array('SELECT inject.disarm()'))[0]);
		@chosen = sort { $a <=> $b } map { 1 + int rand $all } 1 .. $points;
	}
	return @chosen;
}

sub sweep
{
	my ($name, $mode) = @_;
	my $scenario = $scenario{$name};
	my $db = session();
	# a call without a scenario of its own may do something the first time only
	my %usual = map { run_statement($db, $mode, $scenario->()) => 1 } 1, 2;
	my $done = 0;
	if ($mode eq 'cold')
	{
		$db->disconnect;
		$db = session();
	}
	my @chosen = choose_points($db, $name, $mode, $scenario->());
	# what failed has done nothing, and the same statement can be made at the next point
	my $statement;
	for my $point (map { my $kind = $_; map { [ $kind, $_ ] } @chosen } @kinds)
	{
		my ($kind, $n) = @$point;
		my $what = "$name, $kind, $mode, allocation $n";
		if ($mode eq 'cold' || !$db->ping)
		{
			$db->disconnect if $db->ping;
			$db = session();
			run_statement($db, $mode, $scenario->()) if $mode ne 'cold';
		}
		$statement //= $scenario->();
		if ($mode eq 'savepoint')
		{
			$db->begin_work;
			$db->do('SAVEPOINT s');
		}
		eval { $db->do('SELECT inject.arm($1, $2)', undef, $kind, $n); 1 } or problem("$what: cannot be armed: " . $db->errstr), $db = session(), next;
		my $end = run_statement($db, $mode, $statement);
		my $last = ++$done % $each == 0 || $done == @chosen * @kinds;
		if ($end eq '57P01' || $end eq 'lost')
		{
			$kind eq 'die' && !has_crashed() ? $count{died}++ : $end eq 'lost' ? judge_crash($what) : problem("$what: terminated");
		}
		else
		{
			my $alive = eval {
				if ($mode eq 'savepoint')
				{
					$db->do('ROLLBACK TO s');
				}
				my ($counted, $state) = $db->selectrow_array('SELECT inject.disarm(), inject.state()');
				if ($usual{$end})
				{
					$count{ $counted < 0 ? "$kind, as usual" : 'not reached' }++;
					$statement = undef;
				}
				else
				{
					$end =~ $expected{$kind} || $end eq 'PGRST' && $name =~ /^api\./ ? $count{"$kind, failed"}++ : problem("$what: $end " . ($db->errstr // ''));
				}
				problem("$what: settings $state") if $state ne $good;
				1;
			};
			if (!$alive)
			{
				$db->ping && $mode eq 'try' && is_left_open() ? (($count{'left open by PL/pgSQL'}++), ($db = session())) : $db->ping ? problem("$what: afterwards $@") : $kind eq 'die' && !has_crashed() ? $count{died}++ : judge_crash("$what, afterwards");
			}
			if ($alive && $statement && $last)
			{
				my $again = run_statement($db, $mode, $statement);
				$again eq 'lost' ? judge_crash("$what, again") : is_half_loaded($db) ? $count{'half loaded PL/pgSQL'}++ : !$usual{$again} ? problem("$what: again, it is $again " . ($db->errstr // '')) : $count{'again, right'}++;
			}
		}
		if ($mode eq 'savepoint' && $db->ping)
		{
			eval { $db->commit; 1 } or $db->ping ? problem("$what: commit: $@") : judge_crash("$what, commit");
		}
		check_counters($what) if $last;
		# it may have been committed before the session was lost
		$statement = undef if $last || !$db->ping;
	}
	$db->disconnect if $db->ping;
	my $books = ask('SELECT i::text FROM commerce.check_invariants() i LIMIT 1');
	problem("$name, $mode: the books: $books") if defined $books;
	return $done;
}

$SIG{__DIE__} = sub { diag $_[0] unless $^S };
srand $seed;
my @names = sort grep { !%only || $only{$_} || $only{ s/,.*//r } } keys %scenario;
my $begun = time;
my ($i, $injected) = (0, 0);
@names = shuffle(@names), count_new(@names) if $points eq 'new';
for my $name (@names)
{
	next if ++$i < $first;
	for my $mode (@modes)
	{
		$injected += sweep($name, $mode);
	}
	diag sprintf '%d of %d (%s), %d faults, %d problems, %d s', $i, scalar @names, $name, $injected, scalar @problems, time - $begun
	  if $points ne '1' && $i % 10 == 0 || $points =~ /^(all|new)$/ || $i == @names;
}
diag "repeat it with INJECT_SEED=$seed INJECT_POINTS=$points INJECT_KINDS='@kinds' INJECT_MODES='@modes' INJECT_FUNCTIONS='NAME'" if @problems;
diag $_ for @problems[ 0 .. ($#problems < 40 ? $#problems : 40) ];
is(scalar @problems, 0, "$injected faults in " . (@names + 1 - $first) . ' calls leave session, counters and books right');
cmp_ok($injected, '>=', @names + 1 - $first, 'every function of the contract');
note "seed $seed: ", join ', ', map { "$_ $count{$_}" } sort keys %count;
note 'crashes of PostgreSQL itself: ', join ', ', map { "$_ $known_crashes{$_}" } sort keys %known_crashes;
$node->stop('immediate');
done_testing();
