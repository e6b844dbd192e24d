# An integration whose breaker opens or closes, or that becomes inactive by itself: one line of
# the log and one notification, with the row that records it; a hold for a whole server.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use Listener;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => [], conf => "featul_integrations.retry_delay = '20ms'\n");
my $node = $featul->node;
$featul->workspace('acme2', webhook => 'https://one.example.com/secret-path');
my $id = $featul->sql('SELECT id FROM featul_integrations.integration');

my $listener;

sub start_listener
{
	$listener = Listener->new($node);
	return $listener->run('LISTEN featul_integrations');
}

# What was told since the last call, as hashes, once there is something; and all of it was told
# by the time that the database says so
my $told;
sub told_once
{
	my ($sql) = @_;
	my $text = '';

	$featul->wait_for_sql($sql);
	Featul::wait_for(sub { $text .= $listener->run('SELECT 1'); $text =~ /Asynchronous/ }, 'a notification');
	$text .= $listener->run('SELECT 1');
	$told .= $text;
	return map { decode_json($_) } $text =~ /"featul_integrations" with payload "(\{.*?\})" received/g;
}

# The lines of the log since the last call
my $offset = 0;
sub logged
{
	my $text = slurp_file($node->logfile, $offset);

	$offset += length($text);
	return $text =~ /LOG:  (featul_integrations worker: the .*)/g;
}

sub told_ok
{
	my ($told, $status, $reason, $name) = @_;
	my @lines = logged();

	is_deeply($told, [ { integration_id => $id, workspace_id => 'acme2', type => 'webhook', status => $status, reason => $reason } ],
		"$name: told once, and all of it");
	is(scalar(@lines), 1, "$name: one line of the log");
	like($lines[0], qr/^featul_integrations worker: the webhook integration of workspace "acme2" \(\Q$id\E\) is $status/, "$name: which says so");
	return;
}

sub fail_until_open
{
	$featul->script({ 'one.example.com/' => [ { status => 500, body => 'remote words' } ] });
	$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'acme2-ideas', g, 'C', gen_random_uuid() FROM generate_series(1, 20) g");
	return;
}

start_listener();
logged();

# Ten failures in a row open the breaker; more of them say nothing more
fail_until_open();
my @told = told_once('SELECT told_failing AND failures > 12 FROM featul_integrations.health');
my $reason = $told[0]{reason};
like($reason, qr/^The last \d+ attempts failed: HTTP 500\.$/, 'the reason in words');
told_ok(\@told, 'failing', $reason, 'the breaker opens');

# Not again after a restart, of the worker or the server
$listener->quit;
$node->stop('immediate');
$node->start;
start_listener();
my $failures = $featul->sql('SELECT failures FROM featul_integrations.health');
$featul->wait_for_sql("SELECT failures > $failures + 1 FROM featul_integrations.health");
unlike($listener->run('SELECT 1'), qr/Asynchronous/, 'a restart tells nothing again');
is_deeply([ logged() ], [], 'nor does the log');

# A success closes it
$featul->script({});
@told = told_once('SELECT NOT told_failing AND failures = 0 FROM featul_integrations.health');
told_ok(\@told, 'active', undef, 'a success closes it');
$featul->wait_until_settled;

# So does a test call with success, and connecting again; also while no worker runs
foreach my $call ("integration_test('acme2', 'webhook')", "integration_connect('acme2', 'webhook', 'https://two.example.com/')")
{
	$featul->set('retry_delay', '20ms');
	$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
	fail_until_open();
	told_once('SELECT told_failing FROM featul_integrations.health');
	$featul->set('retry_delay', '10min');
	$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
	$featul->wait_for_sql("SELECT max(next_attempt_at) > now() + interval '1 minute' FROM featul_integrations.queue");
	logged();
	$featul->script({});
	$featul->sql_as('olivia', "SELECT * FROM $call");
	@told = told_once('SELECT NOT told_failing AND failures = 0 FROM featul_integrations.health');
	told_ok(\@told, 'active', undef, $call);
	$featul->wait_until_settled;
}

# Gone for good
$featul->script({ 'two.example.com/' => [ { status => 410 } ] });
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) VALUES (gen_random_uuid(), 'acme2-ideas', 'T', 'C', gen_random_uuid())");
@told = told_once('SELECT NOT is_active FROM featul_integrations.integration');
told_ok(\@told, 'inactive', 'The endpoint says that it is gone for good (HTTP 410).', 'gone for good');

# What somebody has asked for is told to nobody
$featul->sql_as('olivia', "SELECT integration_disconnect('acme2', 'webhook')");
$featul->wait_for_sql('SELECT NOT EXISTS (SELECT FROM featul_integrations.health)');
unlike($listener->run('SELECT 1'), qr/Asynchronous/, 'a disconnect is not told');
unlike($told, qr/secret|example\.com|remote words/, 'no URL and no words of the endpoint are told');

$listener->quit;

# Discord's limit for all of this server holds the integrations of all of its workers: of
# another database here.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$featul->set_up_database('other');
$featul->connect('discord', url => 'https://discord.com/api/webhooks/1/x');
{
	local $featul->{dbname} = 'other';
	$featul->connect('discord', url => 'https://discord.com/api/webhooks/2/x');
	$featul->connect('webhook', url => 'https://beside.example.com/');
	$featul->wait_for_sql("SELECT count(*) = 2 FROM featul_integrations.stat_worker WHERE state = 'idle'");
}
$featul->script({ 'discord.com/api/webhooks/1/' => [ { status => 429, body => '{"retry_after": 300, "global": true}' } ] });
$featul->forget;
$featul->post(title => 'held');
$featul->wait_for_sql('SELECT hold_until IS NOT NULL FROM featul_integrations.health');
{
	local $featul->{dbname} = 'other';
	$featul->post(title => 'held too');
	$featul->wait_for_requests(1, host => 'beside.example.com');
	is($featul->sql("SELECT state || attempts FROM featul_integrations.deliveries WHERE type = 'discord'"),
		'pending0', 'a hold of the whole server holds the worker of another database');
	is(scalar($featul->requests(host => 'discord.com')), 1, 'there was one request in all');

	# also one that begins anew
	$featul->sql('SELECT pg_terminate_backend(pid) FROM featul_integrations.stat_worker WHERE database = current_database()');
	$featul->wait_for_sql(q(SELECT count(*) = 1 FROM featul_integrations.stat_worker WHERE database = 'other' AND started_at > now() - interval '1 minute' AND state = 'idle'));
	$featul->forget;
	$featul->post(title => 'after a restart');
	$featul->wait_for_requests(1, host => 'beside.example.com');
	is(scalar($featul->requests(host => 'discord.com')), 0, 'and one that has been started since');
}

# Cloudflare's limit in front of Discord need not say how long.  A restart of the server has
# forgotten the hold above, but for the integration that was told so.
$featul->workspace('third', discord => 'https://discord.com/api/webhooks/3/x', webhook => 'https://third.example.com/');
$featul->script({ 'discord.com/api/webhooks/2/' => [ { status => 429, body => 'error code: 1015' } ] });
$featul->set('retry_delay', '5min');
$featul->forget;
$node->restart;
$node->poll_query_until('other', 'SELECT hold_until IS NOT NULL FROM featul_integrations.health WHERE type = \'discord\'')
  or die 'never held';
$featul->post(title => 'behind Cloudflare', board_id => 'third-ideas');
$featul->wait_for_requests(1, host => 'third.example.com');
is(scalar($featul->requests(host => 'discord.com', path => '/api/webhooks/3/x')), 0, 'so does 1015, without a time');

$node->stop('fast');
done_testing();
