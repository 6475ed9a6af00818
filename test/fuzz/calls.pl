# Random calls of every function of the contract, which is read from the catalog and from openapi(): by several
# sessions, in transactions of every isolation level with savepoints and PREPARE TRANSACTION, some of which are
# cancelled or terminated. After each round nobody is in a transaction, and the books and the counters must be
# right. At the end every other function of the extension is called by the superuser, where only crashes count.
#
# FUZZ_SECONDS (10), FUZZ_SESSIONS (4), FUZZ_TRANSACTIONS (40, of a session in a round) and FUZZ_SEED (1) change the run: what a session calls in a round depends
# on the seed alone, when it does so on the machine. FUZZ_LOG is a folder for what was called in a round that fails.

use strict;
use warnings;
use DBI;
use File::Temp;
use JSON::PP;
use List::Util qw(shuffle sum0);
use POSIX ();
use Storable;
use Test::More;
use Time::HiRes qw(sleep time);
use Torture qw(one pick);

my $seconds  = $ENV{FUZZ_SECONDS}  || 10;
my $sessions = $ENV{FUZZ_SESSIONS} || 4;
my $seed     = $ENV{FUZZ_SEED}     || 1;
my $transactions = $ENV{FUZZ_TRANSACTIONS} || 40;
my $json = JSON::PP->new->canonical->allow_nonref;

sub connect_as
{
	my ($role) = @_;
	my $db = DBI->connect('dbi:Pg:application_name=fuzz', undef, undef,
		{ RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_server_prepare => 0 });
	$db->{InactiveDestroy} = 1;
	$db->do('SET client_min_messages = error');
	$db->do("SET SESSION AUTHORIZATION $role") if $role;
	return $db;
}

# ---------------------------------------------------------------------------
# The shop

my $db = connect_as();
$db->do(q{
	SELECT commerce.create_user('U' || i, 'u' || i || '@example.com', role => CASE WHEN i IN (2, 3) THEN 'SELLER' ELSE 'BUYER' END::commerce.user_role)
	FROM generate_series(1, 8) i});
$db->do(q{UPDATE commerce.users SET role = 'ADMIN' WHERE id = 1});
$db->do(q{SELECT commerce.create_seller(2, 'Two', '2'), commerce.create_seller(3, 'Three', '3')});
$db->do(q{SELECT commerce.charge_balance(i, 50000000) FROM generate_series(1, 8) i});
$db->do(q{SELECT commerce.create_product(CASE WHEN i % 3 > 0 THEN i % 3 END, 'P' || i, 100 * i, CASE i WHEN 1 THEN 5 ELSE 10000 END, discount => i % 2, shipping_fee => i % 4)
	FROM generate_series(1, 6) i});
$db->do(q{SELECT commerce.create_coupon('C' || i, (CASE i % 3 WHEN 0 THEN 'PERCENT' WHEN 1 THEN 'FIXED' ELSE 'FREE_SHIPPING' END)::commerce.coupon_kind, i % 3 * 10 % 20 + 5 * (i % 3 / 2 + 1) - i % 3 / 2 * 15, 1000, valid_days => 10)
	FROM generate_series(1, 3) i});
$db->do(q{SELECT commerce.claim_coupon(u, c) FROM generate_series(1, 8) u, generate_series(1, 3) c});
$db->do(q{SELECT commerce.subscribe('sub' || i) FROM generate_series(1, 4) i});
$db->do(q{SELECT commerce.place_order(u, '[{"product_id": 2, "quantity": 3}, {"product_id": 3, "quantity": 2}]', payment_method => m::commerce.payment_method)
	FROM generate_series(1, 8) u, unnest('{BALANCE,EXTERNAL}'::text[]) m});
$db->do(q{SELECT commerce.create_order_sheet(u, '[{"product_id": 4, "quantity": 1}]') FROM generate_series(1, 8) u});
$db->do(q{SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_admin')});

# ---------------------------------------------------------------------------
# The contract

my $contract = $db->selectall_arrayref(q{
	SELECT n.nspname AS schema, p.proname AS name, p.pronargdefaults AS defaults,
		n.nspname <> 'commerce_api' AND NOT has_function_privilege('shop', p.oid, 'EXECUTE') AS internal,
		ARRAY(SELECT t::regtype::text FROM unnest(p.proargtypes) WITH ORDINALITY AS a(t, i) ORDER BY i) AS types,
		coalesce(p.proargnames[1:(p.pronargs)], '{}') AS names
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'commerce'
	WHERE p.prokind = 'f' AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
	ORDER BY 1, 2, 5}, { Slice => {} });
my @functions = grep { !$_->{internal} && $_->{schema} ne 'commerce_api' } @$contract;
my @endpoints = grep { $_->{schema} eq 'commerce_api' } @$contract;

# rebase() makes an era, as after a restore, and is not repeated for nothing
my @internal = grep { $_->{internal} && $_->{name} ne 'rebase' } @$contract;
my %labels = map { $_->[0] => $_->[1] } @{ $db->selectall_arrayref(q{
	SELECT t.oid::regtype::text, ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
	FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname LIKE 'commerce%' AND t.typtype = 'e'}) };
my $paths = $json->decode(one($db, 'SELECT commerce_private.openapi()'))->{paths};
for my $endpoint (@endpoints)
{
	my $schema = $paths->{"/rpc/$endpoint->{name}"}{post}{requestBody}{content}{'application/json'}{schema};
	$endpoint->{members} = [ sort keys %{ $schema->{properties} // {} } ];
}

# What a shop lives of is called more often.
my %weight = (
	place_order => 12, claim_coupon => 5, charge_balance => 6, create_order_sheet => 5, place_sheet_order => 5,
	confirm_payment => 5, cancel_order => 5, cancel_order_item => 6, change_item_status => 10, adjust_stock => 5,
	expire_pending_orders => 2);
my @often = map { ($_) x ($weight{ $_->{name} } // 0) } @functions;

# ---------------------------------------------------------------------------
# Values, as SQL or as JSON

my @strange = (0, 1, -1, 100, 10**9, '9223372036854775807', '-9223372036854775808', '2147483648');

sub id { return pick(1 + int rand 8, 1 + int rand 40, 1 + int rand 400, pick(@strange)) }

sub any_text
{
	return pick('', 'x', 'key' . int(rand 30), 'x' x pick(10, 300, 5000), '한국어', q{a'b"c\\d}, "\x{1}", 'a@b', '%', 'null',
		'BUYER', '{"a":1}', 'http://127.0.0.1:1/x', 'OrderCreated',
		'00000001-00000000000003e8-0000000000000001', 'ffffffff-ffffffffffffffff-ffffffffffffffff');
}

sub line
{
	my %line = (product_id => 1 + int rand 6, quantity => 1 + int rand 3);
	$line{product_id} = pick(1 + int rand 40, undef, 'x', 1.5, -1) if rand() < 0.1;
	$line{quantity} = pick(0, -1, 10, '2', undef, 0.5, 1e300) if rand() < 0.1;
	$line{coupon_issue_id} = id() if rand() < 0.2;
	$line{more} = 1 if rand() < 0.03;
	delete $line{quantity} if rand() < 0.03;
	return \%line;
}

sub document
{
	return pick('[]', '{}', 'null', '1', '"x"', '[null]', '[[[]]]', '[1,2]', '[' x 200 . ']' x 200, '{"a":{"b":[1,{"c":null}]}}')
	  if rand() < 0.1;
	return $json->encode([ map { line() } 1 .. pick(1, 1, 2, 3, 5, 30) ]);
}

# A number for an argument of this name
sub number
{
	my ($name) = @_;
	return pick(100, 1000, 50000, pick(@strange)) if $name =~ /amount|price|value|fee|discount/;
	return pick(1, 1, 2, 5, -1, 100, pick(@strange)) if $name =~ /quantity|delta|stock|batch|max|days|top|limit/;
	return id();
}

# A text for an argument of this name, which is to be good half of the time
sub text
{
	my ($name) = @_;
	return any_text() if rand() < 0.3;
	return 'sub' . (1 + int rand 4) if $name =~ /subscription|^name$/;
	return 'key' . int rand 1000 if $name =~ /key|event_id/;
	return 'u' . int(rand 1e6) . '@example.com' if $name eq 'email';
	return any_text();
}

sub quote { return $db->quote($_[0]) }

sub sql_value
{
	my ($type, $name) = @_;
	return "NULL::$type" if rand() < 0.06;
	my $bare = $type =~ s/\[\]$//r;
	if ($type =~ /\[\]$/)
	{
		return quote(pick('{}', '{1}', '{' . id() . '}', '{1,1}', '{NULL}', '{{1,2},{3,4}}', '[5:6]={1,2}', '{' . join(',', 1 .. 400) . '}')) . "::$type"
		  if $bare =~ /int|numeric/;
		return quote(pick('{}', '{OrderCreated}', '{NULL}', '{x,y}', '{{a,b}}', '{00000001-00000000000003e8-0000000000000001}')) . "::$type";
	}
	return '(SELECT s.id FROM commerce.order_sheets s ORDER BY s.created_at DESC OFFSET ' . int(rand 5) . ' LIMIT 1)'
	  if $type eq 'uuid' && rand() < 0.8;
	my $value =
		$labels{$type} ? pick(@{ $labels{$type} })
	  : $type =~ /^(bigint|numeric)$/ ? number($name)
	  : $type eq 'integer' ? pick(0, 1, 2, 10, 1000, -1, 2147483647, -2147483648)
	  : $type eq 'smallint' ? pick(0, 1, -1, 32767)
	  : $type =~ /^(text|character varying)$/ ? text($name)
	  : $type =~ /^(name|regrole)$/ ? pick('shop', 'api_anon', 'api_buyer')
	  : $type =~ /^jsonb?$/ ? document()
	  : $type eq 'boolean' ? pick('t', 'f')
	  : $type =~ /^timestamp/ ? pick('now', '2026-01-01', 'infinity', '-infinity', '294276-12-31', '4713-01-01 BC', 'tomorrow')
	  : $type eq 'date' ? pick('2026-01-01', 'infinity', '5874897-12-31')
	  : $type eq 'interval' ? pick('1 day', '-1 day', '178000000 years')
	  : $type eq 'uuid' ? '0190b5a0-0000-7000-8000-000000000000'
	  : $type =~ /^(xid8|oid)$/ ? pick(0, 1, 1000, 4294967295)
	  : $type eq 'regclass' ? pick('commerce.orders', 'pg_class')
	  : $type eq 'regproc' ? 'commerce.place_order'
	  : $type eq 'regtype' ? 'bigint'
	  : undef;
	return defined $value ? quote($value) . "::$type" : "NULL::$type";
}

sub json_value
{
	my ($name) = @_;
	return undef if rand() < 0.05;
	return pick('x', -1, [], {}, 1e300, JSON::PP::true) if rand() < 0.05;
	return [ map { line() } 1 .. pick(1, 2, 5) ] if $name eq 'items';
	return [ id() ] if $name =~ /_ids$/;
	return 0 + number($name) if $name =~ /_id$|^id$|amount|price|value|fee|discount|quantity|delta|stock|batch|max|days|top|limit/;
	for my $type (grep { /\Q$name\E$/ } sort keys %labels)
	{
		return pick(@{ $labels{$type} });
	}
	return text($name);
}

sub call
{
	my ($function) = @_;
	my @types = @{ $function->{types} };
	my $n = @types;
	$n -= int rand(1 + $function->{defaults}) if rand() < 0.5;
	my @arguments = map { sql_value($types[$_], $function->{names}[$_] // '') } 0 .. $n - 1;
	if (@{ $function->{members} // [] } && rand() < 0.95)
	{
		my %body = map { rand() < 0.8 ? ($_ => json_value($_)) : () } @{ $function->{members} };
		@arguments = (quote($json->encode(\%body)) . '::jsonb');
	}
	return sprintf 'SELECT * FROM %s.%s(%s)', $function->{schema}, $db->quote_identifier($function->{name}), join ', ', @arguments;
}

# ---------------------------------------------------------------------------
# A session

my ($log, %counts, %codes, @surprises);

sub note_error
{
	my ($session, $statement) = @_;
	my $message = $session->{db}->errstr // '';
	my $state = $session->{db}->state || ($message =~ /terminating|closed|canceling/ ? '57P01' : '-----');
	$state = '57P01' if $state =~ /^08/ && $message =~ /terminating connection due to admin/;
	$codes{$state}++;
	print $log "-- $state $message\n";
	push @surprises, "$state $message\n  $statement"
	  if !$session->{internal} && $state =~ /^(XX|58|53|08|42(?!501))|^-----/ && $message !~ /tuple concurrently updated/;
	return;
}

# Returns whether it succeeded.
sub execute
{
	my ($session, $statement) = @_;
	print $log "$statement;\n";
	return 1 if eval { $session->{db}->do($statement); 1 };
	note_error($session, $statement);
	return 0;
}

sub next_function
{
	my ($session) = @_;
	my $all = $session->{all};
	my $function = !$session->{internal} && rand() < 0.6 ? pick(@often) : $all->[ $session->{next}++ % @$all ];
	$counts{ "$function->{schema}.$function->{name}" }++;
	return $function;
}

# What is drawn does not depend on what succeeds, or a seed would not repeat a session.
sub plan_calls
{
	my ($session) = @_;
	my @steps = map { { statement => call(next_function($session)), savepoint => rand() < 0.3, end => pick('', '', 'RELEASE', 'ROLLBACK TO') } }
	  1 .. pick(1, 1, 2, 4, 6);
	my $end = rand();
	return {
		steps => \@steps,
		begin => 'BEGIN ISOLATION LEVEL ' . pick('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') . (rand() < 0.05 ? ' READ ONLY' : ''),
		end => $end < 0.12 ? 'PREPARE' : $end < 0.85 ? 'COMMIT' : 'ROLLBACK',
		prepared => pick('COMMIT PREPARED', 'ROLLBACK PREPARED') };
}

sub plan_request
{
	my ($session) = @_;
	my $endpoint = $endpoints[ $session->{next_endpoint}++ % @endpoints ];
	$counts{"$endpoint->{schema}.$endpoint->{name}"}++;
	my $claims = $json->encode({ sub => pick(1 + int rand 12, '1', 'x', undef), role => 'x' });
	my $headers = $json->encode({ 'accept-language' => pick('ko', 'en;q=0.5, ko', ''), 'idempotency-key' => pick('k1', 'k' . int(rand 1e6), '', 'x' x 300) });
	return {
		begin => 'BEGIN',
		steps => [
			{ statement => 'SET LOCAL commerce.jwt_subject = ' . pick('id', 'external_id') },
			{ statement => 'SET LOCAL ROLE ' . pick(qw(api_anon api_buyer api_buyer api_seller api_admin)) },
			{ statement => "SELECT set_config('request.jwt.claims', " . quote($claims) . ", true), set_config('request.method', 'POST', true), set_config('request.headers', "
				  . quote($headers) . ', true)' },
			{ statement => call($endpoint) } ],
		end => pick('COMMIT', 'COMMIT', 'ROLLBACK') };
}

sub run_plan
{
	my ($session, $plan, $number) = @_;
	my $savepoints = 0;
	execute($session, $plan->{begin}) or return;
	for my $step (@{ $plan->{steps} })
	{
		execute($session, 'SAVEPOINT s' . ++$savepoints) or return if $step->{savepoint};
		if (execute($session, $step->{statement}))
		{
			$counts{'(succeeded)'}++;
			execute($session, "$step->{end} s" . $savepoints--) or return if $savepoints > 0 && $step->{end};
		}
		else
		{
			return execute($session, 'ROLLBACK') if $savepoints == 0;
			execute($session, "ROLLBACK TO s$savepoints") or return;
		}
	}
	return execute($session, $plan->{end}) if $plan->{end} ne 'PREPARE';
	my $name = "fuzz_$session->{number}_$number";
	if (execute($session, "PREPARE TRANSACTION '$name'"))
	{
		$counts{'(prepared)'}++ if execute($session, "$plan->{prepared} '$name'");
	}
	return;
}

sub session
{
	my ($number, $round, $file, $internal) = @_;
	open $log, '>:encoding(UTF-8)', "$file.sql" or die $!;

	# the sessions of a round share out the functions
	srand($seed * 1_000_003 + $round * 1009);
	my @all = shuffle($internal ? @internal : @functions);
	my $session = {
		number => $number, internal => $internal, all => \@all, next => int($number * @all / $sessions),
		next_endpoint => int(($number + $round * $sessions) * 10) };
	srand($seed * 1_000_003 + $round * 1009 + $number);
	my $role = $internal ? '' : 'shop';
	my $timeout = pick(0, 300, 1500);
	for my $n (1 .. $transactions)
	{
		my $request = !$internal && rand() < 0.25;
		my $plan = $request ? plan_request($session) : plan_calls($session);
		my $is = $request ? 'authenticator' : $role;
		# a connection for each, since most of a call's cost is what a new one reads first
		$session->{db} = $session->{connections}{$is};
		if (!$session->{db} || !$session->{db}->ping)
		{
			$session->{db} = $session->{connections}{$is} = eval { connect_as($is) } or do { sleep 0.3; next };
			execute($session, $_) for q{SET statement_timeout = '2s'}, "SET lock_timeout = $timeout", q{SET idle_in_transaction_session_timeout = '20s'};
		}
		run_plan($session, $plan, $n);
		execute($session, 'ROLLBACK') if $session->{db}->ping && $session->{db}->ping > 1;
	}
	close $log;
	Storable::store({ counts => \%counts, codes => \%codes, surprises => \@surprises }, $file);
	return;
}

sub disturber
{
	my ($round, $until) = @_;
	srand($seed * 1_000_003 + $round * 1009 + 999);
	my $admin = connect_as();
	while (!-e $until)
	{
		sleep rand 0.6;
		my $what = rand() < 0.85 ? 'pg_cancel_backend' : 'pg_terminate_backend';
		eval { $admin->do("SELECT $what(pid) FROM pg_stat_activity WHERE application_name = 'fuzz' AND usename IN ('shop', 'authenticator') AND datname = current_database() ORDER BY random() LIMIT 1") };
	}
	return;
}

sub start
{
	my ($body, @arguments) = @_;
	my $pid = fork // die $!;
	return $pid if $pid;
	my $ok = eval { $body->(@arguments); 1 };
	print STDERR "# $@" unless $ok;
	POSIX::_exit($ok ? 0 : 1);
}

my $dir = File::Temp->newdir;
my (%called, %failed, @unexpected);

# A session that nobody ends: it is lost when the server crashes.
my $watch = connect_as();

# One round of all sessions; returns what is wrong after it.
sub round
{
	my ($round, $internal) = @_;
	my $until = "$dir/stop$round";
	my @pids = map { start(\&session, $_, $round, "$dir/$_", $internal) } 1 .. $sessions;
	my $disturber = $internal ? undef : start(\&disturber, $round, $until);
	my @wrong;
	for my $pid (@pids)
	{
		waitpid $pid, 0;
		push @wrong, 'a session did not come to its end' if $?;
	}
	open my $stop, '>', $until or die $!;
	close $stop;
	waitpid $disturber, 0 if $disturber;
	for my $result (map { Storable::retrieve("$dir/$_") } grep { -e "$dir/$_" } 1 .. $sessions)
	{
		$called{$_} += $result->{counts}{$_} for keys %{ $result->{counts} };
		$failed{$_} += $result->{codes}{$_} for keys %{ $result->{codes} };
		push @wrong, @{ $result->{surprises} };
	}
	push @wrong, 'the server crashed' unless $watch->ping;
	my $check = $watch = connect_as();
	$check->do("ROLLBACK PREPARED '$_'") for map { @$_ } @{ $check->selectall_arrayref('SELECT gid FROM pg_prepared_xacts WHERE database = current_database()') };

	# a session that was terminated may be about to end
	for (1 .. 100)
	{
		last unless one($check, q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fuzz' AND datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND usename IN ('shop', 'authenticator')});
		sleep 0.05;
	}
	return @wrong if $internal;
	my $books = one($check, q{SELECT string_agg(i::text, E'\n') FROM commerce.check_invariants() i});
	push @wrong, "the books: $books" if defined $books;
	my $counters = one($check, q{
		SELECT string_agg(e::text, E'\n') FROM commerce.escrow e WHERE in_flight <> 0 OR pins <> 0 OR waiters <> 0
			OR kind = 'stock' AND available <> commerce.available_stock(resource_id)});
	push @wrong, "counters: $counters" if defined $counters;
	return @wrong;
}

sub keep_log
{
	my ($round) = @_;
	return unless $ENV{FUZZ_LOG};
	mkdir $ENV{FUZZ_LOG};
	system 'cp', "$dir/$_.sql", "$ENV{FUZZ_LOG}/round$round.session$_.sql" for 1 .. $sessions;
	return;
}

my $end = time + $seconds;
my $told = time;
my $round = 0;
while (($round < 3 || time < $end) && @unexpected < 20)
{
	my @wrong = round(++$round, 0);
	push @unexpected, map { "round $round: $_" } @wrong;
	keep_log($round) if @wrong;
	next if time < $told + 30;
	$told = time;
	printf STDERR "# fuzz: round %d, %d calls, %d succeeded, %d s to go\n", $round,
	  sum0(map { $called{$_} } grep { !/^\(/ } keys %called), $called{'(succeeded)'}, $end - time;
}
my $calls = sum0(map { $called{$_} } grep { !/^\(/ } keys %called);
diag "repeat it with FUZZ_SEED=$seed FUZZ_SESSIONS=$sessions; what was called is in FUZZ_LOG" if @unexpected;
is_deeply(\@unexpected, [], "$round rounds leave the books right, and nobody met an error that is not to be expected");
is_deeply([ grep { !$called{$_} } map { "$_->{schema}.$_->{name}" } @functions, @endpoints ], [], 'every function of the contract was called');
cmp_ok($called{'(succeeded)'}, '>', $calls / 20, 'many calls succeeded');
note "seed $seed: $calls calls, $called{'(succeeded)'} succeeded, ", $called{'(prepared)'} // 0, ' prepared; errors: ', join ', ', map { "$_ $failed{$_}" } sort keys %failed;

is_deeply([ round(++$round, 1) ], [], 'functions that are not for callers do not crash');
ok(eval { one(connect_as(), 'SELECT 1') }, 'the server is there');
done_testing();
