# deploy/monitoring/: what metrics() says comes to Prometheus through both exporters, by the role of grant_monitor();
# alerts fire; and the log tells of the workers.

use strict;
use warnings;
use EscrowClients qw(make_shop wait_until);
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = 'deploy/monitoring';

sub program
{
	my ($name) = @_;
	my ($path) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH};
	return $path;
}

my $node = PostgreSQL::Test::Cluster->new('monitoring');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'commerce'
commerce.maintenance_interval = 200
});
$node->start;
make_shop($node, stock => [ 10, 10 ], quota => [5]);
$node->safe_psql('postgres', q{
	CREATE ROLE monitor LOGIN;
	SELECT commerce.grant_monitor('monitor');
	SELECT commerce.subscribe('mail', from_start => true);
	SELECT commerce.charge_balance(1, 100000);
	SELECT commerce.place_order(1, '[{"product_id": 1, "quantity": 2}]');
	SELECT commerce_private.run_job('purge-order-sheets');
});
$node->psql('postgres', q{SELECT commerce.place_order(1, '[{"product_id": 1, "quantity": 11}]')}) for 1 .. 3;

# What was asked as the monitoring role.
sub metrics
{
	my %value;
	for (split /\n/, $node->safe_psql('postgres', q{SELECT name || coalesce((SELECT '{' || string_agg(format('%s="%s"', key, value), ',') || '}'
			FROM jsonb_each_text(labels)), ''), value FROM commerce.metrics()}, extra_params => [ -U => 'monitor', '-F' => "\t" ]))
	{
		my ($metric, $value) = split /\t/;
		$value{$metric} = $value;
	}
	return %value;
}
wait_until(sub { my %m = metrics(); ($m{commerce_last_fold_timestamp_seconds} // 0) > time - 60 }, 'a fold');
my %metrics = metrics();
is($metrics{commerce_worker_up}, 1, 'the worker is up');
is($metrics{'commerce_refusals_total{code="STOCK_NOT_ENOUGH"}'}, 3, 'refusals are counted by their code');
is($metrics{'commerce_orders_of_five_minutes{status="PAID"}'}, 1, 'orders by their status');
is($metrics{'commerce_job_last_rows{task="purge-order-sheets"}'}, 0, 'jobs');
cmp_ok($metrics{'commerce_subscription_lag_events{subscription="mail"}'}, '>', 4, 'and events that wait');
my %names = map { s/\{.*//r => 1 } keys %metrics;
# those of cells, which a shop of one does not have (090_cells.pl has their values)
my %of_cells = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', q{SELECT DISTINCT (regexp_matches(prosrc, $$'(commerce_\w+_\w+)'$$, 'g'))[1] FROM pg_proc WHERE proname = 'metrics_of_cells'});
cmp_ok(scalar keys %of_cells, '>', 5, 'there are metrics of cells');
is_deeply([ grep { $names{$_} } keys %of_cells ], [], 'but not in a shop of one');
my $exported = slurp_file("$folder/postgres_exporter.yml");
is_deeply([ grep { $exported !~ /'$_'/ } sort keys %of_cells ], [], 'prometheus-postgres-exporter asks for them');

# The values of what an exporter answers.
sub scrape
{
	my ($port, $what) = @_;
	my $answer;
	wait_until(sub
	{
		$answer = HTTP::Tiny->new(timeout => 10)->get("http://127.0.0.1:$port/metrics");
		$answer->{success} && $answer->{content} =~ /^(sql_)?commerce.*mail/m;
	}, "what $what has to say");
	return map { /^(\S+) (\S+)$/ ? ($1 => $2) : () } split /\n/, $answer->{content};
}

sub start_exporter
{
	my ($environment, @command) = @_;
	my $log = "$PostgreSQL::Test::Utils::log_path/" . ($command[0] =~ s{.*/}{}r) . '.log';
	local %ENV = (%ENV, %$environment);
	return IPC::Run::start(\@command, '<', \undef, '>&', $log);
}

# What changes from one question to the next.
my $changes = qr/seconds|lag_events|horizon|escrow_|outbox_bytes/;

SKIP:
{
	my $exporter = program('prometheus-postgres-exporter') or skip 'there is no prometheus-postgres-exporter', 1;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $run = start_exporter({ DATA_SOURCE_NAME => 'user=monitor dbname=postgres sslmode=disable host=' . $node->host . ' port=' . $node->port },
		$exporter, "--extend.query-path=$folder/postgres_exporter.yml", "--web.listen-address=127.0.0.1:$port",
		'--disable-default-metrics', '--disable-settings-metrics');
	my %got = scrape($port, 'prometheus-postgres-exporter');
	# it adds a label of its own
	%got = map { s/,server="[^"]*"|server="[^"]*",?//r =~ s/\{\}//r => $got{$_} } keys %got;
	is_deeply([ grep { !exists $got{$_} } sort keys %metrics ], [], 'prometheus-postgres-exporter has every metric');
	is_deeply({ map { $_ => $got{$_} + 0 } grep { !/$changes/ } keys %metrics },
		{ map { $_ => $metrics{$_} + 0 } grep { !/$changes/ } keys %metrics }, 'with its value');
	$run->signal('TERM');
	$run->finish;
}

SKIP:
{
	my $exporter = program('prometheus-sql-exporter') or skip 'there is no prometheus-sql-exporter', 1;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $config = "$PostgreSQL::Test::Utils::tmp_check/sql_exporter.yml";
	my $connection = 'postgres://monitor@/postgres?sslmode=disable';
	append_to_file($config, slurp_file("$folder/sql_exporter.yml") =~ s{postgres://\S+}{$connection}r =~ s{interval: \S+}{interval: 1s}r);
	my $run = start_exporter({ CONFIG => $config, PGHOST => $node->host, PGPORT => $node->port }, $exporter, "-web.listen-address=127.0.0.1:$port");
	my %got = scrape($port, 'prometheus-sql-exporter');
	my %seen = map { /name="(commerce_\w+)"/ ? ($1 => 1) : () } keys %got;
	is_deeply(\%seen, \%names, 'prometheus-sql-exporter has every metric');
	$run->signal('TERM');
	$run->finish;
}

# The names that are alerted on and drawn are those that there are.
my $dashboard = decode_json(slurp_file("$folder/dashboard.json"));
my @drawn = map { $_->{expr} } map { @{ $_->{targets} } } @{ $dashboard->{panels} };
my $alerts = slurp_file("$folder/alerts.yml");
for ([ 'alerts.yml', $alerts ], [ 'dashboard.json', "@drawn" ])
{
	my ($file, $text) = @$_;
	is_deeply([ grep { !$names{$_} && !$of_cells{$_} } $text =~ /\b(commerce_\w+)/g ], [], "$file knows only what there is");
}

SKIP:
{
	program('promtool') or skip 'there is no promtool', 1;
	command_ok([ 'promtool', 'check', 'config', "$folder/prometheus.yml" ], 'promtool accepts prometheus.yml and alerts.yml');
	my $rules = "$PostgreSQL::Test::Utils::tmp_check/drawn.yml";
	append_to_file($rules, encode_json({ groups => [ { name => 'drawn', rules => [ map { { record => "drawn:$_", expr => $drawn[$_] } } 0 .. $#drawn ] } ] }));
	command_ok([ 'promtool', 'check', 'rules', $rules ], 'and what the dashboard draws');

	# the metrics as they are now, but for those of the alert: it fires, and nothing else does
	my @tests;
	for (
		[ CommerceNoWorker => [ 'commerce_worker_up 0' ] ],
		[ CommerceRebasing => [ 'commerce_rebasing 1' ] ],
		[ CommerceHorizonHeld => [ 'commerce_horizon_age_seconds 301' ] ],
		[ CommerceFoldLate => [ 'commerce_last_fold_timestamp_seconds -1000', 'commerce_orders_of_five_minutes 4' ] ],
		[ CommerceJobOverdue => [ 'commerce_job_overdue{task="x"} 1' ] ],
		[ CommerceSubscriptionBehind => [ 'commerce_subscription_lag_seconds{subscription="x"} 400', 'commerce_subscription_paused{subscription="x"} 0' ] ],
		[ CommerceDeadLetters => [ 'commerce_subscription_dead_letters{subscription="x"} 1' ] ],
		[ CommercePaymentsWait => [ 'commerce_waiting_count{kind="FAILED_REFUNDS"} 1' ] ],
		[ CommerceCatalogueLate => [ 'commerce_catalogue_up 0' ] ],
		[ CommerceCatalogueLate => [ 'commerce_catalogue_up 1', 'commerce_catalogue_silent_seconds 121' ] ],
		[ CommerceCatalogueSlotBehind => [ 'commerce_catalogue_slot_lost{slot="x"} 1' ] ],
		[ CommerceCatalogueSlotBehind => [ 'commerce_catalogue_slot_lost{slot="x"} 0', 'commerce_catalogue_slot_lag_bytes{slot="x"} 2000000000' ] ],
		[ CommerceTransfersOpen => [ 'commerce_open_transfers_oldest_seconds 301' ] ],
		[ undef, [ 'commerce_catalogue_up 1', 'commerce_catalogue_silent_seconds 30', 'commerce_catalogue_errors_total 3', 'commerce_catalogue_slot_lost{slot="x"} 0',
			'commerce_catalogue_slot_lag_bytes{slot="x"} 9000', 'commerce_open_transfers_oldest_seconds 9' ] ],
		[ undef, [ 'commerce_worker_up 1', 'commerce_waiting_count{kind="RETURNS"} 3', 'commerce_subscription_paused{subscription="x"} 0' ] ])
	{
		my ($alert, $series) = @$_;
		push @tests, { interval => '1m',
			input_series => [ map { my ($name, $value) = split; { series => $name, values => "$value+0x30" } } @$series, 'commerce_era 1' ],
			# promtool looks at the named alert alone
			alert_rule_test => [ map { { eval_time => '20m', alertname => $_,
				exp_alerts => [] } } grep { $_ ne ($alert // '') } $alerts =~ /- alert: (\w+)/g ],
			($alert ? (promql_expr_test => [ { expr => qq{count(ALERTS{alertname="$alert",alertstate="firing"})}, eval_time => '20m',
				exp_samples => [ { labels => '{}', value => 1 } ] } ]) : ()) };
	}
	my $test = "$PostgreSQL::Test::Utils::tmp_check/alerts_test.yml";
	append_to_file($test, encode_json({ rule_files => [ File::Spec->rel2abs("$folder/alerts.yml") ], evaluation_interval => '1m', tests => \@tests }));
	command_ok([ 'promtool', 'test', 'rules', $test ], 'each alert fires when it should, and only then');
}

# The log
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET commerce.maintenance = off');
wait_until(sub { $node->safe_psql('postgres', 'SELECT commerce.adjust_stock(2, 1)'); metrics_say_down() }, 'the worker to keep out');
sub metrics_say_down { my %m = metrics(); return $m{commerce_worker_up} == 0 }
$node->stop;
my $log = slurp_file($node->logfile);
for my $line ('commerce maintenance launcher started', 'commerce maintenance works in database "postgres"',
	'commerce maintenance keeps out of database "postgres": commerce.maintenance is off', 'commerce maintenance launcher stops')
{
	like($log, qr/LOG:  \Q$line\E/, "the log says: $line");
}
unlike($log, qr/FATAL|PANIC/, 'and nothing fatal');

done_testing();
