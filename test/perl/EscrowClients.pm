# Clients that take, give, order, claim, cancel and write by hand, at random, and
# remember what became of each transaction; and the comparison of what they
# remember with what is in the tables.

package EscrowClients;

use strict;
use warnings;
use DBI;
use Exporter 'import';
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(connect_to make_shop run_clients start_clients stop_clients random_history check_books
  check_history wait_until sold_out);

# Errors after which a client goes on: 57014 is a statement timeout or a cancel.
my %expected = map { $_ => 1 } qw(SH001 SH004 SH005 SH009 SH429 40P01 40001 57014 55P03);

sub connect_to
{
	my ($node, $database) = @_;
	return DBI->connect('dbi:Pg:' . join(';', 'host=' . $node->host, 'port=' . $node->port, 'dbname=' . ($database // 'postgres')),
		undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 1, AutoInactiveDestroy => 1 });
}

sub wait_until
{
	my ($condition, $what) = @_;
	for (1 .. 1800)
	{
		return 1 if $condition->();
		sleep 0.1;
	}
	die 'waited in vain for ' . ($what // 'a condition');
}

# Users, products (each with so many units) and coupons (each with such a quota), in a database.
sub make_shop
{
	my ($node, %shop) = @_;
	my $db = connect_to($node, $shop{database});
	$db->do('CREATE EXTENSION IF NOT EXISTS commerce');
	$db->do(q{SELECT count(commerce.charge_balance(commerce.create_user('u' || i, 'u' || i || '@example.com'), 50000000))
			  FROM generate_series(1, $1::int) i}, undef, $shop{users} // 50);
	$db->do(q{SELECT commerce.create_product(NULL, 'product', 10, $1)}, undef, $_) for @{ $shop{stock} // [] };
	$db->do(q{SELECT commerce.create_coupon('coupon', 'FIXED', 1, $1, valid_days => 1)}, undef, $_)
	  for @{ $shop{quota} // [] };
	$db->disconnect;
	return;
}

# Starts n processes that call $code->($db, $number, $log, $node); log appends a record to the client's own file.
sub start_clients
{
	my ($node, $n, $code) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my @pids;
	for my $number (1 .. $n)
	{
		my $pid = fork // die "fork: $!";
		if ($pid == 0)
		{
			# the child runs no END blocks: those are the test's
			my $ok = eval {
				srand(1000 * $number + ($ENV{ESCROW_SEED} // 1));
				open my $fh, '>>', "$dir/$number" or die $!;
				$fh->autoflush(1);
				$code->(connect_to($node), $number, sub { print $fh encode_json($_[0]), "\n" }, $node, "$dir/stop");
				1;
			};
			print STDERR "client $number: $@\n" unless $ok;
			require POSIX;
			POSIX::_exit($ok ? 0 : 1);
		}
		push @pids, $pid;
	}
	return { dir => $dir, pids => \@pids };
}

# Waits for them to end, after asking them to unless told otherwise; returns the number that failed and
# their records.
sub stop_clients
{
	my ($clients, %how) = @_;
	unless ($how{let_them_finish})
	{
		open my $fh, '>', "$clients->{dir}/stop" or die $!;
		close $fh;
	}
	my $failed = 0;
	for my $pid (@{ $clients->{pids} })
	{
		waitpid $pid, 0;
		$failed++ if $?;
	}
	my @records;
	for my $file (glob "$clients->{dir}/[0-9]*")
	{
		open my $fh, '<', $file or die $!;
		push @records, map { decode_json($_) } <$fh>;
	}
	return ($failed, \@records);
}

sub run_clients
{
	my ($node, $n, $code) = @_;
	return stop_clients(start_clients($node, $n, $code), let_them_finish => 1);
}

# One step of a transaction; pushes what it did on @$done.
sub step
{
	my ($db, $number, $tag, $shop, $done) = @_;
	my $product = 1 + int rand $shop->{products};
	my $units = 1 + int rand($shop->{most} // 4);
	my $kind = rand;
	my $user = 1 + int rand $shop->{users};
	if ($kind < 0.30)
	{
		$db->do('SELECT commerce.adjust_stock($1, $2, $3)', undef, $product, -$units, $tag);
		push @$done, [ stock => $product, -$units, $tag ];
	}
	elsif ($kind < 0.45 && $product % 2 == 0)
	{
		$db->do('SELECT commerce.adjust_stock($1, $2, $3)', undef, $product, $units, $tag);
		push @$done, [ stock => $product, $units, $tag ];
	}
	elsif ($kind < 0.75)
	{
		my ($order) = $db->selectrow_array('SELECT (commerce.place_order($1, $2, idempotency_key => $3)).id',
			undef, $user, qq([{"product_id":$product,"quantity":$units}]), $tag);
		push @$done, [ order => $order, $user, $tag ];
		if (rand() < 0.3)
		{
			$db->do(q{SELECT commerce.cancel_order($1, 'ADMIN')}, undef, $order);
			push @$done, [ cancelled => $order ];
		}
	}
	elsif ($kind < 0.97 || !$shop->{by_hand})
	{
		my $coupon = 1 + int rand $shop->{coupons};
		$db->do('SELECT commerce.claim_coupon($1, $2)', undef, $user, $coupon);
		push @$done, [ claim => $user, $coupon ];
	}
	elsif ($product % 2 == 0)
	{
		$db->do(q{INSERT INTO commerce.stock_entries (product_id, delta, reason, note) VALUES ($1, $2, 'ADJUST', $3)},
			undef, $product, $units, $tag);
		push @$done, [ stock => $product, $units, $tag ];
	}
	return;
}

# Transactions of one to three steps, each perhaps in a savepoint that is perhaps rolled back, until told to
# stop or so many are done. A record has what was done and whether it was committed (1), not (0), or
# nobody knows (null).
sub random_history
{
	my (%shop) = @_;
	return sub {
		my ($db, $number, $log, $node, $stop) = @_;
		my $parent = getppid;
		for (my $n = 1; !-e $stop && getppid == $parent && $n <= ($shop{rounds} // 1e9); $n++)
		{
			my @done;
			my @undone;
			my $committing = 0;
			my $committed = eval {
				$db->begin_work;
				$db->do('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ') if rand() < 0.2;
				for my $step (1 .. 1 + int rand 3)
				{
					my $tag = "$$-$number-$n-$step";
					if (rand() < 0.4)
					{
						my @inner;
						$db->do('SAVEPOINT s');
						my $ok = eval { step($db, $number, $tag, \%shop, \@inner); 1 };
						die $@ if !$ok && !$expected{ $db->state };
						if ($ok && rand() < 0.5)
						{
							$db->do('RELEASE s');
							push @done, @inner;
						}
						else
						{
							$db->do('ROLLBACK TO s');
							push @undone, @inner;
						}
					}
					else
					{
						step($db, $number, $tag, \%shop, \@done);
					}
				}
				die "no\n" if rand() < 0.2;
				$committing = 1;
				$db->commit;
				1;
			};
			my ($error, $state) = ($@, $db->state // '');
			my $lost = !$committed && !(eval { $db->rollback; 1 } && $db->ping);
			# what is not expected is the test's own error
			die $error if !$committed && !$lost && $error ne "no\n" && !$expected{$state};
			$log->({
				done => \@done,
				undone => \@undone,
				committed => $committed ? 1 : $lost && $committing ? undef : 0
			});
			$db->{InactiveDestroy} = 1 if $lost;
			while ($lost && !-e $stop && getppid == $parent)
			{
				last if eval { $db = connect_to($node); 1 };
				sleep 0.05;
			}
			return if $lost && !$db->ping;
		}
		$db->disconnect;
		return;
	};
}

# Whether each thing that clients remember is there, or is not.
sub check_history
{
	my ($node, $records, $what) = @_;
	my $db = connect_to($node);
	my %entries = map { $_->[0] => $_ }
	  @{ $db->selectall_arrayref(q{SELECT note, product_id, delta FROM commerce.stock_entries WHERE note IS NOT NULL}) };
	my %orders = map { $_->[0] => $_->[1] }
	  @{ $db->selectall_arrayref(q{SELECT id, status FROM commerce.orders}) };
	my %claims = map { ("$_->[0] $_->[1]" => 1) }
	  @{ $db->selectall_arrayref(q{SELECT user_id, coupon_id FROM commerce.coupon_issues}) };
	my %claimed;
	my @wrong;
	my %count = (committed => 0, undone => 0, unknown => 0);

	my $present = sub {
		my ($kind, @what) = @{ $_[0] };
		return exists $entries{ $what[2] } && $entries{ $what[2] }[1] == $what[0] && $entries{ $what[2] }[2] == $what[1]
		  if $kind eq 'stock';
		return exists $orders{ $what[0] } if $kind eq 'order';
		return ($orders{ $what[0] } // '') =~ /^(CANCELLED|REFUNDED)$/ if $kind eq 'cancelled';
		return $claims{"$what[0] $what[1]"};
	};
	for my $record (@$records)
	{
		my @done = @{ $record->{done} };
		if (!defined $record->{committed})
		{
			# All or nothing: one thing that is nobody else's tells. A claim that is there may be another transaction's,
			# and so may an order: a crash may lose that a sequence was moved.
			my @own = grep { $_->[0] eq 'stock' } @done;
			my @sample = @own ? $own[0] : @done;
			$record->{committed} = @sample && !grep({ !$present->($_) } @sample) ? 1 : 0;
			$count{unknown}++;
		}
		$count{ $record->{committed} ? 'committed' : 'undone' }++;
	}

	# the id of an order that was undone may be given again
	my %ordered = map { $_->[1] => 1 } grep { $_->[0] eq 'order' } map { @{ $_->{done} } } grep { $_->{committed} } @$records;
	for my $record (@$records)
	{
		my @done = @{ $record->{done} };
		my ($should, $should_not) =
		  $record->{committed} ? (\@done, $record->{undone}) : ([], [ @done, @{ $record->{undone} } ]);
		$claimed{"$_->[1] $_->[2]"} = 1 for grep { $_->[0] eq 'claim' } @$should;
		push @wrong, 'lost: ' . encode_json($_) for grep { !$present->($_) } @$should;
		# somebody else may have claimed what was undone here
		push @wrong, 'should not be: ' . encode_json($_)
		  for grep { $_->[0] ne 'claim' && !($_->[0] eq 'order' && $ordered{ $_->[1] }) && $present->($_) } @$should_not;
	}
	push @wrong, "claimed by nobody: $_" for grep { !$claimed{$_} } keys %claims;
	is_deeply([ @wrong[ 0 .. ($#wrong > 9 ? 9 : $#wrong) ] ], [],
		"$what: $count{committed} transactions are there, $count{undone} are not, as the clients remember"
		  . ($count{unknown} ? "; $count{unknown} were found out" : ''));
	$db->disconnect;
	return;
}

# The invariants hold, and the counters say what the tables say.
sub check_books
{
	my ($node, $what, $database) = @_;
	my $db = connect_to($node, $database);
	my $rows = $db->selectall_arrayref(q{SELECT invariant, violations FROM commerce.check_invariants()});
	is_deeply($rows, [], "$what: the books are right");
	$rows = $db->selectall_arrayref(q{
		SELECT e.kind, e.resource_id, e.available, t.available, e.in_flight, e.pins, e.waiters
		FROM commerce.escrow e
		CROSS JOIN LATERAL (SELECT CASE e.kind WHEN 'stock' THEN (SELECT p.stock FROM commerce.product_list p WHERE p.id = e.resource_id)
							ELSE (SELECT c.remaining FROM commerce.coupon_list c WHERE c.id = e.resource_id) END) t (available)
		WHERE e.in_flight <> 0 OR e.pins <> 0 OR e.waiters <> 0 OR e.available <> t.available});
	is_deeply($rows, [], "$what: the counters are what the tables say, and nothing is in flight");
	$db->disconnect;
	return;
}

# Takes one unit of product 1 at a time, some of which it gives back by rolling back, until told that it is
# sold out. One who is told so while a unit is still to come back leaves it unsold.
sub sold_out
{
	my (%how) = @_;
	return sub {
		my ($db, $number, $log) = @_;
		for (;;)
		{
			my $ok = eval {
				$db->begin_work;
				$db->do('SELECT commerce.adjust_stock(1, -1)');
				sleep rand 0.003;
				1;
			};
			my $state = $db->state;
			if ($ok && rand() < ($how{rollback} // 0.4))
			{
				$db->rollback;
			}
			elsif ($ok)
			{
				$db->commit;
				$log->({ sold => 1 });
			}
			else
			{
				$db->rollback;
				last if $state eq 'SH001';
				die $@ unless $expected{$state};
			}
		}
		return;
	};
}

1;
