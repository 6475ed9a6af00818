# What the documents say is what the database does: the parts of docs/ that are
# made from the catalog and the tables are current, the statements of
# docs/walkthrough.md print what stands there, and every status and every event
# is in the documents that are about them.

use strict;
use warnings;
use utf8;
use DBI;
use Test::More;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

sub slurp
{
	my ($file) = @_;
	open my $fh, '<:encoding(UTF-8)', $file or die "$file: $!";
	local $/ = undef;
	return scalar <$fh>;
}

my $db = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0 });

my $states = slurp('docs/states.md');
for my $type (qw(order_item_status order_status payment_status coupon_issue_status))
{
	my $labels = $db->selectcol_arrayref('SELECT enumlabel FROM pg_enum WHERE enumtypid = $1::regtype', undef, "commerce.$type");
	is_deeply([ grep { $states !~ /^ +(\Q$_\E --> |\S+ --> \Q$_\E\b)/m } @$labels ], [], "docs/states.md draws every $type");
}

# every type of event that the sources write
my %written;
for my $file (glob('src/*.c src/*/*.c'), glob('sql/install/*/*.sql'))
{
	my $text = slurp($file);
	$written{$_} = 1 for $text =~ /["']((?:User|Seller|Balance|Charge|Product|Promotion|Order|Shipment|Payment|Refund|Delivery|Coupon|Conversion|Stock)\w*(?:ed|Alert))["']/g;
}
cmp_ok(scalar keys %written, '>', 15, 'the sources write events');
my $events = slurp('docs/events.md');
is_deeply([ grep { $events !~ /`$_`/ } sort keys %written ], [], 'docs/events.md has every event that is written');
is_deeply([ grep { !$written{$_} } $events =~ /`([A-Z][a-z]+[A-Z]\w+)`/g ], [], 'and no other');

# what a newcomer meets first
my $errors = slurp('docs/errors.md');
$db->do('CREATE ROLE docs_newcomer LOGIN');
for (
	[ 'template1', 'SELECT commerce.create_user($$Kim$$)', 'schema "commerce" does not exist' ],
	[ 'template1', 'CREATE EXTENSION commerce', 'permission denied to create extension "commerce"' ],
	[ $ENV{PGDATABASE}, 'SELECT commerce.create_user($$Kim$$)', 'permission denied for schema commerce' ])
{
	my ($database, $call, $message) = @$_;
	my $his = DBI->connect("dbi:Pg:dbname=$database", 'docs_newcomer', undef, { RaiseError => 1, PrintError => 0 });
	ok(!eval { $his->do($call) }, "$call is refused");
	like($@, qr/\Q$message\E/, 'as docs/errors.md says');
	ok(index($errors, "| `$message` |") > 0, 'and says what to do');
}
$db->do('DROP ROLE docs_newcomer');

open my $fh, '-|:encoding(UTF-8)', 'scripts/generate-docs --check 2>&1' or die $!;
my $output = do { local $/ = undef; <$fh> };
ok(close $fh, 'docs/ is current') or diag $output;
done_testing;
