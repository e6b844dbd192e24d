# Mixed traffic of several workspaces, receivers that fail in every way, random crashes,
# reloads, connects and disconnects.  In the end the books balance: what the application
# committed, what the log says and what the receiver has got are the same.
#
# FEATUL_SOAK_SECONDS: how long (60); test/soak takes 15 minutes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use Load;
use POSIX qw(setsid);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{FEATUL_SOAK_SECONDS} || 60;
my $report = $ENV{FEATUL_SOAK_SECONDS} ? \&diag : \&note;    # by hand the figures are shown
my $attempts = 8;
my @tenants = map { "t$_" } 1 .. 4;
my $leaver = 't4';    # connects and disconnects all the time
my $rounds = 0;

my $featul = Featul->new(connect => ['webhook'], conf => <<"END");
restart_after_crash = on
featul_integrations.max_attempts = $attempts
featul_integrations.retry_delay = '20ms'
featul_integrations.request_timeout = '1s'
log_statement = none
log_min_duration_statement = -1
END
my $node = $featul->node;
my $load = Load->new($featul);

sub url { return "https://$_[0].example.com/hook" }

$featul->workspace($_, webhook => url($_)) foreach @tenants;
$featul->sql('CREATE TABLE soak_ledger (workspace text, event text, post_id text)');

# a post and a vote for it, of any tenant
my $script = "$load->{dir}/tenants.sql";
append_to_file($script, <<'END');
\set tenant random(1, 4)
WITH p AS (
	INSERT INTO post (id, board_id, title, content, slug, author_id)
	VALUES (gen_random_uuid(), 't:tenant-ideas', 'soak', repeat('word ', 50), gen_random_uuid(), 'mina') RETURNING id),
v AS (INSERT INTO vote (id, post_id, user_id, type) SELECT gen_random_uuid(), id, 'sam', 'upvote' FROM p)
INSERT INTO soak_ledger SELECT 't:tenant', event, id FROM p, unnest('{post.created,post.upvoted}'::text[]) event;
END

my $tenants_load = fork // die "fork: $!";
if (!$tenants_load)
{
	setsid();
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>>', "$load->{dir}/tenants.log");
	open(STDERR, '>&', \*STDOUT);
	while (1)
	{
		system('pgbench', '-n', '-T', '36000', '-c', 2, '-R', 40, '-h', $node->host, '-p', $node->port,
			'-f', $script, 'postgres');
		usleep(50_000);
	}
}

# The server may be restarting: then nothing is done.
sub try_sql
{
	my ($status, $out) = $node->psql('postgres', $_[0]);

	return $status == 0 ? $out : undef;
}

sub signal_worker
{
	my ($signal) = @_;
	my $pid = try_sql(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'featul_integrations worker'));

	kill $signal, $pid if $pid;
	return;
}

# How a tenant's endpoint may behave, for a while
my @behaviours = (
	[ {} ],
	[ { status => 500, chance => 0.7 } ],
	[ { delay => 0.3 } ],
	[ { rude => 'reset' } ],
	[ { rude => 'close', chance => 0.5 } ],
	[ { delay => 5 } ],
	[ { status => 302, headers => { Location => 'https://example.com/' }, chance => 0.5 } ],
	[ { status => 429, headers => { 'Retry-After' => '0.3' }, chance => 0.3 } ],
	[ { limit => { count => 20, seconds => 1 } } ]);
my %script = ('hook.example.com/' => [ { status => 500, chance => 0.02 } ]);

my @actions = (
	(sub {
		my $tenant = $tenants[ rand @tenants ];

		$script{"$tenant.example.com/"} = $behaviours[ rand @behaviours ];
		$featul->script(\%script);
	}) x 6,
	(sub { signal_worker('TERM') }) x 2,
	sub { signal_worker('KILL') },
	sub { $node->stop('immediate'); $node->start; },
	sub {
		try_sql('ALTER SYSTEM SET featul_integrations.max_in_flight_per_integration = ' . (1 + int rand 16));
		try_sql('SELECT pg_reload_conf()');
	},
	sub {
		foreach my $value ('off', 'on')
		{
			try_sql("ALTER SYSTEM SET featul_integrations.delivery = $value");
			try_sql('SELECT pg_reload_conf()');
		}
	},
	(sub { try_sql("SET featul_integrations.user_id = 'olivia'; SELECT integration_disconnect('$leaver', 'webhook')") })
	  x 2,
	(sub {
		try_sql("SET featul_integrations.user_id = 'olivia'; SELECT integration_connect('$leaver', 'webhook', '"
			  . url($leaver) . "')");
	}) x 2,
	sub { try_sql("SET featul_integrations.user_id = 'olivia'; SELECT integration_rotate_secret('acme')") },
	sub { try_sql('VACUUM featul_integrations.queue, featul_integrations.health') });

$featul->script(\%script);
$load->start(rate => 60);
my $end = time + $seconds;
while (time < $end)
{
	usleep(200_000 + int(rand 600_000));    # how dense the trouble is, nothing is waited for
	$actions[ rand @actions ]->();
	$rounds++;
}
$load->stop;
kill 'KILL', -$tenants_load, $tenants_load;
waitpid($tenants_load, 0);

# everything is well again; a successful test ends what holds a lane back
Featul::wait_for(sub { defined try_sql('SELECT 1') }, 'the server');
$featul->script({});
$featul->set(delivery => 'on');
$featul->connect('webhook', workspace => $leaver, url => url($leaver));
$featul->sql_as('olivia', "SELECT integration_test('$_', 'webhook')") foreach @tenants;
$featul->wait_until_settled;
$report->("$rounds troubles in $seconds s");

my ($problems, $figures) = $load->books;
$report->(join ', ', map { "$_: $figures->{$_}" } sort keys %$figures);
is(join("\n", @$problems), '', 'acme: what was committed arrived in order, nothing else did');

# what the receiver answered with 200, by host
my %answered;
$answered{ $_->{host} }{ $_->{headers}{'webhook-id'} } = 1
  foreach grep { ($_->{status} // 0) == 200 } $featul->requests;

foreach my $tenant (@tenants)
{
	my %state = map { split /\|/ } split /\n/, $featul->sql(<<"END");
SELECT state, count(*) FROM featul_integrations.deliveries WHERE workspace_id = '$tenant' GROUP BY state
END
	my $events = $featul->sql("SELECT count(*) FROM featul_integrations.event WHERE workspace_id = '$tenant'");
	my $committed = $featul->sql("SELECT count(*) FROM soak_ledger WHERE workspace = '$tenant'");
	my $sum = 0;

	$report->("$tenant: $events events, " . join ', ', map { "$state{$_} $_" } sort keys %state);
	$sum += $_ foreach values %state;
	is($sum, $events, "$tenant: events = delivered + failed + cancelled");
	ok(!exists $state{pending}, "$tenant: nothing is pending");
	cmp_ok($state{delivered} // 0, '>', 0, "$tenant: some were delivered");
	is($events, $committed, "$tenant: what was committed is what was captured") if $tenant ne $leaver;

	# the receiver's record against the log
	my %arrived = %{ $answered{"$tenant.example.com"} };
	my %delivered = map { $_ => 1 } split /\n/, $featul->sql(<<"END");
SELECT webhook_id FROM featul_integrations.deliveries WHERE workspace_id = '$tenant' AND state = 'delivered'
END
	my %known = map { $_ => 1 } split /\n/, $featul->sql(<<"END");
SELECT 'msg_' || webhook_id FROM featul_integrations.event WHERE workspace_id = '$tenant'
END
	delete @arrived{ grep { !$known{$_} } keys %arrived };    # integration_test's
	is(join(' ', grep { !$arrived{$_} } keys %delivered), '', "$tenant: what the log calls delivered has arrived");
	# a crash or a time-out may miss an answer, and a later attempt or a disconnect then decides
	my %failed = map { $_ => 1 } split /\n/, $featul->sql(<<"END");
SELECT webhook_id FROM featul_integrations.deliveries WHERE workspace_id = '$tenant' AND state = 'failed'
END
	is(join(' ', grep { !$delivered{$_} && !$failed{$_} } keys %arrived), '', "$tenant: and what has arrived is in the log")
	  if $tenant ne $leaver;
}

is( $featul->sql(<<"END"), '', 'each delivery has its attempts in the log');
SELECT d.id, d.state, d.attempts, a.logged
FROM featul_integrations.deliveries d
CROSS JOIN LATERAL (
	SELECT count(*) AS logged FROM featul_integrations.attempt a
	WHERE a.workspace_id = d.workspace_id AND a.delivery_id = d.id AND a.state <> 'cancelled') a
WHERE a.logged < d.attempts OR d.state IN ('delivered', 'failed') AND d.attempts = 0
	OR d.state = 'failed' AND d.attempts <> $attempts
LIMIT 10
END

done_testing();
