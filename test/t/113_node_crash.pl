
# Crashes of a delivery node and of its publisher at random moments under load: each committed
# change is told, in order and under one webhook-id, and nothing else is, also where the apply
# worker does not wait for its commits to be flushed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Crash;
use DeliveryNode;
use Featul;
use Load;
use Test::More;

my $rounds = $ENV{FEATUL_CRASH_ROUNDS} || 20;

my $pair = DeliveryNode->new(
	connect => ['webhook'],
	publisher_conf => "log_statement = none\nlog_min_duration_statement = -1\nlog_connections = off\nlog_disconnections = off",
	node_conf => <<'END');
restart_after_crash = on
featul_integrations.max_attempts = 100
featul_integrations.retry_delay = '20ms'
wal_writer_delay = 500ms
log_statement = none
log_min_duration_statement = -1
END
my ($featul, $publisher) = ($pair->node, $pair->publisher);
my $node = $featul->node;
my $crash = Crash->new($featul, Load->new($featul, $publisher));

my @crashes = (
	[ 'the apply worker' => sub { $crash->kill_nine(q(backend_type LIKE 'logical replication%worker')) } ],
	[ 'the delivering worker' => sub { $crash->kill_nine(q(backend_type = 'featul_integrations worker')) } ],
	[ 'the node\'s postmaster' => sub { Crash::kill_postmaster($node) } ],
	[ 'the publisher\'s postmaster' => sub { Crash::kill_postmaster($publisher) } ]);

$crash->rounds($rounds, \@crashes, sub {
	my ($round) = @_;

	# the documented setting, then PostgreSQL's own default for subscriptions
	Featul::wait_for(
		sub { 0 == $node->psql('postgres', 'ALTER SUBSCRIPTION featul SET (synchronous_commit = off)') },
		'the node to be back') if $round == int($rounds / 2) + 1;
});
$pair->catch_up_and_settle;

$crash->check_books($rounds);
is($featul->sql('SELECT failed FROM featul_integrations.stat_capture'), '0', 'capture met nothing that it could not handle');

done_testing();
