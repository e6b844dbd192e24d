
# Crashes of a delivery node and of its publisher at random moments under load: each committed
# change is told, in order and under one webhook-id, and nothing else is, also where the apply
# worker does not wait for its commits to be flushed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use DeliveryNode;
use Featul;
use Load;
use PostgreSQL::Test::Utils;
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
my $load = Load->new($featul, $publisher);

# How many requests the receiver has got
sub received
{
	return scalar(slurp_file($featul->dir . '/record.jsonl') =~ tr/\n//);
}

sub kill_nine
{
	my ($where) = @_;
	my $pid;

	Featul::wait_for(
		sub {
			# may fail while the server restarts
			my ($status, $found) =
			  $node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $where LIMIT 1");
			$pid = $status == 0 && $found ? $found : undef;
			return defined $pid;
		},
		"a process: $where");
	kill 'KILL', $pid;
	return;
}

sub kill_postmaster
{
	my ($cluster) = @_;
	my ($pid) = slurp_file($cluster->data_dir . '/postmaster.pid') =~ /^(\d+)/;

	$cluster->kill9;
	Featul::wait_for(sub { !kill 0, $pid }, 'the end of the postmaster');
	# its children have to notice and leave first
	Featul::wait_for(sub { $cluster->start(fail_ok => 1) }, 'a new postmaster');
	return;
}

my @crashes = (
	[ 'the apply worker' => sub { kill_nine(q(backend_type LIKE 'logical replication%worker')) } ],
	[ 'the delivering worker' => sub { kill_nine(q(backend_type = 'featul_integrations worker')) } ],
	[ 'the node\'s postmaster' => sub { kill_postmaster($node) } ],
	[ 'the publisher\'s postmaster' => sub { kill_postmaster($publisher) } ]);

$featul->script({ 'hook.example.com/' => [ { status => 500, chance => 0.05 } ] });
$load->start(rate => 100);
foreach my $round (1 .. $rounds)
{
	my ($name, $crash) = @{ $crashes[ $round % @crashes ] };
	my $target = received() + 1 + int(rand(60));

	# the documented setting, then PostgreSQL's own default for subscriptions
	Featul::wait_for(
		sub { 0 == $node->psql('postgres', 'ALTER SUBSCRIPTION featul SET (synchronous_commit = off)') },
		'the node to be back') if $round == int($rounds / 2) + 1;
	Featul::wait_for(sub { received() >= $target }, "deliveries before the end of $name");
	$crash->();
	note "round $round: $name after $target requests";
}
my $target = received() + 20;
Featul::wait_for(sub { received() >= $target }, 'deliveries after the last crash');
$load->stop;
$pair->catch_up_and_settle;

my ($problems, $figures) = $load->books;
note join ', ', map { "$_: $figures->{$_}" } sort keys %$figures;
is(join("\n", @$problems), '',
	'what was committed arrived in order, under one webhook-id each; nothing else did');
cmp_ok($figures->{changes}, '>', $rounds * 10, 'there was something to lose');
cmp_ok($figures->{failures}, '>', 0, 'and failures to retry');
is( $featul->sql('SELECT count(*) FROM featul_integrations.deliveries'),
	$figures->{changes}, 'each change has its delivery');
is($featul->sql('SELECT failed FROM featul_integrations.stat_capture'), '0', 'capture met nothing that it could not handle');

done_testing();
