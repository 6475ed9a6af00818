# row_security.pl once more, with tokens that name users by external_id.

use strict;
use warnings;

$ENV{JWT_SUBJECT} = 'external_id';
do './test/security/row_security.pl' or die $@ || $!;
