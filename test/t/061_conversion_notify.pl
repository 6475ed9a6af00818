# Who listens hears of a conversion alert, once.

use strict;
use warnings;
use DBI;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_user('Kim', 'kim@example.com');
	-- 60 sheets in each window of the last hours, none of which became an order
	INSERT INTO commerce.order_sheets (user_id, coupon_issue_ids, items_total, item_discount_total, order_discount,
		shipping_discount, shipping_total, payment_amount, created_at, expires_at)
	SELECT 1, '{}', 0, 0, 0, 0, 0, 0, at, at + interval '15 minutes'
	FROM generate_series(now() - interval '3 hours', now() - interval '15 minutes', interval '10 seconds') at;
});

my $db = DBI->connect('dbi:Pg:' . $node->connstr('postgres') =~ s/ /;/gr, undef, undef, { RaiseError => 1 });
$db->do('LISTEN commerce_conversion_alert');
is($db->pg_notifies, undef, 'nothing is heard before');

$db->do('SELECT commerce.check_conversion()');
my $notification = $db->pg_notifies;
is($notification->[0], 'commerce_conversion_alert', 'an alert is heard');
is($notification->[2], '', 'it says nothing to those who may not read the event');
is($db->selectrow_array(q{SELECT count(*) FROM commerce.outbox WHERE type = 'ConversionAlert'}), 1, 'which is there');
is($db->pg_notifies, undef, 'and only once for all the windows');

$db->do('SELECT commerce.check_conversion()');
is($db->pg_notifies, undef, 'nor again when nothing has changed');

done_testing();
