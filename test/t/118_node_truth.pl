
# Replication that stands still is never shown as one that goes on: a publisher that does not
# answer, one change that fails again and again, a clock that is wrong, a table that is not
# replicated any more.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use DeliveryNode;
use Featul;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;

# Adds AHEAD seconds to what the publisher takes for the time
my $shim = PostgreSQL::Test::Utils::tempdir('clock');
append_to_file("$shim/clock.c", <<'END');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>

int
gettimeofday(struct timeval *now, void *zone)
{
	static int (*real)(struct timeval *, void *);
	const char *ahead = getenv("AHEAD");
	int result;

	if (!real)
		real = dlsym(RTLD_NEXT, "gettimeofday");
	result = real(now, zone);
	now->tv_sec += ahead ? atol(ahead) : 0;
	return result;
}
END
my $has_shim = system("cc -shared -fPIC -o '$shim/clock.so' '$shim/clock.c' -ldl 2>'$shim/log'") == 0;

my $pair = DeliveryNode->new(
	connect => ['webhook'],
	node_conf => <<'END');
max_logical_replication_workers = 200
max_worker_processes = 220
max_replication_slots = 220
END
my $node = $pair->node;
my $ready = slurp_file("$DeliveryNode::deploy_dir/ready.sql");

sub post
{
	my ($id) = @_;

	return "INSERT INTO post (id, board_id, title, content, slug) VALUES ('$id', 'ideas', '$id', 'x', '$id')";
}

# What the view and the probe say, so many times
sub looks
{
	my ($times) = @_;
	my %seen;

	$seen{ $node->sql('SELECT state FROM featul_integrations.stat_subscription') . ' ' . $node->sql($ready) }++ foreach 1 .. $times;
	return join(', ', sort keys %seen);
}
is(looks(1), 'streaming t', 'replication goes on');

# a publisher that takes the connection and says nothing, as one behind a firewall might
my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 10) or die;
$node->sql("ALTER SUBSCRIPTION featul CONNECTION 'host=127.0.0.1 port=@{[ $silent->sockport ]} dbname=postgres user=featul_node'");
$node->wait_for_sql(q(SELECT count(*) > 0 FROM pg_stat_activity
	WHERE wait_event ILIKE 'LibPQWalReceiverConnect' AND backend_start < clock_timestamp() - interval '11 seconds'));
is(looks(1), 'stopped f', 'a worker that is still connecting is none');
$node->sql('ALTER SUBSCRIPTION featul CONNECTION $$' . $pair->publisher_conninfo . '$$');
$node->sql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event ILIKE 'LibPQWalReceiverConnect'));
$silent->close;
$pair->wait_until_streaming;
is(looks(1), 'streaming t', 'it is reached again');

# one change fails, and the worker is started ten times a second
$node->sql('SET session_replication_role = replica; ' . post('twice'));
$pair->app(post('twice'));
$node->wait_for_sql('SELECT errors > 0 FROM featul_integrations.stat_subscription');
is(looks(40), 'stopped f', 'an error again and again is never shown as anything else');
$node->sql(q(SET session_replication_role = replica; DELETE FROM post WHERE id = 'twice'));
$pair->catch_up;
is(looks(1), 'streaming t', 'it goes on');

# a table that falls out of the publication
$pair->app('ALTER PUBLICATION featul_integrations DROP TABLE vote');
$node->sql('ALTER SUBSCRIPTION featul REFRESH PUBLICATION');
is(looks(1), 'streaming f', 'a bound table that is not replicated is not ready');
is($node->sql(q(SELECT DISTINCT source, state FROM featul_integrations.bindings WHERE state <> 'ok')),
	'vote|the table is not replicated, as others are', 'and is named');
$pair->app('ALTER PUBLICATION featul_integrations ADD TABLE vote');
$node->sql('ALTER SUBSCRIPTION featul REFRESH PUBLICATION');
$pair->wait_until_streaming;
is(looks(1), 'streaming t', 'it is again');

# more subscriptions have come and gone than are remembered
my $count = 150;
$node->sql(join ';', map {
	("CREATE SUBSCRIPTION past$_ CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false, slot_name = 'past')",
		"ALTER SUBSCRIPTION past$_ ENABLE")
  } 1 .. $count);
my $failed = q(SELECT count(*) FROM featul_integrations.stat_subscription WHERE subscription <> 'featul' AND last_error IS NOT NULL);
$node->wait_for_sql("SELECT ($failed) > 126");
$node->sql(join ';', map {
	("ALTER SUBSCRIPTION past$_ DISABLE", "ALTER SUBSCRIPTION past$_ SET (slot_name = NONE)", "DROP SUBSCRIPTION past$_")
  } 1 .. $count);
$node->sql(q(CREATE SUBSCRIPTION present CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false, slot_name = 'present');
	ALTER SUBSCRIPTION present ENABLE));
$node->wait_for_sql("SELECT ($failed) = 1");
pass('what fails now is told, whatever came before');
$node->sql('ALTER SUBSCRIPTION present DISABLE; ALTER SUBSCRIPTION present SET (slot_name = NONE); DROP SUBSCRIPTION present');

# capture is off for whom the changes are applied as, and for nobody else
my $owner = $node->sql('SELECT current_user');
$node->sql("ALTER ROLE $owner SET featul_integrations.capture = off; CREATE ROLE prober LOGIN; GRANT pg_monitor TO prober");
$node->sql('ALTER SUBSCRIPTION featul DISABLE');
$node->wait_for_sql('SELECT count(*) = 0 FROM pg_stat_subscription WHERE pid IS NOT NULL');
$node->sql('ALTER SUBSCRIPTION featul ENABLE');
my ($skipped) = $node->sql('SELECT skipped FROM featul_integrations.stat_capture');
$pair->app(post('unseen'));
$pair->catch_up;
is($node->sql(q(SELECT count(*) FROM featul_integrations.event WHERE post_id = 'unseen')), '0', 'a role may be silent');
is($node->node->safe_psql('postgres', $ready, extra_params => [ '-U', 'prober' ]), 'f', 'which is not ready, whoever asks');
is($node->sql("SELECT skipped - $skipped FROM featul_integrations.stat_capture"), '1', 'what is left out is counted');
$node->sql("ALTER ROLE $owner RESET featul_integrations.capture; ALTER SUBSCRIPTION featul DISABLE");
$node->wait_for_sql('SELECT count(*) = 0 FROM pg_stat_subscription WHERE pid IS NOT NULL');
$node->sql('ALTER SUBSCRIPTION featul ENABLE');
$pair->app(post('seen'));
$pair->catch_up;
is(looks(1), 'streaming t', 'it speaks again');

# a publisher whose clock is a day ahead, with a change that is an hour old by it
sub restart_publisher
{
	my ($ahead) = @_;
	local $ENV{LD_PRELOAD} = "$shim/clock.so";
	local $ENV{AHEAD} = $ahead;

	$pair->publisher->restart;
	return;
}
SKIP:
{
	skip 'there is no compiler', 3 unless $has_shim;
	$node->sql('ALTER SUBSCRIPTION featul DISABLE');
	restart_publisher(23 * 3600);
	$pair->app(post('an hour ago'));
	restart_publisher(24 * 3600);
	my $session = $node->node->background_psql('postgres');
	$session->query_safe('BEGIN; LOCK TABLE vote');
	$node->sql('ALTER SUBSCRIPTION featul ENABLE');
	$pair->app(q(INSERT INTO vote (id, post_id, user_id, type) VALUES ('waits', 'an hour ago', 'vera', 'upvote')));
	$node->wait_for_sql(q(SELECT count(*) = 1 FROM pg_locks l JOIN pg_stat_subscription s USING (pid) WHERE NOT l.granted));
	is($node->sql(q(SELECT state, lag_seconds BETWEEN 3500 AND 7000 FROM featul_integrations.stat_subscription)),
		'streaming|t', 'what is old is seen as old, though it comes from the future');
	is($node->sql($ready), 'f', 'and is not ready');
	$session->query_safe('COMMIT');
	$session->quit;
	$pair->catch_up;
	is($node->sql(q(SELECT count(*) FROM featul_integrations.event WHERE name = 'post.created' AND post_id = 'an hour ago')), '1', 'it is told all the same');
}

done_testing();
