# Order and retries of commerce-relay against a model: test/relay/delivery_model.c
# prints the results.

use strict;
use warnings;
use Test::More;

plan skip_all => 'commerce-relay was not built' if system('command -v commerce-relay >/dev/null') != 0;
system('make', '-s', 'relay-tests') == 0 or BAIL_OUT('the tests of the relay do not build');
exec 'build/relay-tests/delivery_model' or die $!;
