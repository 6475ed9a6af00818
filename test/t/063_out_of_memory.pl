# What becomes of a session that runs out of memory at a delicate moment.

use strict;
use warnings;
use DBD::Pg qw(:async);
use Inject qw(arm connect_to disarm prepare_database);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init;
$node->append_conf('postgresql.conf', q{
	shared_preload_libraries = 'commerce'
	commerce.maintenance_interval = 0});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	CREATE ROLE caller;
	CREATE SCHEMA caller AUTHORIZATION caller;
	GRANT USAGE ON SCHEMA commerce, commerce_private TO caller;
	GRANT EXECUTE ON FUNCTION commerce.place_order TO caller;
	GRANT EXECUTE ON FUNCTION commerce.confirm_payment TO caller;
	GRANT EXECUTE ON FUNCTION commerce.expire_pending_orders TO caller;
	GRANT EXECUTE ON FUNCTION commerce.update_user, commerce.update_seller, commerce.update_product TO caller;
	GRANT EXECUTE ON FUNCTION commerce_private.run_job, commerce_private.receive_payment_result TO caller;
	SELECT commerce.create_product(NULL, 'Cup', 10, 1), commerce.create_product(NULL, 'Pot', 10, 1000);
	SELECT commerce.charge_balance(commerce.create_user('U' || i, i || '@example.com'), 100000) FROM generate_series(1, 2) i;

	-- what an application's function does: it goes on after an error
	CREATE FUNCTION caller.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		before text := current_user;
		path text := current_setting('search_path');
		what text := 'done';
	BEGIN
		BEGIN
			EXECUTE statement;
		EXCEPTION WHEN OTHERS THEN
			what := SQLSTATE;
		END;
		IF current_user <> before OR current_setting('search_path') <> path THEN
			RETURN format('%s; now %s with %s', what, current_user, current_setting('search_path'));
		END IF;
		RETURN what;
	END $$});
prepare_database($node, 'postgres');

sub one
{
	my ($db, $sql, @values) = @_;
	return ($db->selectrow_array($sql, undef, @values))[0];
}

sub session { return connect_to($node->connstr('postgres')) }

# what has to be so when nobody is in a transaction
sub at_rest
{
	my ($what) = @_;
	is($node->safe_psql('postgres', q{
		SELECT * FROM commerce.escrow WHERE in_flight <> 0 OR pins <> 0 OR waiters <> 0
			OR kind = 'stock' AND available <> commerce.available_stock(resource_id)}), '', "$what: counters are at rest");
	is($node->safe_psql('postgres', 'SELECT * FROM commerce.check_invariants()'), '', "$what: the books are in order");
	return;
}

sub is_as_before
{
	my ($db, $what) = @_;
	is(eval { one($db, q{SELECT concat_ws(' ', current_user, current_setting('lock_timeout'), current_setting('search_path'), pg_current_xact_id_if_assigned())}) } // $@,
		'caller 0 "$user", public', "$what: user, settings and transaction are the caller's");
	return;
}

# A wait for a lock ends with an error, which cannot be copied.
{
	my ($holder, $caller) = (session(), session());
	my $pid = $caller->{pg_pid};
	$caller->do('SET SESSION AUTHORIZATION caller');
	$holder->begin_work;
	$holder->do(q{SELECT commerce.place_order(2, '[{"product_id": 1, "quantity": 1}]')});
	arm($caller, 'oom', 1, 'CopyErrorData');
	my $order = $caller->prepare(q{SELECT caller.try('SELECT commerce.place_order(1, ''[{"product_id": 1, "quantity": 1}]'')')},
		{ pg_async => PG_ASYNC });
	$order->execute;
	$node->poll_query_until('postgres', "SELECT state <> 'active' FROM pg_stat_activity WHERE pid = $pid") or die 'waits for ever';
	$order->pg_result;
	is($order->fetchrow_array, '53200', 'a wait ends, and its error cannot be copied: the caller catches what comes, as himself');
	ok(disarm($caller), 'it was so');
	is_as_before($caller, 'after a wait');
	$holder->rollback;
	$_->disconnect for $holder, $caller;
	at_rest('after a wait');
}

# A function of ours makes something else of an error, which cannot be copied.
{
	my $caller = session();
	$node->safe_psql('postgres', q{
		SELECT commerce.create_seller(commerce.create_user('S' || i), 'Kiln', i::text) FROM generate_series(1, 2) i;
		SELECT commerce.update_product(1, sku => 'cup');
		UPDATE commerce_private.jobs SET function = 'create_user' WHERE name = 'expire-coupons'});
	$caller->do('SET SESSION AUTHORIZATION caller');
	for my $call (
		q{commerce.update_user(2, email => '1@example.com')},
		q{commerce.update_seller(2, registration_number => '1')},
		q{commerce.update_product(2, sku => 'cup')},
		q{commerce_private.run_job('expire-coupons')},
		q{commerce_private.receive_payment_result('\xff', 't/0/1')},
		q{commerce_private.receive_payment_result('{"order_id": "x"}', 't/0/1')})
	{
		arm($caller, 'oom', 1, 'CopyErrorData');
		my $what = eval { one($caller, 'SELECT caller.try($1)', "SELECT $call") } // $caller->state;
		ok(disarm($caller), "$call: there is an error, which cannot be copied");
		is($what, '53200', 'the caller catches what comes, as himself');
		is_as_before($caller, 'after it');
	}
	$caller->disconnect;
	$node->safe_psql('postgres', q{UPDATE commerce_private.jobs SET function = 'expire_coupons' WHERE name = 'expire-coupons'});
}

# A trigger of the shop's catches an error, which cannot be copied: what it leaves open is not ended in the place of ours.
{
	my $caller = session();
	$node->safe_psql('postgres', q{
		CREATE FUNCTION caller.catch() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			BEGIN
				PERFORM 1 / 0;
			EXCEPTION WHEN division_by_zero THEN
				RETURN new;
			END;
		END $$;
		CREATE TRIGGER catch BEFORE UPDATE ON commerce.users FOR EACH ROW EXECUTE FUNCTION caller.catch()});
	$caller->do('SET SESSION AUTHORIZATION caller');
	arm($caller, 'oom', 1, 'CopyErrorData');
	my $what = eval { one($caller, 'SELECT caller.try($1)', q{SELECT commerce.update_user(2, name => 'V2')}) };
	like($caller->errstr // $what, qr/a subtransaction could not be ended/, 'a trigger leaves a subtransaction open: the session ends');
	$caller->disconnect;
	$node->safe_psql('postgres', 'DROP TRIGGER catch ON commerce.users');
	at_rest('after a trigger');
}

# A trigger of the shop's writes on another server, which is gone when the subtransaction ends: that is an ordinary error.
{
	my $caller = session();
	my ($host, $port) = ($node->host, $node->port);
	$node->safe_psql('postgres', qq{
		CREATE EXTENSION postgres_fdw;
		CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
		CREATE USER MAPPING FOR CURRENT_USER SERVER far;
		CREATE TABLE caller.near (name text);
		CREATE FOREIGN TABLE caller.far (name text) SERVER far OPTIONS (schema_name 'caller', table_name 'near');
		CREATE FUNCTION caller.write_far() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			INSERT INTO caller.far VALUES (new.name);
			IF new.name = 'gone' THEN
				PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'postgres_fdw';
			END IF;
			RETURN new;
		END \$\$;
		CREATE TRIGGER write_far BEFORE UPDATE ON commerce.users FOR EACH ROW EXECUTE FUNCTION caller.write_far()});
	$caller->do('SET SESSION AUTHORIZATION caller');
	is(one($caller, 'SELECT caller.try($1)', q{SELECT commerce.update_user(2, name => 'here')}), 'done', 'a trigger writes on another server');
	eval { one($caller, q{SELECT commerce.update_user(2, name => 'gone')}) };
	is($caller->state, '08006', 'which goes');
	is_as_before($caller, 'after it');
	$caller->disconnect;
	is($node->safe_psql('postgres', 'SELECT name FROM caller.near'), 'here', 'what is kept here is kept there');
	$node->safe_psql('postgres', 'DROP TRIGGER write_far ON commerce.users');
	at_rest('after another server');
}

# Orders that were given up are paid late: what they take again is kept by a subtransaction's end, which fails. PostgreSQL
# has then left it half ended, and nobody goes on.
{
	for my $n (1 .. 20)
	{
		my $order = $node->safe_psql('postgres', q{
			SELECT id FROM commerce.place_order(1, '[{"product_id": 2, "quantity": 1}]', '{}', NULL, 'EXTERNAL')});
		$node->safe_psql('postgres', qq{
			UPDATE commerce.orders SET expires_at = now() - interval '1 minute' WHERE id = $order;
			SELECT commerce.expire_pending_orders()});
		my $caller = session();
		$caller->do('SET SESSION AUTHORIZATION caller');
		arm($caller, 'oom', $n, 'AtEOSubXact_PgStat', 'commerce.so');
		my $what = eval { one($caller, 'SELECT caller.try($1)', "SELECT commerce.confirm_payment($order, true, 'late $order')") };
		if (!$caller->ping)
		{
			like($caller->errstr, qr/a subtransaction could not be ended/, "the end of a subtransaction: the session ends at allocation $n");
			next;
		}
		ok(!disarm($caller), "allocation $n: there is none");
		is($what, 'done', 'the payment is taken');
		is_as_before($caller, 'after it');
		cmp_ok($n, '>', 1, 'it allocates at all');
		$caller->disconnect;
		last;
	}
	at_rest('after late payments');
}

# What cannot be ended for want of memory is not tried again in the same transaction.
{
	my $db = session();
	my $sweep = 'SELECT commerce.expire_pending_orders()';
	my ($n, $fired, $swallowed) = (0, 1, 0);
	$node->safe_psql('postgres', q{
		SELECT commerce.place_order(i, '[{"product_id": 2, "quantity": 1}]', '{}', NULL, 'EXTERNAL') FROM generate_series(1, 2) i;
		UPDATE commerce.orders SET expires_at = now() - interval '1 minute' WHERE status = 'PENDING_PAYMENT'});
	while ($fired && $n < 200)
	{
		$n++;
		arm($db, 'oom', $n, 'commerce.so', 'LockAcquireExtended');
		my $done = eval { one($db, $sweep) };
		my $state = $db->state;
		$fired = disarm($db);
		$swallowed++ if $fired && defined $done;
		is($state, '53200', "a sweep, allocation $n") if $fired && !defined $done;
	}
	is($swallowed, 0, 'a sweep swallows no want of memory');
	cmp_ok($n, '>', 3, 'there was some');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM commerce.orders WHERE status = 'PENDING_PAYMENT'}), 0, 'with memory all is ended');
	$db->disconnect;
	at_rest('after sweeps');
}

# A subtransaction that cannot be rolled back after an error is left to nobody: the session ends.
{
	my ($n, $fired, $ended) = (0, 1, 0);
	while ($fired && $n < 20)
	{
		my $caller = session();
		$caller->do('SET SESSION AUTHORIZATION caller');
		arm($caller, 'oom', ++$n, 'RollbackAndReleaseCurrentSubTransaction', 'commerce.so');
		my $what = eval { one($caller, 'SELECT caller.try($1)', q{SELECT commerce.update_user(2, email => '1@example.com')}) };
		if (!$caller->ping)
		{
			like($caller->errstr, qr/a subtransaction could not be ended/, "a rollback: the session ends at allocation $n");
			$ended++;
			next;
		}
		ok(!($fired = disarm($caller)), "allocation $n: there is none");
		is_as_before($caller, 'after a rollback');
		$caller->disconnect;
	}
	cmp_ok($ended, '>', 0, 'some rollbacks fail');
	at_rest('after rollbacks');
}

# Want of memory, and more of it while that is told and undone: no transaction is left open, and nobody is another.
{
	my ($n, $fired, $caller) = (0, 1);
	$node->safe_psql('postgres', q{
		SELECT commerce.place_order(i, '[{"product_id": 2, "quantity": 1}]', '{}', NULL, 'EXTERNAL') FROM generate_series(1, 2) i;
		UPDATE commerce.orders SET expires_at = now() - interval '1 minute' WHERE status = 'PENDING_PAYMENT'});
	while ($fired)
	{
		$n += 53;
		if (!$caller || !$caller->ping)
		{
			$caller = session();
			$caller->do('SET SESSION AUTHORIZATION caller');
		}
		arm($caller, 'twice', $n, 'commerce.so');
		my $what = eval { one($caller, 'SELECT caller.try($1)', 'SELECT commerce.expire_pending_orders()') };
		next if !$caller->ping;
		my $state = $caller->state;
		if (!ok(defined eval { $fired = disarm($caller) }, "allocation $n and one after it: no transaction is left open"))
		{
			undef $caller;
			next;
		}
		is($what // $state, '53200', "an order's end, allocation $n and one after it") if $fired;
		is_as_before($caller, "an order's end, allocation $n and one after it");
	}
	$caller->disconnect;
	at_rest("after orders' ends");
}

# Callbacks are registered at the first operation; the relcache has room for ten.
{
	my $db = session();
	for my $i (1 .. 12)
	{
		arm($db, 'oom', 1, 'RegisterSubXactCallback', 'commerce.so');
		ok(!eval { $db->do('SELECT commerce.charge_balance(1, 100)'); 1 }, "registering runs out of memory, $i times");
		is($db->state, '53200', 'with the error that says so');
		disarm($db);
	}
	ok($db->do('SELECT commerce.charge_balance(1, 100)'), 'and then it is registered');
	$db->disconnect;
}
$node->stop;

# Without preloading, a session that ran out of memory while it loaded the library loads it again.
{
	my $settings = q{SELECT count(*) FROM pg_settings WHERE name LIKE 'commerce.%' AND category <> 'Customized Options: placeholder'};
	$node->append_conf('postgresql.conf', q{
		shared_preload_libraries = ''
		commerce.maintenance_interval = 1234});
	$node->start;
	my $full = session();
	$full->do('SET commerce.payment_ttl = 77');
	$full->do(q{LOAD 'commerce'});
	my $all = one($full, $settings);
	is(one($full, 'SHOW commerce.payment_ttl'), '77s', 'what was set before the library was loaded is in force');
	$full->disconnect;
	my ($n, $fired, %ends) = (0, 1);
	while ($fired && $n < 400)
	{
		$n++;
		my $db = session();
		$db->do('SET commerce.payment_ttl = 77');
		arm($db, 'oom', $n);
		eval { $db->do(q{LOAD 'commerce'}) };
		# from 16 on the server ends a session that has no memory for a setting's first value
		next if !$db->ping;
		$fired = disarm($db);
		my $end = eval {
			$db->do(q{SELECT commerce.charge_balance(1, 100)});
			join ' ', one($db, $settings), map { one($db, "SHOW commerce.$_") } qw(timezone maintenance_interval);
		} // $@;
		$ends{$end}++;
		$db->disconnect;
	}
	is_deeply([ keys %ends ], ["$all Asia/Seoul 1234ms"], 'all settings are there, with their values');
	cmp_ok($n, '>', 10, 'there was want of memory');
	$node->stop;
}
done_testing();
