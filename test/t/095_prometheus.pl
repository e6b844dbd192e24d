# The query file for the Prometheus postgres exporter, read by the real exporter.
# Skipped where the exporter is not installed (Debian: prometheus-postgres-exporter).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Featul;
use HTTP::Tiny;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use Test::More;

my ($exporter) = grep { defined && -x } $ENV{POSTGRES_EXPORTER},
  map { "$_/prometheus-postgres-exporter" } split(/:/, $ENV{PATH});
plan skip_all => 'no prometheus-postgres-exporter here' unless $exporter;

my $featul = Featul->new(conf => "featul_integrations.retry_delay = '50ms'");
$featul->script({ 'hook.example.com/' => [ { status => 500, times => 1 }, {} ],
	'discord.com/' => [ { status => 500 } ] });
$featul->post;
$featul->wait_until_settled;
$featul->sql('CREATE ROLE exporter LOGIN; GRANT pg_monitor TO exporter');

my $port = PostgreSQL::Test::Cluster::get_free_port();
local $ENV{DATA_SOURCE_NAME} =
  'host=' . $featul->node->host . ' port=' . $featul->node->port . ' user=exporter dbname=postgres sslmode=disable';
my $log = '';
my $running = IPC::Run::start(
	[
		$exporter, "--web.listen-address=127.0.0.1:$port", '--disable-default-metrics',
		'--disable-settings-metrics', "--extend.query-path=$Featul::test_dir/../docs/prometheus.yaml"
	],
	'>', \$log, '2>&1');

# metrics: the page as a hash, "name{labels}" => value
my %metrics;
Featul::wait_for(
	sub {
		$running->pump_nb;
		my $answer = HTTP::Tiny->new(timeout => 20)->get("http://127.0.0.1:$port/metrics");
		%metrics = ($answer->{content} // '') =~ /^([^#\s]\S*(?: [^\s\}]*\})?) (\S+)$/mg;
		# the counters follow the settlement by a moment
		value('featul_integrations_deliveries_delivered', type => 'webhook') eq '1'
		  && value('featul_integrations_deliveries_failed', type => 'discord') eq '1';
	},
	sub { "the exporter: $log" });

# value($metric, %labels): of the one metric with these labels
sub value
{
	my ($name, %labels) = @_;
	my @found = grep {
		my $key = $_;
		$key =~ /^\Q$name\E\{/ && !grep { $key !~ /\b$_="\Q$labels{$_}\E"/ } keys %labels
	} keys %metrics;

	return @found == 1 ? $metrics{ $found[0] } : 'found ' . @found . " of $name";
}

is(value('featul_integrations_pending', type => 'webhook'), 0, 'pending');
is(value('featul_integrations_oldest_pending_seconds', type => 'webhook'), 0, 'oldest pending');
is(value('featul_integrations_active', type => 'slack'), 1, 'active');
is(value('featul_integrations_failing', type => 'discord'), 1, 'failing');
is(value('featul_integrations_deliveries_delivered', type => 'webhook'), 1, 'delivered');
is(value('featul_integrations_deliveries_retried', type => 'webhook'), 1, 'retried');
is(value('featul_integrations_deliveries_failed', type => 'discord'), 1, 'failed');
is(value('featul_integrations_deliveries_attempt_seconds_count', type => 'webhook'), 2, 'attempts');
is(value('featul_integrations_deliveries_attempt_seconds_bucket', type => 'webhook', le => '+Inf'), 2, 'histogram');
cmp_ok(value('featul_integrations_deliveries_attempt_seconds_sum', type => 'webhook'), '<', 10, 'time they took');
is(value('featul_integrations_worker_up'), 1, 'worker up');
cmp_ok(value('featul_integrations_capture_captured'), '>=', 1, 'captured');
unlike($log, qr/level=error/, 'the exporter has nothing to complain about');

$running->kill_kill;
$featul->node->stop;
done_testing;
