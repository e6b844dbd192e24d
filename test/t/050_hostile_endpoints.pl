# Endpoints that do everything but answer properly, all at once: each attempt ends as the
# contract says and in time, the worker stays small, and nobody else waits.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $timeout = 3;    # seconds, featul_integrations.request_timeout

# What an endpoint does, and what the log must say: state and error (or a full error text)
my %rude = (
	silence => [ 'failed', qr/^no complete response within 3 s$/ ],
	drip_headers => [ 'failed', qr/^no complete response within/ ],
	drip_body => [ 'failed', qr/^no complete response within/ ],
	endless_headers => [ 'failed', qr/headers are too large/ ],
	# of a response 64 KiB are read, then its status decides
	endless_body => [ 'delivered', qr/^$/ ],
	endless_chunks => [ 'delivered', qr/^$/ ],
	gzip_bomb => [ 'delivered', qr/^$/ ],
	bad_gzip => [ 'failed', qr/./ ],
	bad_chunks => [ 'failed', qr/./ ],
	bad_status => [ 'failed', qr/./ ],
	garbage => [ 'failed', qr/./ ],
	truncated => [ 'failed', qr/./ ],
	reset => [ 'failed', qr/./ ],
	close => [ 'failed', qr/closed without an answer|connection broke/ ],    # libcurl's versions differ
	reset_in_headers => [ 'failed', qr/./ ],
	reset_in_body => [ 'failed', qr/./ ]);
my %rude_connection = (
	stall => [ 'failed', qr/^no complete response within/ ],
	reset => [ 'failed', qr/./ ],
	close => [ 'failed', qr/./ ],
	garbage => [ 'failed', qr/TLS/ ],
	h2_goaway => [ 'failed', qr/./ ],
	h2_reset => [ 'failed', qr/./ ]);
my %port = (
	expired => [ 'failed', qr/^TLS: .*certificate has expired/ ],
	wrong_host => [ 'failed', qr/^TLS: .*(subject|match)/ ],
	self_signed => [ 'failed', qr/^TLS: .*self.signed/ ],
	old_tls => [ 'failed', qr/^TLS: / ],
	plain => [ 'failed', qr/^TLS: |^no complete response within/ ],
	blackhole => [ 'failed', qr/^no complete response within/ ]);

my $featul = Featul->new(connect => []);
my $node = $featul->node;

# workspace (and first part of the host) -> expected
my %expected = (
	(map { ("rude-$_" => $rude{$_}) } keys %rude),
	(map { ("tls-$_" => $rude_connection{$_}) } keys %rude_connection),
	(map { ("port-$_" => $port{$_}) } keys %port),
	redirect => [ 'failed', qr/^HTTP 302|302/ ],
	'no-such-name' => [ 'failed', qr/could not be resolved|no complete response/ ],
	# the name is fine, what it leads to is not
	'turns-private' => [ 'failed', qr/^the address is not public$/ ],
	'turns-unroutable' => [ 'failed', qr/^the address is not public$/ ],
	closed => [ 'failed', qr/^could not connect/ ]);
my %host = map { my $host = $_; $host =~ tr/_/-/; ($_ => "$host.example.com") } keys %expected;

$featul->script({
		(map { ("$host{\"rude-$_\"}/" => [ { rude => $_ } ]) } keys %rude),
		(map { ("tls:$host{\"tls-$_\"}" => [ { rude => $_ } ]) } keys %rude_connection),
		"$host{redirect}/" => [ { status => 302, headers => { Location => "https://$host{redirect}/" } } ] });
my $connect_to = join ',',
  (map { "$host{\"port-$_\"}:443:127.0.0.1:" . $featul->port($_) } keys %port),
  "$host{'no-such-name'}:443:no-such-name.invalid:443",
  "$host{'turns-private'}:443:192.168.0.1:443",
  "$host{'turns-unroutable'}:443:[fe80\::1]:443",
  "$host{closed}:443:127.0.0.1:1",
  '::127.0.0.1:' . $featul->port('server');

$node->append_conf('postgresql.conf', <<"END");
featul_integrations.connect_to = '$connect_to'
featul_integrations.request_timeout = '${timeout}s'
featul_integrations.max_attempts = 1
END
$node->reload;
$featul->workspace($_, webhook => "https://$host{$_}/") foreach keys %expected;
$featul->workspace('kind', webhook => 'https://kind.example.com/');

sub process_figures
{
	my $pid = $featul->sql(
		q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'featul_integrations worker'));
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s*(\d+) kB/m;
	my $descriptors = () = glob "/proc/$pid/fd/*";

	return ($pid, $kb, $descriptors);
}

sub post_in
{
	my ($count, @workspaces) = @_;

	$featul->sql(<<"END");
INSERT INTO post (id, board_id, title, content, slug, author_id)
SELECT gen_random_uuid(), w || '-ideas', 'title', 'content', gen_random_uuid(), 'mina'
FROM unnest('{@{[join ',', @workspaces]}}'::text[]) w, generate_series(1, $count)
END
	return;
}

# The longest from an event to its delivery, of the kind endpoint, ms
sub slowest
{
	return $featul->sql(<<'END');
SELECT round(max(extract(epoch FROM a.at - e.created_at)) * 1000)
FROM featul_integrations.attempt a
JOIN featul_integrations.event e ON e.partition = a.event_partition AND e.id = a.event_id
WHERE a.workspace_id = 'kind'
END
}

# The worker has delivered something before it is measured.
post_in(20, 'kind');
$featul->wait_for_requests(20, host => 'kind.example.com');
$featul->wait_until_settled;
my ($pid, $kb, $descriptors) = process_figures();
my $alone = slowest();

# Three to each hostile endpoint; the kind one gets one every 50 ms as long as that takes.
post_in(3, keys %expected);
my $kind = 20;
Featul::wait_for(
	sub {
		post_in(1, 'kind');
		$kind++;
		usleep(50_000);
		return $featul->sql(<<'END') eq 't';
SELECT NOT EXISTS (SELECT FROM featul_integrations.queue q
	JOIN featul_integrations.integration i ON i.id = q.integration_id WHERE workspace_id <> 'kind')
END
	},
	'the end of all hostile deliveries');
$featul->wait_until_settled;

my $second = $featul->second;
foreach my $workspace (sort keys %expected)
{
	my ($state, $error) = @{ $expected{$workspace} };
	my @rows = split /\n/,
	  $featul->sql(<<"END");
SELECT concat_ws('|', state, duration_ms, coalesce(error, '')) FROM featul_integrations.attempt WHERE workspace_id = '$workspace'
END
	my @wrong = grep {
		my ($is, $ms, $text) = split /\|/, $_, 3;
		$is ne $state || ($text // '') !~ $error || $ms > ($timeout + $second) * 1000
	} @rows;

	is(scalar(@rows), 3, "$workspace: three attempts");
	is("@wrong", '', "$workspace: $state, in time");
}

is($featul->sql(<<'END'), '', 'the redirect was not followed');
SELECT state FROM featul_integrations.attempt WHERE workspace_id = 'redirect' AND http_status IS DISTINCT FROM 302
END
my $slowest = slowest();
is(scalar($featul->requests(host => 'kind.example.com')), $kind, 'the kind endpoint got everything');
# a hostile one takes all of its time-out, thrice
cmp_ok($slowest, '<', $alone + $timeout * 1000, "and waited for nobody (slowest: $slowest ms, alone: $alone ms)");

my ($pid_now, $kb_now, $descriptors_now) = process_figures();
is($pid_now, $pid, 'the worker is still the same process');
cmp_ok($kb_now - $kb, '<', 32 * 1024, 'its memory is bounded (grew by ' . ($kb_now - $kb) . ' kB)');
cmp_ok($descriptors_now - $descriptors, '<', 16, 'so are its descriptors');
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'nothing crashed');

done_testing();
