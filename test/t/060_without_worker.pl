# Where the library is not preloaded there is no worker that folds: those who
# order and claim keep the journals short themselves.

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
	SELECT commerce.create_product(NULL, 'Cup', 10, 1200);
	SELECT commerce.create_coupon('Welcome', 'FIXED', 10, 1200, valid_days => 1);
	SELECT count(commerce.create_user('U', i || '@example.com')) FROM generate_series(1, 1200) i;
	SELECT commerce.charge_balance(1, 100000);

	CREATE PROCEDURE buy_and_claim(first int, last int) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN first .. last LOOP
			PERFORM commerce.place_order(1, '[{"product_id": 1, "quantity": 1}]');
			PERFORM commerce.claim_coupon(i, 1);
			COMMIT;
		END LOOP;
	END $$;
});

sub query { return $node->safe_psql('postgres', $_[0]) }

sub unfolded
{
	return split /\|/, query(q{
		SELECT (SELECT count(*) FROM commerce.stock_entries e JOIN commerce_private.stock s USING (product_id) WHERE e.xid >= s.mark),
			   (SELECT count(*) FROM commerce.coupon_issues i JOIN commerce_private.coupon_quota q USING (coupon_id) WHERE i.xid >= q.mark)});
}

# An old transaction keeps everything from being folded; orders go on.
my $old = DBI->connect('dbi:Pg:' . $node->connstr('postgres') =~ s/ /;/gr, undef, undef, { RaiseError => 1 });
$old->begin_work;
$old->do('SELECT pg_current_xact_id()');
query('CALL buy_and_claim(1, 600)');
is(join(',', unfolded()), '600,600', 'nothing is folded that an old transaction may have written before');
$old->rollback;

query('CALL buy_and_claim(601, 1199)');
my ($entries, $issues) = unfolded();
cmp_ok($entries, '<', 600, 'orders fold the journal of stock when it has grown long');
cmp_ok($issues, '<', 600, 'claims fold that of quota');
is(query('SELECT * FROM commerce.check_invariants()'), '', 'the books are right');

query('CALL buy_and_claim(1200, 1200)');
is(query(q{SELECT commerce.available_stock(1), remaining FROM commerce.coupon_list}), '0|0', 'all is sold');
my ($code, undef, $error) = $node->psql('postgres', q{SELECT commerce.place_order(1, '[{"product_id": 1, "quantity": 1}]')});
like($error, qr/not enough stock/, 'and no more');
query('SELECT commerce.fold()');
is(query(q{SELECT count(*) FROM commerce.outbox WHERE type = 'StockDepleted'}), '1', 'that the stock has run out is told once');
is(join(',', unfolded()), '0,0', 'the rest is folded by fold()');
is(query('SELECT * FROM commerce.check_invariants()'), '', 'the books are right');

done_testing();
