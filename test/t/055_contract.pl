
# Sentences of the contract that need a worker, a receiver or another cluster, and that no
# other test shows.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => ['webhook']);
my $node = $featul->node;
my $hook = 'hook.example.com';
my $put_off = { status => 503, headers => { 'Retry-After' => 3600 } };

# The newest delivery as the API shows it
sub newest
{
	my ($columns) = @_;
	return $featul->sql_as('olivia', "SELECT $columns FROM integration_deliveries('acme', max_rows => 1)");
}

sub status
{
	return $featul->sql_as('olivia', "SELECT status FROM integration_list('acme') WHERE type = 'webhook'");
}

# Connecting again: what is pending goes to the new URL, and at once, whatever the old one asked for
$featul->script({ "$hook/" => [$put_off] });
$featul->post(title => 'Put off');
my ($first) = $featul->wait_for_requests(1, host => $hook);
$featul->wait_for_sql("SELECT state = 'pending' AND attempts = 0 AND next_attempt_at > now() + interval '50 min' "
	  . 'FROM featul_integrations.deliveries');
is(status(), 'active', 'an endpoint that asks for patience is not failing');
$featul->connect('webhook', url => 'https://new.example.com/hook');
my ($second) = $featul->wait_for_requests(1, host => 'new.example.com');
is($second->{body}, $first->{body}, 'what was put off goes to the new URL at once');
is($second->{headers}{'webhook-id'}, $first->{headers}{'webhook-id'}, 'and is the same delivery');
$featul->wait_until_settled;
is(newest('state, attempts, http_status'), 'delivered|1|200', 'delivered');

# A successful test ends it as well
$featul->forget;
$featul->script({ 'new.example.com/' => [$put_off] });
$featul->post(title => 'Put off again');
$featul->wait_for_requests(1, status => 503);
$featul->wait_for_sql('SELECT bool_or(hold_until IS NOT NULL) FROM featul_integrations.health');
$featul->script({});
$featul->sql_as('olivia', "SELECT integration_test('acme', 'webhook')");
$featul->wait_until_settled;
is(newest('state, attempts, http_status'), 'delivered|1|200', 'a successful test lets what was put off go');

# What the old endpoint says after the integration was connected again concerns nobody
foreach my $late ({ status => 410 }, $put_off, { status => 500 })
{
	my $old = "old$late->{status}.example.com";
	my $new = "new$late->{status}.example.com";
	$featul->connect('webhook', url => "https://$old/");
	$featul->script({ "$old/" => [ { %$late, until => "late$late->{status}" } ] });
	$featul->post(title => "Late $late->{status}");
	$featul->wait_for_sql("SELECT in_flight = 1 FROM featul_integrations.stat_worker");
	my $loaded = $featul->sql('SELECT config_loaded_at FROM featul_integrations.stat_worker');
	$featul->connect('webhook', url => "https://$new/");
	$featul->wait_for_sql("SELECT config_loaded_at > '$loaded' FROM featul_integrations.stat_worker");
	$featul->release("late$late->{status}");
	$featul->wait_for_requests(1, host => $new);
	$featul->wait_until_settled;
	is(newest('state, attempts'), 'delivered|1', "late $late->{status}: sent to the new endpoint");
	is(status(), 'active', "late $late->{status}: which stays active");
}

# Not preloaded: CREATE EXTENSION warns, events queue, a test is sent, nothing is delivered
my $bare = PostgreSQL::Test::Cluster->new('bare');
$bare->init;
$bare->append_conf('postgresql.conf', $featul->conf =~ s/^shared_preload_libraries.*$//mr);
$bare->start;
my ($status, $out, $err) = $bare->psql('postgres', 'CREATE EXTENSION featul_integrations');
is($status, 0, 'CREATE EXTENSION works without preloading');
like($err, qr/WARNING:.*not preloaded/m, 'with a WARNING');
like($err, qr/^HINT:.*shared_preload_libraries/m, 'and a hint');
$bare->safe_psql('postgres', 'DROP EXTENSION featul_integrations');
my $unserved = Featul->new(name => 'unserved', node => $bare, init => 0);
$unserved->set_up_database('postgres');
$unserved->connect('webhook');
$unserved->post;
is($bare->safe_psql('postgres', 'SELECT state FROM featul_integrations.deliveries'), 'pending', 'events queue');
is( $bare->safe_psql('postgres',
		"SET featul_integrations.user_id = 'olivia'; SELECT message FROM integration_test('acme', 'webhook')"),
	'Test notification sent successfully',
	'a test is sent');
is($bare->safe_psql('postgres', 'SELECT count(*) FROM featul_integrations.stat_worker'), 0, 'no worker');
$bare->stop;

done_testing();
