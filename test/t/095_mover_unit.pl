# Parts of commerce-mover on their own: test/mover/unit.c prints the results.

use strict;
use warnings;
use Test::More;

plan skip_all => 'commerce-mover was not built' if system('command -v commerce-mover >/dev/null') != 0;
system('make', '-s', 'mover-tests') == 0 or BAIL_OUT('the tests of the mover do not build');
exec 'build/mover-tests/unit' or die $!;
