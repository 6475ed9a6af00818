# Names of the caller's own, first in his search_path: functions, operators, casts, domains, temporary tables; and
# every setting that he may change. Nothing of his runs with the extension's rights, and answers stay what they are.

use strict;
use warnings;
use lib 'test/perl';
use Attack qw(connect_as load_shop state_of value);
use Test::More;

my $db = load_shop();
$db->do('DROP ROLE IF EXISTS shadow_app');
$db->do('CREATE ROLE shadow_app LOGIN');
$db->do(q{SELECT commerce.grant_app('shadow_app')});
$db->do('CREATE SCHEMA shadow AUTHORIZATION shadow_app');
$db->do('CREATE TABLE public.ran (what text, role name)');
$db->do('GRANT INSERT, SELECT ON public.ran TO PUBLIC');

my $app = connect_as('shadow_app');
$app->do('SET client_min_messages = error');
my %traps;

# A trap that reports who ran it, and answers like the real thing would not.
sub trap
{
	my ($kind, $sql) = @_;
	$app->begin_work;
	my $state = state_of($app, $sql);
	$state eq '' ? $app->commit : $app->rollback;
	$traps{$kind}++ if $state eq '';
	return;
}

sub body
{
	my ($what) = @_;
	my $quoted = $what =~ s/'/''/gr;
	return qq{\$\$BEGIN INSERT INTO public.ran VALUES ('$quoted', CURRENT_USER); RETURN NULL; END\$\$};
}

# every function of the catalog that our functions and views may mean, with exactly its arguments
for my $function (@{ $app->selectall_arrayref(q{
	SELECT quote_ident(p.proname) AS name, pg_get_function_identity_arguments(p.oid) AS arguments, p.prorettype::regtype AS type, p.proretset
	FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.pronargs <= 4
	  AND NOT EXISTS (SELECT FROM unnest(p.proargtypes || p.prorettype) t JOIN pg_type y ON y.oid = t WHERE y.typtype = 'p')
	  AND p.proname ~ '^(now|lower|upper|btrim|coalesce|format|to_regclass|current_setting|set_config|clock_timestamp|statement_timestamp|char_length|length|round|floor|ceil|age|date_trunc|timezone|string_agg|repeat|replace|concat|jsonb?_.*|to_jsonb?|array_.*|pg_notify|nextval|quote_.*|abs|mod|date_part|extract|make_interval|to_timestamp|regexp_.*|split_part|substring|left|right|md5|hashtext|random|int8.*|text.*)$'}, { Slice => {} }) })
{
	trap('functions', "CREATE FUNCTION shadow.$function->{name}($function->{arguments}) RETURNS " . ($function->{proretset} ? 'SETOF ' : '') . "$function->{type} LANGUAGE plpgsql COST 0.0001 AS "
		. ($function->{proretset} ? body($function->{name}) =~ s/RETURN NULL/RETURN/r : body($function->{name})));
}
# every operator of types that we have
for my $operator (@{ $app->selectall_arrayref(q{
	SELECT o.oprname AS name, nullif(o.oprleft, 0)::regtype AS l, o.oprright::regtype AS r, o.oprresult::regtype AS type FROM pg_operator o
	WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprright IN ('int8'::regtype, 'int4'::regtype, 'text'::regtype, 'timestamptz'::regtype, 'jsonb'::regtype, 'oid'::regtype, 'name'::regtype, 'uuid'::regtype, 'numeric'::regtype, 'interval'::regtype, 'bool'::regtype)
	  AND o.oprleft <> 0}, { Slice => {} }) })
{
	my $function = 'op' . ++$traps{numbered};
	trap('operators', "CREATE FUNCTION shadow.$function($operator->{l}, $operator->{r}) RETURNS $operator->{type} LANGUAGE plpgsql COST 0.0001 AS " . body("$operator->{name} $operator->{l}")
		. "; CREATE OPERATOR shadow.$operator->{name} (FUNCTION = shadow.$function, LEFTARG = $operator->{l}, RIGHTARG = $operator->{r})");
}
# operators of our own enums, which have none but those of anyenum
for my $type (@{ $db->selectcol_arrayref(q{SELECT t.oid::regtype FROM pg_type t WHERE t.typnamespace = 'commerce'::regnamespace AND t.typtype = 'e'}) })
{
	my $function = 'op' . ++$traps{numbered};
	trap('operators', "CREATE FUNCTION shadow.$function($type, $type) RETURNS boolean LANGUAGE plpgsql AS " . body("= $type")
		. "; CREATE OPERATOR shadow.= (FUNCTION = shadow.$function, LEFTARG = $type, RIGHTARG = $type)");
	trap('operators', "CREATE FUNCTION shadow.$function($type, text) RETURNS boolean LANGUAGE plpgsql AS " . body("= $type text")
		. "; CREATE OPERATOR shadow.= (FUNCTION = shadow.$function, LEFTARG = $type, RIGHTARG = text)");
}
trap('domains', "CREATE DOMAIN shadow.$_") for 'text AS int', 'jsonb AS int', 'bigint AS int', 'name AS text', 'regclass AS text';
trap('types', "CREATE TYPE shadow.$_ AS ENUM ('A')") for qw(user_role order_status coupon_kind timestamptz xid8);
trap('casts', 'CREATE CAST (commerce.order_status AS int) WITH INOUT AS IMPLICIT');
for my $table (@{ $db->selectcol_arrayref(q{SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'v', 'p')
	AND c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace, 'pg_catalog'::regnamespace) AND c.relname ~ '^(pg_(class|proc|namespace|roles|type|depend|extension|trigger|stat_activity|locks)$|[^p]|payments|products|promotions|popular)' }) })
{
	trap('temporary tables', "CREATE TEMP TABLE \"$table\" (id bigint, user_id bigint, status text, name text, balance bigint)");
}
delete $traps{numbered};
cmp_ok($traps{$_} // 0, '>', { functions => 50, operators => 50, 'temporary tables' => 50, domains => 2, types => 2 }->{$_}, "traps: $traps{$_} $_")
  for 'functions', 'operators', 'temporary tables', 'domains', 'types';

# What an application does, and what it is answered, without ids and times.
sub flow
{
	my @said;
	$app->begin_work;
	my $user = value($app, q{SELECT commerce.create_user('Flow', 'flow@example.com')});
	my $product = value($app, q{SELECT commerce.create_product(NULL, 'thing', 1500, 5, discount => 100, shipping_fee => 50)});
	my $coupon = value($app, q{SELECT commerce.create_coupon('c', 'PERCENT', 10, 5, valid_days => 3)});
	push @said, value($app, 'SELECT balance FROM commerce.charge_balance(?, 100000, ?)', $user, 'flow');
	my $issue = value($app, 'SELECT id FROM commerce.claim_coupon(?, ?)', $user, $coupon);
	my $items = qq([{"product_id":$product,"quantity":2}]);
	push @said, $app->selectrow_array('SELECT payment_amount, items_total FROM commerce.create_order_sheet(?, ?, ?)', undef, $user, $items, "{$issue}");
	my ($order, @order) = $app->selectrow_array('SELECT id, status, payment_amount, order_discount, shipping_total FROM commerce.place_order(?, ?, ?, ?)', undef, $user, $items, "{$issue}", 'flow');
	push @said, @order, value($app, 'SELECT commerce.available_stock(?)', $product);
	push @said, value($app, 'SELECT status FROM commerce.cancel_order(?, ?, ?)', $order, 'BUYER', $user), value($app, 'SELECT balance FROM commerce.get_balance(?)', $user);
	push @said, $app->selectrow_array('SELECT price_now, stock, status FROM commerce.product_list WHERE id OPERATOR(pg_catalog.=) ?::pg_catalog.int8', undef, $product);
	push @said, value($app, 'SELECT remaining FROM commerce.coupon_list WHERE id OPERATOR(pg_catalog.=) ?::pg_catalog.int8', $coupon);
	push @said, value($app, 'SELECT pg_catalog.count(*) FROM commerce.check_invariants()'), value($app, 'SELECT pg_catalog.count(*) FROM commerce.popular_products()');
	push @said, value($app, q{SELECT commerce.update_product(?, price => 2000) IS NOT NULL}, $product) ? 'updated' : 'not', value($app, 'SELECT commerce.expire_coupons()'), value($app, 'SELECT commerce.expire_pending_orders()');
	$app->rollback;
	return join '|', map { $_ // 'NULL' } @said;
}

# whose rights the traps ran with
sub ran { return @{ $db->selectcol_arrayref(q{SELECT DISTINCT what || ' as ' || role FROM public.ran WHERE role <> 'shadow_app'}) } }

$app->do('SET search_path = pg_catalog');
my $expected = eval { flow() } // diag($@);
is($expected, flow(), "an application's day: $expected");

my @paths = ('shadow, pg_temp, pg_catalog', 'pg_temp, shadow, pg_catalog, commerce', 'shadow, commerce, commerce_private, pg_catalog, pg_temp', '');
for my $path (@paths)
{
	$app->do("SET search_path = " . ($path || q{''}));
	# rolled back traps would not be seen: what ran is counted by pg_stat as well
	my $got = eval { flow() } // do { $app->rollback; "died: $@" };
	is($got, $expected, "search_path = $path: the same answers");
}
is_deeply([ ran() ], [], 'nothing of it ran with other rights');

# Functions that ran in transactions which were rolled back count all the same: each has been called no time.
$app->do('SET search_path = pg_catalog');
$db->do('ALTER SYSTEM SET track_functions = pl');
$db->do('SELECT pg_reload_conf()');
select undef, undef, undef, 0.5;
$app->disconnect;
$app = connect_as('shadow_app');
$app->do('SET search_path = shadow, pg_catalog');
my $again = eval { flow() } // do { $app->rollback; "died: $@" };
is($again, $expected, 'once more, counted');
$app->disconnect;
select undef, undef, undef, 1.0;
my @called = @{ $db->selectcol_arrayref(q{SELECT funcname FROM pg_stat_user_functions WHERE schemaname = 'shadow' AND calls > 0}) };
is_deeply(\@called, [], 'no function of his was called at all');

# The control: a definer function without a pinned search_path runs into the traps.
$db->do(q{CREATE FUNCTION public.unpinned(x bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN RETURN x = 1; END$$});
$app = connect_as('shadow_app');
$app->do('SET search_path = shadow, pg_catalog');
$app->selectrow_array('SELECT public.unpinned(1)');
isnt(scalar(ran()), 0, 'control: a function that is not pinned runs one as its owner');
$app->disconnect;
select undef, undef, undef, 1.1;
cmp_ok(value($db, q{SELECT count(*) FROM pg_stat_user_functions WHERE schemaname = 'shadow' AND calls > 0}), '>', 0, '  and is counted');

# Every setting that he may change, at its extremes: the same answers, in another session each time.
$app = connect_as('shadow_app');
$app->do('SET search_path = pg_catalog');
my ($settings, @differ) = 0;
for my $setting (@{ $app->selectall_arrayref(q{
	SELECT name, setting, vartype, enumvals, min_val, max_val FROM pg_settings
	WHERE context IN ('user', 'superuser') AND vartype <> 'string'
	  AND name !~ '^(log_|debug_|trace_|client_min|.*_timeout$|ignore_|zero_damaged|default_transaction_read_only|transaction_|idle_|plpgsql\.|seed|backtrace|cron|tcp_|jit|force_parallel|.*_cost$|.*collapse_limit|geqo|temp_buffers|work_mem|wal_)' ORDER BY 1}, { Slice => {} }) })
{
	my @values = $setting->{vartype} eq 'bool' ? ('on', 'off') : $setting->{vartype} eq 'enum' ? @{ $setting->{enumvals} } : ($setting->{min_val}, $setting->{max_val});
	for my $value (grep { $_ ne $setting->{setting} } @values)
	{
		next if state_of($app, "SET $setting->{name} = '$value'");
		$settings++;
		my $got = eval { flow() } // do { my $error = $@; eval { $app->rollback }; "died: $error" };
		push @differ, "$setting->{name} = $value: " . substr($got, 0, 300) if $got ne $expected;
		$app->do("RESET $setting->{name}");
	}
}
for my $set (q{DateStyle = 'SQL, DMY'}, q{IntervalStyle = sql_standard}, q{TimeZone = 'Pacific/Kiritimati'}, q{TimeZone = 'Pacific/Pago_Pago'}, q{extra_float_digits = -15},
	q{default_text_search_config = simple}, q{default_tablespace = nowhere}, q{temp_tablespaces = nowhere}, q{bytea_output = escape}, q{xmlbinary = hex}, q{role = shadow_app},
	q{default_table_access_method = heap}, q{lc_monetary = 'C'}, q{local_preload_libraries = ''}, q{application_name = '''; --'})
{
	next if state_of($app, "SET $set");
	$settings++;
	my $got = eval { flow() } // do { my $error = $@; eval { $app->rollback }; "died: $error" };
	push @differ, "$set: " . substr($got, 0, 300) if $got ne $expected;
	$app->do('RESET ' . $set =~ s/ .*//r);
}
cmp_ok($settings, ">", 60, "$settings settings");
is_deeply(\@differ, [], "$settings settings change no answer");
$app->disconnect;
$db->do('DROP OWNED BY shadow_app CASCADE');
$db->do('DROP ROLE shadow_app');
done_testing();
