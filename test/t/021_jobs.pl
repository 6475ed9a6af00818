# Periodic jobs with pg_cron: put in place once, run at the next minute, seen in job_status, one at a time.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('jobs');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'pg_cron'
cron.database_name = 'shop'
cron.use_background_workers = on
max_worker_processes = 20
});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('postgres', 'CREATE DATABASE other');

# Not in its database, and not created
for my $database (qw(shop other))
{
	$node->safe_psql($database, 'CREATE EXTENSION commerce');
	my (undef, undef, $err) = $node->psql($database, 'SELECT commerce.schedule_jobs()');
	like($err, qr/ERROR:  extension pg_cron is not installed in database "$database"/, "$database: what is missing is said");
	like($err, $database eq 'shop' ? qr/HINT:  Run CREATE EXTENSION pg_cron/ : qr/HINT:  pg_cron serves database "shop"/, "$database: with what to do");
}

$node->safe_psql('shop', 'CREATE EXTENSION pg_cron');
my $jobs = $node->safe_psql('shop', 'SELECT count(*) FROM commerce_private.jobs');
is($node->safe_psql('shop', 'SELECT commerce.schedule_jobs()'), $jobs, 'all jobs are scheduled');
is($node->safe_psql('shop', 'SELECT commerce.schedule_jobs()'), $jobs, 'and again');
is($node->safe_psql('shop', 'SELECT count(*) FROM cron.job'), $jobs, 'which schedules none twice');
is($node->safe_psql('shop', q{SELECT count(*) FROM cron.job WHERE database = 'shop' AND active AND command LIKE 'CALL commerce_private.run_batches(%)'}), $jobs,
	'in this database, as jobs of the table');
$node->safe_psql('shop', q{UPDATE cron.job SET schedule = '0 0 1 1 *' WHERE jobname = 'commerce fold'});
$node->safe_psql('shop', 'SELECT commerce.schedule_jobs()');
is($node->safe_psql('shop', q{SELECT schedule FROM cron.job WHERE jobname = 'commerce fold'}), '* * * * *', 'scheduling puts right what was changed');

# A sale, and a coupon past its time
$node->safe_psql('shop', q{
	SELECT commerce.create_user('Kim', 'kim@example.com');
	SELECT commerce.create_product(NULL, 'cup', 0, 10);
	SELECT commerce.place_order(1, '[{"product_id":1,"quantity":3}]');
	SELECT commerce.create_coupon('c', 'FIXED', 1, 1, valid_days => 1);
	SELECT commerce.claim_coupon(1, 1);
	UPDATE commerce.coupon_issues SET expires_at = now()});
ok($node->poll_query_until('shop', q{
	SELECT count(*) = 3 FROM commerce.job_status
	WHERE name IN ('popular-products', 'expire-coupons', 'fold') AND last_finished_at IS NOT NULL AND failures = 0 AND last_error IS NULL}),
	'pg_cron runs the jobs');
is($node->safe_psql('shop', 'SELECT name, units_sold FROM commerce.popular_products()'), 'cup|3', 'best sellers are counted');
is($node->safe_psql('shop', 'SELECT status FROM commerce.coupon_issues'), 'EXPIRED', 'overdue coupons are marked');

# A job that runs is not run beside itself: the second is skipped at once
my $first = $node->background_psql('shop');
$first->query_safe('BEGIN');
$first->query_safe(q{SELECT commerce_private.run_job('fold')});
is($node->safe_psql('shop', q{SET statement_timeout = '60s'; SELECT commerce_private.run_job('fold') IS NULL}), 't', 'a job that is running is skipped');
isnt($node->safe_psql('shop', q{SELECT commerce_private.run_job('expire-coupons')}), '', 'others run');
$first->query_safe('COMMIT');
$first->quit;

is($node->safe_psql('shop', 'SELECT commerce.unschedule_jobs()'), $jobs, 'all jobs are taken out');
is($node->safe_psql('shop', 'SELECT commerce.unschedule_jobs()'), 0, 'once');
is($node->safe_psql('shop', 'SELECT count(*) FROM cron.job'), 0, 'none is left');
is($node->safe_psql('shop', 'SELECT * FROM commerce.check_invariants()'), '', 'the books are in order');

$node->stop;
done_testing();
