# Every example of every page is run, as the role that its reader has, or is marked as one that cannot be.
#
# A block of a page is one of these:
#   sql                     run here, one after the other, in a database of the page's own; "sql again" twice
#   LANGUAGE NAME           run by the test that has NAME in it
#   text                    what the block before it prints
#   mermaid                 a picture
#   ini                     settings: of PostgreSQL they are looked up here, others are given to their program by a test
#   json                    is JSON
#   sh, js                  %elsewhere says which test runs them
# after <!-- not run: why --> it is an example that cannot be run.

use strict;
use warnings;
use utf8;
use DBI;
use File::Temp qw(tempdir);
use JSON::PP ();
use Test::More;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $dir = tempdir(CLEANUP => 1);
my $db = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, pg_enable_utf8 => 1 });
$db->do('SET client_min_messages = warning');

# who reads a page: a programmer of the shop's application, for whom grant_app() is, or the one who runs the server
my %superusers = map { $_ => 1 } qw(configuration.md operations.md identity.md monitoring.md escrow.md relay.md debezium.md);
my %parts_of_superusers = map { $_ => 1 } ('REST', 'Cells', 'Operation', 'Delivery by commerce-relay');

# what a page takes for granted
my %before = (
	'reference.md' => 'CREATE ROLE web_anon; CREATE ROLE web_buyer; CREATE ROLE web_seller; CREATE ROLE web_admin; CREATE ROLE authenticator; CREATE ROLE mover;
		ALTER DATABASE examples_reference_md SET client_min_messages = error',
	'operations.md' => 'CREATE TABLE public.reviews (product_id bigint)',
	'consumer.md' => q{SELECT commerce.charge_balance(commerce.create_user('Kim'), 1000 * n) FROM generate_series(1, 3) n});

# what has to be so afterwards
my %after = (
	'consumer.md' => [ 'SELECT sum(won), count(*) FROM total_charged' => [ 6000, 3 ] ],
	'import.md' => [ 'SELECT count(*), sum(payment_amount) FROM commerce.orders' => [ 1, 17500 ] ]);

# tests that take blocks of a language, or all, out of a page
my %elsewhere = (
	'clients.md' => 'test/clients/drivers.pl',
	'identity.md ini' => 'test/http/identity.test.mjs', 'relay.md ini' => 'test/t/040_relay_http.pl', 'README.md sh' => 'test/http/examples.test.mjs',
	'rest.md sh' => 'test/http/examples.test.mjs', 'rest.md js' => 'test/http/examples.test.mjs',
	'examples/payment/README.md sh' => 'test/clients/payment.pl', 'examples/storefront/README.md http' => 'test/http/storefront.test.mjs');

sub slurp
{
	my ($file) = @_;
	open my $fh, '<:encoding(UTF-8)', $file or die "$file: $!";
	local $/ = undef;
	return scalar <$fh>;
}

# The blocks of a page: { line, language, name, text, part, reason }
sub blocks
{
	my ($file) = @_;
	my (@found, $block, $indent, $part, $reason);
	my $number = 0;
	for my $line (split /^/m, slurp($file))
	{
		$number++;
		if ($line =~ /^( *)```(\S*) ?(.*)$/)
		{
			if ($block) { push @found, $block; undef $block }
			else { $indent = $1; $block = { line => $number, language => $2, name => $3, text => '', part => $part, reason => $reason } }
			undef $reason;
		}
		elsif ($block) { $block->{text} .= $line =~ s/^$indent//r }
		elsif ($line =~ /^ *<!-- not run: (.+) -->$/) { $reason = $1 }
		elsif ($line =~ /^## (.*)$/) { $part = $1 }
	}
	die "$file: a block is open" if $block;
	return @found;
}

# Runs a block in a session of its own; returns whether it got to its end, and what it printed.
sub run_sql
{
	my ($database, $user, $sql) = @_;
	open my $script, '>:encoding(UTF-8)', "$dir/script.sql" or die $!;
	print {$script} $sql;
	close $script or die $!;
	my @as = defined $user ? ('-U', $user) : ();
	open my $psql, '-|:encoding(UTF-8)', "psql -Xq -P footer=off -P pager=off -v ON_ERROR_STOP=1 @as -d $database -f $dir/script.sql 2>&1" or die $!;
	my $output = do { local $/ = undef; <$psql> } // '';
	my $done = close $psql;
	return ($done, $output =~ s/[ \t]+$//mgr =~ s/\s+\z//r);
}

my $tests = join "\n", map { slurp($_) } glob('test/t/*.pl test/http/*.mjs test/perl/*.pm test/torture/*.pl');
my %count = map { $_ => 0 } qw(run elsewhere pictures outputs not_run);
$db->do('CREATE ROLE examples_app LOGIN');

# Runs the sql of a page.
sub run_page
{
	my ($page, @blocks) = @_;
	my $name = 'examples_' . lc $page =~ s/\W/_/gr;
	# a page about installing begins without the extension
	my $new = grep { $_->{language} eq 'sql' && $_->{text} =~ /^CREATE EXTENSION commerce;/m && $_->{name} eq '' } @blocks;
	$db->do("CREATE DATABASE $name" . ($new ? '' : ' TEMPLATE commerce_template'));
	my $own = DBI->connect("dbi:Pg:dbname=$name", undef, undef, { RaiseError => 1, PrintError => 0 });
	$own->do(q{SET client_min_messages = warning});
	$own->do(q{SELECT commerce.grant_app('examples_app')}) unless $new;
	# what a consumer keeps is its own
	$own->do('GRANT CREATE ON SCHEMA public TO examples_app');
	# roles are the whole server's, which may have some of these names
	my @roles = join("\n", $before{$page} // '', map { $_->{text} } @blocks) =~ /CREATE ROLE (\w+)/g;
	my $here = sub
	{
		my ($sql) = @_;
		for my $role (@roles) { $sql =~ s/((?:ROLE|TO) )$role\b/$1examples_$role/g; $sql =~ s/'$role'/'examples_$role'/g }
		return $sql;
	};
	$own->do($here->($before{$page})) if defined $before{$page};
	while (my $block = shift @blocks)
	{
		next if $block->{language} ne 'sql' || $block->{name} !~ /^(again)?$/ || defined $block->{reason};
		my $superuser = $new || $superusers{$page} || defined $block->{part} && $parts_of_superusers{ $block->{part} } || $block->{text} =~ /^CREATE ROLE/m;
		$block->{text} = $here->($block->{text}) =~ s/DATABASE shop\b/DATABASE $name/gr;
		run_sql($name, $superuser ? undef : 'examples_app', $block->{text}) if $block->{name} eq 'again';
		my ($done, $output) = run_sql($name, $superuser ? undef : 'examples_app', $block->{text});
		ok($done, "$page, line $block->{line}: runs") or diag $output;
		$count{run}++;
		# a table that follows is what it prints
		is($output, $blocks[0]{text} =~ s/\s+\z//r, "$page, line $block->{line}: prints what stands there")
		  if @blocks && $blocks[0]{language} eq 'text' && $page =~ /^(reference|README)\.md$/;
	}
	is_deeply([ $own->selectrow_array($after{$page}[0]) ], $after{$page}[1], "$page: did what it says") if $after{$page};
	is_deeply($own->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], "$page: the books are right");
	$own->disconnect;
	$db->do("DROP DATABASE $name");
	$db->do("DROP ROLE $_") for grep { $_ ne 'examples_app' } @{ $db->selectcol_arrayref(q{SELECT rolname FROM pg_roles WHERE rolname LIKE 'examples\_%'}) };
	return;
}

my @not_run;
for my $file ('README.md', glob 'docs/*.md deploy/*.md examples/*/*.md')
{
	my $page = $file =~ s{^docs/}{}r;
	my @blocks = blocks($file);
	for my $block (@blocks)
	{
		my $where = "$page, line $block->{line}";
		if (defined $block->{reason}) { push @not_run, "$where: $block->{reason}" }
		elsif ($block->{language} eq 'mermaid') { $count{pictures}++ }
		elsif ($block->{language} eq 'text') { $count{outputs}++ }
		elsif (defined $elsewhere{$page}) { like(slurp($elsewhere{$page}), qr/\Q$page\E/, "$where: $elsewhere{$page} reads it"); $count{elsewhere}++ }
		elsif ($block->{name} !~ /^(again)?$/) { like($tests, qr/\Q$block->{name}\E/, "$where: a test runs $block->{name}"); $count{elsewhere}++ }
		elsif ($block->{language} eq 'sql') { }
		elsif ($block->{language} eq 'json') { ok(eval { JSON::PP->new->decode($block->{text}); 1 }, "$where: is JSON"); $count{run}++ }
		elsif ($block->{language} eq 'ini' && $block->{text} =~ /^shared_preload_libraries/)
		{
			for my $setting ($block->{text} =~ /^(\w[\w.]*) *=/mg)
			{
				is($db->selectrow_array('SELECT count(*) FROM pg_settings WHERE name = $1', undef, $setting), 1, "$where: $setting is a setting");
			}
			$count{run}++;
		}
		else
		{
			my $test = $elsewhere{"$page $block->{language}"};
			ok(defined $test, "$where: a block of '$block->{language}' is run somewhere, or marked") or next;
			like(slurp($test), qr/\Q$page\E/, "$where: $test reads it");
			$count{elsewhere}++;
		}
	}
	# docs.pl compares what the walk prints
	run_page($page, @blocks) if $page !~ /^(walkthrough|clients)\.md$/ && grep { $_->{language} eq 'sql' && $_->{name} =~ /^(again)?$/ && !defined $_->{reason} } @blocks;
}
note 'Not run: ', $_ for @not_run;
cmp_ok(scalar @not_run, '<=', 40, 'few cannot be run');
note "$count{run} run here, $count{elsewhere} elsewhere, $count{outputs} are outputs, $count{pictures} pictures, ", scalar @not_run, ' not run';
$db->do('DROP OWNED BY examples_app');
$db->do('DROP ROLE examples_app');
done_testing;
