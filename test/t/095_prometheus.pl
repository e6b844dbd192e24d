# What watches it: the query file, read by the real postgres exporter, with a database beside that
# has no extension; the exporter scraped by a real Prometheus, which is asked every query of the
# dashboard; and the alert rules.  Skipped where these are not to be had (Debian:
# prometheus-postgres-exporter, prometheus; test/run fetches them).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Featul;
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# program($name): its path, where it is installed or where test/run unpacked it
sub program
{
	my ($name) = @_;
	my ($path) = grep { -x } map { "$_/$name" } split(/:/, "$ENV{PATH}:" . ($ENV{FEATUL_UNPACKED} // ''));
	return $path;
}

my $exporter = program('prometheus-postgres-exporter');
plan skip_all => 'no prometheus-postgres-exporter here' unless $exporter;

my $docs = "$Featul::test_dir/../docs";
my $featul = Featul->new(conf => "featul_integrations.retry_delay = '50ms'");
my $http = HTTP::Tiny->new(timeout => 20);
my @running;

# start($log, COMMAND...): a program that runs until the end of this test
sub start
{
	my ($log, @command) = @_;
	push @running, IPC::Run::start(\@command, '>', $log, '2>&1');
}

$featul->script({ 'hook.example.com/' => [ { status => 500, times => 1 }, {} ],
	'discord.com/' => [ { status => 500 } ] });
$featul->post;
$featul->wait_until_settled;
$featul->sql('CREATE ROLE exporter LOGIN; GRANT pg_monitor TO exporter');
$featul->sql('CREATE DATABASE without_extension');

# one that stands still
$featul->sql(q(CREATE SUBSCRIPTION featul CONNECTION 'dbname=nowhere' PUBLICATION featul_integrations WITH (connect = false, slot_name = NONE)));

my $port = PostgreSQL::Test::Cluster::get_free_port();
my $log = '';
{
	local $ENV{DATA_SOURCE_NAME} =
	  'host=' . $featul->node->host . ' port=' . $featul->node->port . ' user=exporter dbname=postgres sslmode=disable';
	start(
		\$log, $exporter,
		"--web.listen-address=127.0.0.1:$port", '--disable-default-metrics', '--disable-settings-metrics',
		'--auto-discover-databases', '--exclude-databases=template0,template1',
		"--extend.query-path=$docs/prometheus.yaml");
}

# metrics: the page as a hash, "name{labels}" => value
my %metrics;
Featul::wait_for(
	sub {
		$_->pump_nb for @running;
		my $answer = $http->get("http://127.0.0.1:$port/metrics");
		%metrics = ($answer->{content} // '') =~ /^([^#\s]\S*(?: [^\s\}]*\})?) (\S+)$/mg;
		# the counters follow the settlement by a moment
		value('featul_integrations_deliveries_delivered_total', type => 'webhook') eq '1'
		  && value('featul_integrations_deliveries_failed_total', type => 'discord') eq '1';
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

is(value('featul_integrations_pending', type => 'webhook', status => 'active'), 0, 'pending');
is(value('featul_integrations_oldest_pending_seconds', type => 'webhook'), 0, 'oldest pending');
is(value('featul_integrations_connected', type => 'slack', status => 'active'), 1, 'active');
is(value('featul_integrations_connected', type => 'discord', status => 'failing'), 1, 'failing');
is(value('featul_integrations_deliveries_delivered_total', type => 'webhook'), 1, 'delivered');
is(value('featul_integrations_deliveries_retried_total', type => 'webhook'), 1, 'retried');
is(value('featul_integrations_deliveries_failed_total', type => 'discord'), 1, 'failed');
is(value('featul_integrations_deliveries_attempt_seconds_count', type => 'webhook'), 2, 'attempts');
is(value('featul_integrations_deliveries_attempt_seconds_bucket', type => 'webhook', le => '+Inf'), 2, 'histogram');
cmp_ok(value('featul_integrations_deliveries_attempt_seconds_sum', type => 'webhook'), '>', 0, 'time they took');
is(value('featul_integrations_worker_up'), 1, 'worker up');
is(value('featul_integrations_worker_delivery'), 1, 'delivery is on');
cmp_ok(value('featul_integrations_capture_captured_total'), '>=', 1, 'captured');
is(value('featul_integrations_subscription_streaming', subscription => 'featul'), 0, 'a subscription that is disabled');
ok(!(grep { /^pg_exporter_(last_scrape_error|user_queries_load_error)/ && $metrics{$_} != 0 } keys %metrics),
	'no scrape error, though a database lacks the extension')
  or diag explain \%metrics;
unlike($log, qr/level=error|permission denied|does not exist/, 'the exporter has nothing to complain about');

SKIP:
{
	my ($prometheus, $promtool) = (program('prometheus'), program('promtool'));
	skip 'no prometheus here', 1 unless $prometheus && $promtool;

	is(system_log($promtool, 'test', 'rules', "$Featul::test_dir/alerts.yaml"), 0, 'the alert rules pass their tests');

	my $its_port = PostgreSQL::Test::Cluster::get_free_port();
	my $its_log = '';
	my $directory = $featul->dir . '/prometheus';
	mkdir $directory;
	append_to_file("$directory/prometheus.yml", <<"END");
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: ["$docs/alerts.yaml"]
scrape_configs:
  - {job_name: postgres, static_configs: [{targets: ["127.0.0.1:$port"]}]}
END
	start(
		\$its_log, $prometheus, "--config.file=$directory/prometheus.yml",
		"--storage.tsdb.path=$directory/data", "--web.listen-address=127.0.0.1:$its_port");

	# Grafana's variables, as it would fill them in
	my $dashboard = decode_json(slurp_file("$docs/grafana.json"));
	my %waiting;
	for my $query (map { $_->{expr} } map { @{ $_->{targets} } } @{ $dashboard->{panels} })
	{
		my $filled = $query =~ s/\$__rate_interval/1m/gr =~ s/\$database/.*/gr;
		$waiting{$query} = "http://127.0.0.1:$its_port/api/v1/query?" . $http->www_form_urlencode({ query => $filled });
	}
	cmp_ok(scalar keys %waiting, '>=', 9, 'the dashboard has queries');
	my $said = '';
	Featul::wait_for(
		sub {
			$_->pump_nb for @running;
			for my $query (keys %waiting)
			{
				my $answer = $http->get($waiting{$query});
				$said = $answer->{content};
				my $json = eval { decode_json($said) } or next;
				delete $waiting{$query} if $json->{status} eq 'success' && @{ $json->{data}{result} };
			}
			!%waiting;
		},
		sub { "no data for: @{[ sort keys %waiting ]}; $said; $its_log" });
	ok(!%waiting, 'every query of the dashboard has data');
	my $rules = decode_json($http->get("http://127.0.0.1:$its_port/api/v1/rules")->{content});
	my @rules = map { @{ $_->{rules} } } @{ $rules->{data}{groups} };
	is_deeply([ grep { $_->{health} eq 'err' } @rules ], [], 'every alert rule can be evaluated');
}

$_->kill_kill for @running;
$featul->node->stop;
done_testing;
