# Crashes of all kinds at random moments under load: what was committed arrives, in
# order, and nothing else does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use Load;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $rounds = $ENV{FEATUL_CRASH_ROUNDS} || 20;

# Requests that may be repeated after one crash: those in flight (at most 8 at once to one
# integration), and those answered within the last 20 ms, which may not be recorded yet.
my $unrecorded = 32;

my $featul = Featul->new(connect => ['webhook'], conf => <<'END');
restart_after_crash = on
featul_integrations.max_attempts = 100
featul_integrations.retry_delay = '20ms'
log_statement = none
log_min_duration_statement = -1
END
my $node = $featul->node;
my $load = Load->new($featul);

# How many requests the receiver has got; cheap enough to be asked all the time.
sub received
{
	return scalar(slurp_file($featul->dir . '/record.jsonl') =~ tr/\n//);
}

sub pid_of
{
	my ($where) = @_;

	# may fail while the server restarts
	my ($status, $pid) =
	  $node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $where ORDER BY random() LIMIT 1");
	return $status == 0 && $pid ? $pid : undef;
}

sub kill_nine
{
	my ($where) = @_;
	my $pid;

	Featul::wait_for(sub { $pid = pid_of($where) }, "a process: $where");
	kill 'KILL', $pid;
	return;
}

my %crash = (
	'immediate stop' => sub {
		$node->stop('immediate');
		$node->start;
	},
	'kill -9 of the postmaster' => sub {
		my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;

		$node->kill9;
		Featul::wait_for(sub { !kill 0, $pid }, 'the end of the postmaster');
		# its children have to notice and leave first
		Featul::wait_for(sub { $node->start(fail_ok => 1) }, 'a new postmaster');
	},
	'kill -9 of the worker' => sub { kill_nine("backend_type = 'featul_integrations worker'") },
	'kill -9 of the launcher' => sub { kill_nine("backend_type = 'featul_integrations launcher'") },
	'kill -9 of a capturing backend' => sub { kill_nine("application_name = 'load'") },
	'SIGTERM of the worker' => sub {
		$node->psql('postgres', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE backend_type = 'featul_integrations worker'));
	});
my @kinds = sort keys %crash;

$featul->script({ 'hook.example.com/' => [ { status => 500, chance => 0.05 } ] });
$load->start(rate => 120);
foreach my $round (1 .. $rounds)
{
	my $kind = $kinds[ $round % @kinds ];
	my $target = received() + 1 + int(rand(60));

	Featul::wait_for(sub { received() >= $target }, "deliveries after the last crash ($kind)");
	$crash{$kind}->();
	note "round $round: $kind after $target requests";
}
my $target = received() + 20;
Featul::wait_for(sub { received() >= $target }, 'deliveries after the last crash');
$load->stop;
$featul->wait_until_settled;

my ($problems, $figures) = $load->books;
note join ', ', map { "$_: $figures->{$_}" } sort keys %$figures;
is(join("\n", @$problems), '',
	'what was committed arrived in order, under one webhook-id each; nothing else did');
cmp_ok($figures->{changes}, '>', $rounds * 10, 'there was something to lose');
cmp_ok($figures->{failures}, '>', 0, 'and failures to retry');
cmp_ok($figures->{repeats}, '<=', $rounds * $unrecorded, 'repeats only for what was not recorded');
is( $featul->sql(<<'END'), '0', 'each delivery has one success in the log at most');
SELECT count(*) FROM (
	SELECT FROM featul_integrations.attempt WHERE state = 'delivered'
	GROUP BY delivery_id HAVING count(*) > 1) AS twice
END
is( $featul->sql('SELECT count(*) FROM featul_integrations.deliveries'),
	$figures->{changes}, 'and each change has its delivery');

done_testing();
