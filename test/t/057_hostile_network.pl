# More of the hostile peer (test/hostile.py): handshakes that cost, proxies that fail, calls
# that can be cancelled, connections that grow old.  Nobody else waits for any of it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => [], conf => "featul_integrations.max_attempts = 1\n");
my $node = $featul->node;
my $ports = $featul->start_hostile;

# Changes a setting and waits until the worker knows it
sub settle_on
{
	my ($setting, $value) = @_;
	my $before = $featul->sql('SELECT now()');

	$featul->set($setting, $value);
	return $featul->wait_for_sql("SELECT config_loaded_at > '$before' FROM featul_integrations.stat_worker");
}

# Leads hosts to behaviours of the peer; anything else goes to the kind receiver.
sub lead
{
	my (%behaviour) = @_;

	return settle_on('connect_to',
		join ',', (map { "$_:443:127.0.0.1:$ports->{$behaviour{$_}}" } sort keys %behaviour),
		'::127.0.0.1:' . $featul->port('server'));
}

# A post in each of these workspaces
sub post_in
{
	my (@workspaces) = @_;

	return $featul->sql(<<"END");
INSERT INTO post (id, board_id, title, content, slug, author_id)
SELECT gen_random_uuid(), w || '-ideas', 'title', 'content', gen_random_uuid(), 'mina'
FROM unnest('{@{[join ',', @workspaces]}}'::text[]) w
END
}

# The latest attempt of a workspace, as "state error"
sub latest
{
	my ($workspace) = @_;

	my $attempt = $featul->sql(<<"END");
SELECT concat_ws(' ', state, error) FROM featul_integrations.attempt WHERE workspace_id = '$workspace' ORDER BY at DESC LIMIT 1
END
	note("$workspace: $attempt");
	return $attempt;
}

$featul->workspace('kind', webhook => 'https://kind.example.com/');
my $worker = $featul->sql('SELECT pid FROM featul_integrations.stat_worker');

# ---------------------------------------------------------------------------
# Handshakes that cost: many peers of each kind at once, and one that is kind
# ---------------------------------------------------------------------------

my %handshake = (
	tls_large_leaf => qr/^failed TLS: a key in its certificate chain is longer than 8192 bits$/,
	tls_name_constraints => qr/^(?:delivered|failed TLS: .+)$/, # 900 names against 700 constraints
	tls_renegotiates => qr/^failed ./);
my (%to, @hostile);
foreach my $behaviour (sort keys %handshake)
{
	(my $host = $behaviour) =~ tr/_/-/;
	# their servers take one at a time, or seconds for a signature
	foreach my $n (1 .. ($behaviour eq 'tls_name_constraints' ? 8 : 1))
	{
		$to{"$host-$n.example.com"} = $behaviour;
		$featul->workspace("$behaviour$n", webhook => "https://$host-$n.example.com/");
		push @hostile, "$behaviour$n";
	}
}
lead(%to);
post_in('kind');
$featul->wait_until_settled;    # its connection is there, its time is known
foreach my $round (1 .. 20)
{
	post_in($round == 1 ? @hostile : (), 'kind');
}
$featul->wait_until_settled;
foreach my $behaviour (sort keys %handshake)
{
	like(latest("${behaviour}1"), $handshake{$behaviour}, "$behaviour ends as it should");
}
is(scalar($featul->hostile('tls_renegotiates', 'request')), 1, 'which came as far as that');
cmp_ok($featul->sql("SELECT max(duration_ms) FROM featul_integrations.attempt WHERE workspace_id = 'kind'"),
	'<', 1000, 'and holds up nobody else');

# ---------------------------------------------------------------------------
# Proxies that fail
# ---------------------------------------------------------------------------

$featul->set('request_timeout', '2s');
my %proxy = (
	proxy_refuses => qr/^failed the proxy answered HTTP 403$/,
	proxy_wants_password => qr/^failed the proxy answered HTTP 407$/,
	proxy_closes => qr/^failed ./,
	proxy_silent => qr/^failed no complete response within 2 s$/,
	proxy_floods_headers => qr/^failed ./,
	proxy_floods_interim => qr/^failed ./,
	proxy_floods_tunnel => qr/^failed TLS: ./);
foreach my $behaviour (sort keys %proxy)
{
	settle_on('proxy', "http://127.0.0.1:$ports->{$behaviour}");
	post_in('kind');
	$featul->wait_until_settled;
	like(latest('kind'), $proxy{$behaviour}, "$behaviour ends as it should");
	cmp_ok($featul->sql("SELECT duration_ms FROM featul_integrations.attempt WHERE workspace_id = 'kind' ORDER BY at DESC LIMIT 1"),
		'<', 4000, 'in time');
}

# ---------------------------------------------------------------------------
# integration_test() can be cancelled, whatever the endpoint or the proxy does
# ---------------------------------------------------------------------------

$featul->set('request_timeout', '5min');
sub cancelled_ok
{
	my ($name) = @_;
	my ($out, $err) = ('', '');
	my $psql = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') . ' application_name=testing',
			'-c', "SET featul_integrations.user_id = 'olivia'", '-c', q(SELECT integration_test('dripping', 'webhook')) ],
		'<', \undef, '>', \$out, '2>', \$err);

	$featul->wait_for_sql("SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'testing' AND query LIKE '%integration_test%' AND wait_event_type = 'Extension'");
	$featul->sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'testing'");
	$psql->finish;
	like($err, qr/canceling statement due to user request/, $name);
	return;
}

$featul->workspace('dripping', webhook => 'https://dripping.example.com/');
settle_on('proxy', '');
lead('dripping.example.com' => 'h1_drips');
cancelled_ok('a call to an endpoint that drips');
settle_on('proxy', "http://127.0.0.1:$ports->{proxy_silent}");
cancelled_ok('a call through a proxy that is silent');
settle_on('proxy', '');

# ---------------------------------------------------------------------------
# A connection that does not come about is none, whatever libcurl says of its end
# ---------------------------------------------------------------------------

$featul->set('request_timeout', '200ms');
$featul->workspace('hole', webhook => 'https://hole.example.com/');
$ports->{hole} = $featul->port('blackhole');
lead('hole.example.com' => 'hole');
post_in(('hole') x 6);
$featul->wait_until_settled;
like(latest('hole'), qr/^failed no complete response within/, 'a host that accepts no connection');
$featul->wait_for_sql("SELECT in_flight = 0 FROM featul_integrations.stat_worker");
my $sockets = grep { (readlink($_) // '') =~ /^socket:/ } glob "/proc/$worker/fd/*";
cmp_ok($featul->sql('SELECT connections FROM featul_integrations.stat_worker'), '<=', $sockets, 'leaves no connection');
$featul->set('request_timeout', '5min');

# ---------------------------------------------------------------------------
# What is sent as fast as can be, instead of a handshake or of an answer, ends by itself, or
# by the caller's time-out: whichever comes first
# ---------------------------------------------------------------------------

my %flood = (
	tls_floods_alerts => qr/TLS: ./,
	tls_floods_cipher_changes => qr/TLS: ./,
	tls_floods_empty => qr/TLS: ./,
	tls_floods_data => qr/TLS: ./,
	tls_floods_large => qr/TLS: ./,
	tls_floods_pieces => qr/the response is too large/,
	tls_tickets => qr/the response is too large/,
	h1_small_records => qr/the response is too large/,
	h1_header_line => qr/the response's headers are too large/,
	h1_closes_in_headers => qr/the connection was closed without an answer/,
	h1_interim => qr/the response's headers are too large/,
	h1_trailers => qr/^(?:delivered|.*the response's headers are too large)$/,
	h1_chunk_extension => qr/^delivered$/,
	h1_tiny_chunks => qr/^delivered$/,
	h1_gzip_nothing => qr/^delivered$/,
	h1_gzip_thrice => qr/^delivered$/,
	(map { ("h1_encoded_$_" => qr/^delivered$/) } qw(once twice by_two)),
	# newer libcurls know no Transfer-Encoding of this kind
	h1_encoded_on_the_way => qr/^(?:delivered|.*Unrecognized or bad HTTP Content or Transfer-Encoding)$/,
	h1_answers_ahead => qr/^delivered$/);
%to = ();
foreach my $behaviour (sort keys %flood)
{
	(my $host = "$behaviour.example.com") =~ tr/_/-/;
	$to{$host} = $behaviour;
	$featul->workspace($behaviour, webhook => "https://$host/");
}
lead(%to);
foreach my $behaviour (sort keys %flood)
{
	foreach my $timeout ('5ms', '30ms', '1min')
	{
		my ($status, $out, $err) = $node->psql('postgres',
			"SET featul_integrations.user_id = 'olivia'; SET statement_timeout = '$timeout'; SELECT integration_test('$behaviour', 'webhook')");

		my ($said) = $err =~ /^DETAIL:  (.*)/m;
		$said = $err eq '' ? 'delivered' : $said // $err;
		like($said, $timeout eq '1min' ? $flood{$behaviour} : qr/$flood{$behaviour}|canceling statement due to statement timeout/,
			"$behaviour, within $timeout");
	}
}
post_in(sort keys %flood);
$featul->wait_for_sql("SELECT count(DISTINCT workspace_id) = @{[scalar keys %flood]} FROM featul_integrations.attempt WHERE workspace_id IN ('@{[join q(', '), keys %flood]}')");
like(latest($_), $flood{$_} eq qr/^delivered$/ ? $flood{$_} : qr/^delivered|$flood{$_}/, "$_ ends in the worker too") foreach sort keys %flood;
is( $featul->sql(q(SELECT string_agg(concat_ws(' ', workspace_id, response), ', ' ORDER BY workspace_id) FROM featul_integrations.attempt WHERE workspace_id LIKE 'h1_encoded%')),
	'h1_encoded_by_two, h1_encoded_on_the_way, h1_encoded_once some text, h1_encoded_twice',
	'a body that is encoded more than once is not looked at');

# ---------------------------------------------------------------------------
# Connections grow old, busy or not
# ---------------------------------------------------------------------------

SKIP:
{
	my $faults = $featul->sql(q(SELECT coalesce(current_setting('featul_integrations.fault', true), 'none')));
	skip 'bounds can be changed where assertions are on (test/run --assert)', 2 if $faults eq 'none';

	$featul->workspace('aging', webhook => 'https://aging.example.com/');
	lead('dripping.example.com' => 'h1_drips', 'aging.example.com' => 'friendly');
	foreach my $n (1 .. 5)
	{
		post_in('aging');
		$featul->wait_for_sql("SELECT count(*) = $n FROM featul_integrations.attempt WHERE workspace_id = 'aging' AND state = 'delivered'");
	}
	is(scalar($featul->hostile('friendly', 'open')), 1, 'a connection is used again');
	settle_on('fault', 'pool age:1');
	Featul::wait_for(sub { post_in('aging'); $featul->hostile('friendly', 'open') >= 4 }, 'new connections, though none was idle for long');
	Featul::wait_for(sub { $featul->hostile('friendly', 'closed') >= 2 }, 'the old ones to be closed');
	pass('no connection is older than its bound');
}

# The worker has such a request in flight.
lead('dripping.example.com' => 'h1_drips');
post_in('dripping');
$featul->wait_for_sql('SELECT in_flight >= 1 FROM featul_integrations.stat_worker');
is($featul->sql('SELECT pid FROM featul_integrations.stat_worker'), $worker, 'all of it in one and the same worker');
$node->stop('fast');
ok(1, 'a fast shutdown works');
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'nothing crashed');
done_testing();
