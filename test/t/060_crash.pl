# Crashes of all kinds at random moments under load: what was committed arrives, in
# order, and nothing else does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Crash;
use Featul;
use Load;
use Test::More;

my $rounds = $ENV{FEATUL_CRASH_ROUNDS} || 20;

# Requests that may be repeated after one crash: those in flight (at most 8 at once to one
# integration), and those answered within the last 40 ms, which may not be recorded yet.
my $unrecorded = 32;

my $featul = Featul->new(connect => ['webhook'], conf => <<'END');
restart_after_crash = on
featul_integrations.max_attempts = 100
featul_integrations.retry_delay = '20ms'
log_statement = none
log_min_duration_statement = -1
END
my $node = $featul->node;
my $crash = Crash->new($featul, Load->new($featul));

my @crashes = (
	[ 'SIGTERM of the worker' => sub {
		$node->psql('postgres', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE backend_type = 'featul_integrations worker'));
	} ],
	[ 'immediate stop' => sub {
		$node->stop('immediate');
		$node->start;
	} ],
	[ 'kill -9 of a capturing backend' => sub { $crash->kill_nine("application_name = 'load'") } ],
	[ 'kill -9 of the launcher' => sub { $crash->kill_nine("backend_type = 'featul_integrations launcher'") } ],
	[ 'kill -9 of the postmaster' => sub { Crash::kill_postmaster($node) } ],
	[ 'kill -9 of the worker' => sub { $crash->kill_nine("backend_type = 'featul_integrations worker'") } ]);

$crash->rounds($rounds, \@crashes);
$featul->wait_until_settled;

my $figures = $crash->check_books($rounds);
cmp_ok($figures->{repeats}, '<=', $rounds * $unrecorded, 'repeats only for what was not recorded');
is( $featul->sql(<<'END'), '0', 'each delivery has one success in the log at most');
SELECT count(*) FROM (
	SELECT FROM featul_integrations.attempt WHERE state = 'delivered'
	GROUP BY delivery_id HAVING count(*) > 1) AS twice
END

done_testing();
