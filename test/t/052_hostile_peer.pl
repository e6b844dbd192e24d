# A hostile peer (test/hostile.py) at every layer: whatever it does, each attempt ends as the
# contract says, nobody else waits, and a connection is trusted for what it has answered.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => []);
my $node = $featul->node;
my $ports = $featul->start_hostile;
my %discord = map { $_ => "https://$_/api/webhooks/1/token" } qw(discord.com ptb.discord.com canary.discord.com discordapp.com);
my %slack = map { $_ => "https://$_/services/T0/B0/token" } qw(hooks.slack.com hooks.slack-gov.com);

# Leads hosts to behaviours of the peer; anything else goes to the kind receiver.
sub lead
{
	my (%behaviour) = @_;
	my $before = $featul->sql('SELECT now()');

	$featul->set('connect_to',
		join ',', (map { "$_:443:127.0.0.1:$ports->{$behaviour{$_}}" } sort keys %behaviour),
		'::127.0.0.1:' . $featul->port('server'));
	return $featul->wait_for_sql("SELECT config_loaded_at > '$before' FROM featul_integrations.stat_worker");
}

# So many posts in a workspace, each of its own, in one statement
sub post_in
{
	my ($count, @workspaces) = @_;

	return $featul->sql(<<"END");
INSERT INTO post (id, board_id, title, content, slug, author_id)
SELECT gen_random_uuid(), w || '-ideas', 'title', 'content', gen_random_uuid(), 'mina'
FROM unnest('{@{[join ',', @workspaces]}}'::text[]) w, generate_series(1, $count)
END
}

# The attempts at a workspace's deliveries, as "state error", oldest first
sub attempts
{
	my ($workspace) = @_;

	return split /\n/, $featul->sql(<<"END");
SELECT concat_ws(' ', state, error) FROM featul_integrations.attempt WHERE workspace_id = '$workspace' ORDER BY at
END
}

# Deliveries of a workspace by how they ended and after how many attempts, as "1: delivered"
sub outcomes
{
	my ($workspace) = @_;

	return $featul->sql(<<"END");
SELECT string_agg(DISTINCT attempts || ': ' || state, ', ')
FROM featul_integrations.deliveries WHERE workspace_id = '$workspace'
END
}

$featul->set('max_attempts', 1);
$featul->workspace('kind', webhook => 'https://kind.example.com/');

# ---------------------------------------------------------------------------
# What never ends: the bytes on the wire are counted, whatever they are.
# ---------------------------------------------------------------------------

# libcurl 8.23 notices some floods itself
my $too_large = qr/^failed (the response is too large|Error in the HTTP2 framing layer)$/;
my %endless = (
	# its headers are complete: the status decides
	(map { ($_ => qr/^delivered$/) } qw(h1_chunk_extension h1_tiny_chunks h1_gzip_nothing)),
	h1_trailers => qr/^(delivered|failed the response's headers are too large)$/,
	h1_interim => qr/^failed the response's headers are too large$/,
	h1_header_line => qr/^failed ./,
	h1_blank_lines => qr/^failed ./,
	# these two are more than libcurl's HTTP/2 library bears
	h2_empty_data => qr/^failed ./,
	h2_settings => qr/^failed ./,
	(map { ($_ => $too_large) } qw(h2_priority h2_window_update h2_unknown h2_ping)));
my @h2_hosts = (sort(keys %discord), sort(keys %slack));
my %host;
my %to;
foreach my $behaviour (sort keys %endless)
{
	my $host = $host{$behaviour} =
	  $behaviour =~ /^h2/ ? shift @h2_hosts : ($behaviour =~ tr/_/-/r) . '.example.com';
	$to{$host} = $behaviour;
	$featul->workspace($behaviour,
		$discord{$host} ? (discord => $discord{$host})
		: $slack{$host} ? (slack => $slack{$host})
		:                 (webhook => "https://$host/"));
}
lead(%to);
post_in(1, keys %endless);
post_in(20, 'kind');
$featul->wait_for_requests(20, host => 'kind.example.com');
$featul->wait_until_settled;
foreach my $behaviour (sort keys %endless)
{
	my @attempts = attempts($behaviour);

	is(scalar(@attempts), 1, "$behaviour: one attempt");
	like($attempts[0], $endless{$behaviour}, "$behaviour: ends as it should");
}

my ($status, $out, $err) = $node->psql('postgres',
	q(SET featul_integrations.user_id = 'olivia'; SELECT integration_test('h2_priority', 'discord')));
like($err, qr/DETAIL:  (the response is too large|Error in the HTTP2 framing layer)/, 'integration_test comes back too');

# ---------------------------------------------------------------------------
# What a handshake may cost
# ---------------------------------------------------------------------------

my %handshake = (
	tls_dhe => qr/^failed TLS: .*handshake failure/,
	tls_long_chain => qr/^failed TLS: its certificate chain is longer than 10 certificates$/,
	tls_large_key => qr/^failed TLS: a key in its certificate chain is longer than 8192 bits$/,
	tls_many_names => qr/^failed TLS: .*excessive message size/);
%host = map { $_ => ($_ =~ tr/_/-/r) . '.example.com' } keys %handshake;
$featul->workspace($_, webhook => "https://$host{$_}/") foreach keys %handshake;
lead(map { $host{$_} => $_ } keys %handshake);
post_in(1, keys %handshake);
$featul->wait_until_settled;
like(join("\n", attempts($_)), $handshake{$_}, "$_ is refused") foreach sort keys %handshake;

# ---------------------------------------------------------------------------
# Connections earn trust
# ---------------------------------------------------------------------------

# A request that was not processed is sent again at once, and is no attempt.
$featul->set('max_attempts', 3);
$featul->set('request_timeout', '2s');
$featul->workspace('closing', webhook => 'https://closing.example.com/');
$featul->workspace($_, discord => $discord{'discord.com'})
  foreach qw(goaway_each_third goaway_unprocessed refuses refuses_all silent_h2);
lead('closing.example.com' => 'h1_closes_kept_alive');
foreach my $n (1 .. 12)
{
	post_in(1, 'closing');
	$featul->wait_until_settled;
}
is(outcomes('closing'), '1: delivered', 'a kept-alive connection that is closed costs no attempt');

foreach my $behaviour (qw(goaway_each_third goaway_unprocessed refuses))
{
	lead('discord.com' => "h2_$behaviour");
	post_in(8, $behaviour);
	$featul->wait_until_settled;
	foreach my $n (1 .. 8)
	{
		post_in(1, $behaviour);
		$featul->wait_until_settled;
	}
	is(outcomes($behaviour), '1: delivered', "h2_$behaviour costs no attempt");
}
lead('discord.com' => 'h2_refuses_all');
post_in(1, 'refuses_all');
$featul->wait_until_settled;
is(outcomes('refuses_all'), '3: failed', 'but who refuses always is not asked for ever');

# After a time-out the next attempt goes out on a fresh connection, although others of those
# that were open with it are still there.
$featul->workspace($_, webhook => 'https://silent.example.com/') foreach qw(silent crowd);
lead('silent.example.com' => 'h1_first_goes_silent', 'discord.com' => 'h2_goes_silent');
post_in(8, 'crowd');
post_in(1, 'silent_h2');
$featul->wait_until_settled;
cmp_ok(scalar($featul->hostile('h1_first_goes_silent', 'open')), '>', 3, 'several connections have answered once');
post_in(1, 'silent', 'silent_h2');
$featul->wait_until_settled;
is(outcomes('silent'), '2: delivered', 'silent now, they cost one attempt, not all');
is(outcomes('silent_h2'), '1: delivered, 2: delivered', 'over HTTP/2 too');

# A host is the same however it is written.
my @others = map { "other$_" } 1 .. 4;
$featul->workspace('written', webhook => 'https://written.example.com/');
$featul->workspace($_, webhook => 'https://Written.Example.COM/') foreach @others;
lead('written.example.com' => 'h1_goes_silent');
post_in(1, @others);
$featul->wait_until_settled;
cmp_ok(scalar($featul->hostile('h1_goes_silent', 'open')), '>', 3, 'several connections are open');
post_in(1, 'written');
$featul->wait_until_settled;
is(outcomes('written'), '2: delivered', 'silent now, they cost one attempt, whatever case the name is in');

# ---------------------------------------------------------------------------
# Whom they trust is read anew on reload, although the file's name is the same.
# ---------------------------------------------------------------------------

my $bundle = "$node->{_basedir}/bundle.pem";
my $ca = slurp_file($featul->dir . '/certs/ca.pem');
my $nobody = slurp_file($featul->dir . '/certs/self_signed.pem');

# Puts it in place of the bundle and tells the server
sub trust
{
	my ($certificates) = @_;
	my $before = $featul->sql('SELECT now()');

	open(my $file, '>', "$bundle.new") or die "$bundle.new: $!";
	print $file $certificates;
	close($file) or die "$bundle.new: $!";
	rename("$bundle.new", $bundle) or die "$bundle: $!";
	$featul->set('ca_file', $bundle);
	return $featul->wait_for_sql("SELECT config_loaded_at > '$before' FROM featul_integrations.stat_worker");
}

# The latest result at the kind endpoint
sub latest
{
	post_in(1, 'kind');
	$featul->wait_until_settled;
	return $featul->sql(<<'END');
SELECT concat_ws(' ', state, error) FROM featul_integrations.attempt WHERE workspace_id = 'kind' ORDER BY at DESC LIMIT 1
END
}

$featul->set('max_attempts', 1);
trust($ca);
is(latest(), 'delivered', 'trusted');
trust($nobody);
like(latest(), qr/^failed TLS: /, 'removed, the CA is trusted no longer: neither by open connections nor by TLS sessions');
trust($ca);
is(latest(), 'delivered', 'and trusted again');

$node->stop('fast');
ok(1, 'a fast shutdown works');
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'nothing crashed');
done_testing();
