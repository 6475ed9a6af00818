# docs/dumps.md, done as it says: a shop with columns, an index, a trigger, a policy, a publication and settings of somebody's
# own, and with an archive, is dumped and restored, and everything is there.

use strict;
use warnings;
use File::Temp;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $page = slurp_file('docs/dumps.md');
my %commands = $page =~ /^```sh (\w+)\n(.*?)^```$/msg;
is(join(' ', sort keys %commands), 'dump restore verify', 'the page says what to do');

my %node;
for my $name (qw(old new))
{
	my $node = $node{$name} = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'commerce'});
	$node->start;
	$node->safe_psql('postgres', 'CREATE ROLE clerk; CREATE ROLE api_anon; CREATE ROLE api_buyer; CREATE ROLE api_seller; CREATE ROLE api_admin; CREATE ROLE authenticator');
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
}
my ($old, $new) = @node{qw(old new)};
$old->safe_psql('shop', q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_user('U' || i, 'u' || i || '@example.com') FROM generate_series(1, 5) i;
	SELECT commerce.create_product(NULL, 'P', 1000, 100);
	SELECT commerce.charge_balance(u, 1000000, 'charge') FROM generate_series(1, 5) u;
	SELECT commerce.place_order(1 + n % 5, '[{"product_id":1,"quantity":1}]') FROM generate_series(1, 20) n;
	SELECT commerce.change_shipment_status((commerce.dispatch_items(ARRAY[id])).id, 'DELIVERED') FROM commerce.order_items WHERE id <= 10 ORDER BY id;
	SELECT commerce.change_item_status(id, 'CONFIRMED', 'BUYER') FROM commerce.order_items WHERE id <= 10 ORDER BY id;
	UPDATE commerce.orders SET created_at = created_at - interval '100 days', updated_at = updated_at - interval '100 days' WHERE id <= 10;
	ALTER DATABASE shop SET commerce.archive_after = '90d';
	ALTER ROLE clerk IN DATABASE shop SET commerce.language = 'ko';
});
$old->safe_psql('shop', q{CALL commerce_private.run_batches('archive')});
is($old->safe_psql('shop', 'SELECT count(*) FROM commerce_private.archived'), 10, 'there is an archive');
$old->safe_psql('shop', q{
	CREATE TABLE public.shelves (id int PRIMARY KEY, name text);
	INSERT INTO public.shelves VALUES (1, 'low');
	ALTER TABLE commerce.products ADD COLUMN shelf int DEFAULT 1 NOT NULL REFERENCES public.shelves;
	ALTER TABLE commerce.orders ADD COLUMN gift boolean, ADD COLUMN twice bigint GENERATED ALWAYS AS (payment_amount * 2) STORED;
	UPDATE commerce.orders SET gift = true WHERE id = 15;
	CREATE INDEX orders_gift ON commerce.orders (gift) WHERE gift;
	CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER note BEFORE UPDATE ON commerce.orders FOR EACH ROW EXECUTE FUNCTION public.note();
	CREATE POLICY clerk ON commerce.products FOR SELECT TO clerk USING (shelf = 1);
	ALTER TABLE commerce.products SET (autovacuum_vacuum_scale_factor = 0.05);
	CREATE PUBLICATION lake FOR TABLE commerce.orders (id, status, payment_amount), commerce.users;
	SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_admin');
});

my $folder = File::Temp->newdir;
sub follow
{
	my ($step) = @_;
	local $ENV{old} = $old->connstr('shop');
	local $ENV{new} = $new->connstr('shop');
	my $script = "$folder/$step";
	open my $file, '>', $script or die $!;
	print $file "set -eu\ncd $folder\n$commands{$step}";
	close $file;
	my $out = '';
	my $done = IPC::Run::run([ 'sh', $script ], '>', \$out, '2>', \my $err);
	ok($done, "$step: the commands succeed") or diag($err);
	return $out;
}

# What is there, in all tables and beside
my $facts = q{
	SELECT 'order', id::text, row(status, payment_amount, gift, twice)::text FROM commerce.orders
	UNION ALL SELECT 'archived', id::text, (to_jsonb(l) - 'archived_at')::text FROM commerce.all_order_list l
	UNION ALL SELECT 'product', id::text, shelf::text FROM commerce.products
	UNION ALL SELECT 'balance', id::text, balance::text FROM commerce.users
	UNION ALL SELECT 'warning', kind || object, detail FROM commerce.dump_warnings
	UNION ALL SELECT 'published', tablename, attnames::text FROM pg_publication_tables
	UNION ALL SELECT 'setting', 'archive_after', current_setting('commerce.archive_after')
	UNION ALL SELECT 'policies', polrelid::regclass::text, count(*)::text FROM pg_policy GROUP BY polrelid
	ORDER BY 1, 2, 3};
my $was = $old->safe_psql('shop', $facts);
follow('dump');
unlike(slurp_file("$folder/after.sql"), qr/commerce_api_\d/, 'policies of grant_api() are made by it');
follow('restore');
is(follow('verify'), '', 'verify: the books are in order, and no publication is empty');
is($new->safe_psql('shop', $facts), $was, 'all is there');
is($new->safe_psql('shop', q{SELECT count(*) FROM pg_trigger WHERE tgname = 'note' UNION ALL SELECT count(*) FROM pg_class WHERE relname = 'orders_gift'}), "1\n1", 'trigger and index, too');
$new->safe_psql('shop', q{SELECT commerce.place_order(1, '[{"product_id":1,"quantity":1}]')});
is($new->safe_psql('shop', 'SELECT * FROM commerce.check_invariants()'), '', 'the shop sells on');

done_testing();
