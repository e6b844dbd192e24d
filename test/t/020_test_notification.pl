
# integration_test and the secrets, on the wire: sent in the caller's session.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(conf => <<END);
featul_integrations.delivery = off
log_statement = none
log_min_messages = debug5
wal_level = replica
max_wal_senders = 5
END
my $node = $featul->node;

# The SQLSTATE, message and DETAIL of integration_test as olivia; its HINT in $hint
my $hint;

sub failure
{
	my ($type) = @_;
	my ($out, $err) = ('', '');

	$node->psql(
		'postgres',
		"\\set VERBOSITY verbose\nSET featul_integrations.user_id = 'olivia'; SELECT * FROM integration_test('acme', '$type')",
		stdout => \$out, stderr => \$err);
	my ($message) = $err =~ /ERROR:  (.*)/;
	my ($detail) = $err =~ /DETAIL:  (.*)/;
	($hint) = $err =~ /HINT:  (.*)/;
	return join ' / ', grep { defined } $message, $detail;
}

sub succeeds
{
	my ($type) = @_;
	return $featul->sql_as('olivia', "SELECT * FROM integration_test('acme', '$type')");
}

my $failed = 'PT500: Failed to send webhook notification';

# Delivered, though delivery is off: each type with its own headers and body
is(succeeds($_), 't|Test notification sent successfully', "$_: sent") foreach qw(slack discord webhook);
my ($slack) = $featul->requests(host => 'hooks.slack.com');
is($slack->{path}, '/services/T0000/B0000/slacksecret', 'slack: the path');
like($slack->{json}{text}, qr/Acme/, 'slack: names the workspace');
is($slack->{json}{blocks}[-1]{elements}[0]{text}, "Acme \x{2022} Powered by featul", 'slack: footer');
is($slack->{headers}{'user-agent'}, 'featul-integrations/1.0', 'slack: User-Agent');
is($slack->{headers}{'webhook-id'}, undef, 'slack: no signature');
my ($discord) = $featul->requests(host => 'discord.com');
like($discord->{json}{embeds}[0]{description}, qr/Acme/, 'discord: names the workspace');
is_deeply($discord->{json}{allowed_mentions}, { parse => [] }, 'discord: pings nobody');
like($discord->{headers}{'user-agent'}, qr{^DiscordBot \(https://featul\.com, 1\.0\)$}, 'discord: User-Agent');
my ($webhook) = $featul->requests(host => 'hook.example.com');
is($webhook->{method}, 'POST', 'webhook: POST');
is($webhook->{headers}{'content-type'}, 'application/json', 'webhook: Content-Type');
is($webhook->{json}{event}, 'integration.test', 'webhook: event');
is_deeply($webhook->{json}{workspace}, { id => 'acme', name => 'Acme', slug => 'acme' }, 'webhook: workspace');
like($webhook->{json}{message}, qr/Acme/, 'webhook: message');
like($webhook->{headers}{'webhook-id'}, qr/^msg_[0-9a-f]{8}-[0-9a-f-]{27}$/, 'webhook: id');

# Signatures: by this secret, after a rotation by both, a day later by the new one alone
my $secret = $featul->sql_as('olivia', "SELECT integration_secret('acme')");
is($featul->signature_problem($webhook, $secret), '', 'signed');
my $new_secret = $featul->sql_as('olivia', "SELECT integration_rotate_secret('acme')");
succeeds('webhook');
my $rotated = ($featul->requests(host => 'hook.example.com'))[-1];
is($featul->signature_problem($rotated, $new_secret), '', 'after a rotation signed by the new secret');
is($featul->signature_problem($rotated, $secret), '', '... and by the old one');
$featul->sql('UPDATE featul_integrations.integration SET previous_secret_until = now()');
succeeds('webhook');
my $later = ($featul->requests(host => 'hook.example.com'))[-1];
is($featul->signature_problem($later, $new_secret), '', 'a day later signed by the new secret');
isnt($featul->signature_problem($later, $secret), '', '... and no longer by the old one');

# What fails says why: status and the first 200 characters of the body, never the URL
$featul->script({ 'hook.example.com/' => [
	{ status => 500, body => 'x' x 150 . "\x{fc}" x 150 },
	{ status => 404 , body => '' },
	{ status => 302, headers => { Location => 'https://other.example.com/' }, body => 'moved' },
	{ status => 410, body => 'gone' },
	{ status => 200, rude => 'reset' } ] });
is(failure('webhook'), "$failed / HTTP 500: " . 'x' x 150 . "\xc3\xbc" x 50, '500: the body up to 200 characters');
is(failure('webhook'), "$failed / HTTP 404", '404 without a body');
is(failure('webhook'), "$failed / HTTP 302: redirects are not followed", 'redirects are not followed');
like($hint, qr/^Connect the URL that it redirects to/, '... and what to do');
is(failure('webhook'), "$failed / HTTP 410: gone", 'gone');
like(failure('webhook'), qr{^$failed / the connection}, 'reset');
like($hint, qr/^Look into the endpoint's own log/, '... and what to do');
is(scalar($featul->requests(host => 'other.example.com')), 0, 'nobody was sent elsewhere');

# Time-outs: the whole request
$featul->set('request_timeout', '500ms');
$featul->script({ 'hook.example.com/' => [ { delay => 60 } ] });
like(failure('webhook'), qr{^$failed / no complete response within 0\.5}, 'time-out');
like($hint, qr/^The endpoint has to answer with a 2xx status first/, '... and what to do');

# Cancelled at once, and the session goes on
$featul->set('request_timeout', '60s');
$featul->wait_for_sql("SELECT current_setting('featul_integrations.request_timeout') = '1min'");
my ($out, $err) = ('', '');
my $session = IPC::Run::start(
	[
		'psql', '-XqAt', '-d', $node->connstr('postgres'),
		'-c', "SET featul_integrations.user_id = 'olivia'",
		'-c', "SELECT message FROM integration_test('acme', 'webhook')",
		'-c', "SELECT 'still here'"
	],
	'>', \$out, '2>', \$err);
$featul->wait_for_sql("SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%integration_test(%' AND wait_event_type = 'Extension' AND pid <> pg_backend_pid()");
$featul->sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%integration_test(%' AND pid <> pg_backend_pid()");
$session->finish;
like($err, qr/canceling statement due to user request/, 'cancelled while it waits');
is($out, "still here\n", '... and the session goes on');
$featul->script({});

# An address that is not public, by name; and TLS that cannot be trusted
$featul->set('allowed_networks', '');
$featul->wait_for_sql("SELECT current_setting('featul_integrations.allowed_networks') = ''");
is(failure('webhook'), "$failed / the address is not public", 'refused address');
like($hint, qr/^The host name leads to a private network/, '... and what to do');
$featul->set('allowed_networks', '127.0.0.0/8');
my %todo = (
	expired => qr/has to be renewed/,
	wrong_host => qr/with a certificate for this host name/,
	self_signed => qr/certificate of a public CA/);
foreach my $kind (sort keys %todo)
{
	$featul->set('connect_to', '::127.0.0.1:' . $featul->port($kind));
	$featul->wait_for_sql("SELECT current_setting('featul_integrations.connect_to') LIKE '%:" . $featul->port($kind) . "'");
	like(failure('webhook'), qr{^$failed / TLS: }, "TLS: $kind");
	like($hint, $todo{$kind}, "TLS: $kind: what to do");
}
$featul->set('connect_to', '::127.0.0.1:' . $featul->port);
$featul->wait_for_sql("SELECT current_setting('featul_integrations.connect_to') LIKE '%:" . $featul->port . "'");

# A proxy that is not there
$featul->set('proxy', '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port());
$featul->wait_for_sql("SELECT current_setting('featul_integrations.proxy') <> ''");
is(failure('webhook'), "$failed / could not connect through the proxy", 'no proxy');
like($hint, qr/^Check featul_integrations\.proxy/, '... and what to do');
$featul->set('proxy', '');
$featul->wait_for_sql("SELECT current_setting('featul_integrations.proxy') = ''");

# A success ends failing, held and inactive states, but not a foreign origin
my $state = "SELECT status, status_reason FROM integration_list('acme') WHERE type = 'webhook'";
$featul->sql("UPDATE featul_integrations.health SET failures = 12, failing_since = now(), hold_until = now() + '1 h', last_error = 'HTTP 500'");
is($featul->sql_as('olivia', $state), 'failing|The last 12 attempts failed: HTTP 500', 'failing');
succeeds('webhook');
is($featul->sql_as('olivia', $state), 'active|', '... until a test succeeds');
$featul->sql("UPDATE featul_integrations.integration SET is_active = false, inactive_reason = 'It failed for five days.'");
is($featul->sql_as('olivia', $state), 'inactive|It failed for five days.', 'inactive');
succeeds('webhook');
is($featul->sql_as('olivia', $state), 'active|', '... until a test succeeds');
$featul->sql('UPDATE featul_integrations.health SET database = 1');
like($featul->sql_as('olivia', $state), qr/^inactive\|It came with a copy/, 'of another database');
succeeds('webhook');
like($featul->sql_as('olivia', $state), qr/^inactive\|It came with a copy/, '... which a test does not change');

# A test in a read-only transaction sends and changes nothing
is($featul->sql("BEGIN READ ONLY; SET LOCAL featul_integrations.user_id = 'olivia'; SELECT message FROM integration_test('acme', 'slack'); COMMIT"),
	'Test notification sent successfully', 'in a read-only transaction');

# A hot standby reads and sends nothing
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
my $as_olivia = "SET featul_integrations.user_id = 'olivia';";
is($standby->safe_psql('postgres', "$as_olivia SELECT count(*) FROM integration_list('acme')"), 3, 'standby: list');
is($standby->safe_psql('postgres', "$as_olivia SELECT count(*) FROM integration_deliveries('acme')"), 0, 'standby: deliveries');
is($standby->safe_psql('postgres', "$as_olivia SELECT integration_secret('acme')"), $new_secret, 'standby: secret');
is($standby->safe_psql('postgres', 'SELECT "check" FROM featul_integrations.diagnose() WHERE NOT ok AND "check" ~ \'standby|worker\''),
	'this server is no standby', 'standby: diagnose() says that, and not that a worker is missing');
like($standby->safe_psql('postgres', "$as_olivia SELECT integration_preview('acme', 'slack', 'post.created')"), qr/^\{"text":/, 'standby: preview');
my $before = scalar $featul->requests;
my (undef, undef, $error) = $standby->psql('postgres', "$as_olivia SELECT * FROM integration_test('acme', 'slack')");
like($error, qr/cannot execute integration_test\(\) during recovery/, 'standby: no test');
is(scalar($featul->requests), $before, '... which sends nothing');

# No URL and no secret in the log, whatever was asked of it: not even in the statement
# that goes with an error
foreach my $arguments (
	"'acme', 'slack', 'https://hooks.slack.com/workflows/slacksecret'",
	"'nowhere', 'slack', 'https://hooks.slack.com/services/T0/B0/slacksecret'",
	"'acme', 'slack', 'https://hooks.slack.com/services/T0/B0/slacksecret', rule => '\$.'")
{
	my ($status) = $node->psql('postgres', "$as_olivia SELECT * FROM integration_connect($arguments)");
	isnt($status, 0, "refused: $arguments");
	$node->psql('postgres', "SET log_min_messages = log; $as_olivia DO \$\$BEGIN PERFORM integration_connect($arguments); END\$\$");
}
# auto_explain logs the caller's statement, but not the values within ours
$node->safe_psql('postgres', "CREATE TABLE url AS SELECT 'https://hooks.slack.com/services/T0/B0/slacksecret' AS url");
is($node->safe_psql('postgres', <<END), "Slack integration updated\n50", 'connected and rotated under auto_explain');
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_nested_statements = on;
SET auto_explain.log_verbose = on;
$as_olivia
SELECT message FROM url, integration_connect('acme', 'slack', url);
SELECT length(integration_rotate_secret('acme'));
END
like(slurp_file($node->logfile), qr/Query Text: SELECT message FROM url/, 'auto_explain is at work');
foreach my $server ($node, $standby)
{
	my $log = slurp_file($server->logfile);
	unlike($log, qr/slacksecret|discordsecret|whsec_|hook\.example\.com\/featul/, $server->name . ': no URL or secret in the log');
}

$standby->stop;
$node->stop('fast');
done_testing();
