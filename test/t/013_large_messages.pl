# What chat messages about many events cost: memory is bounded however many lanes send them at once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $LANES = 64;

plan skip_all => 'needs /proc' unless -e "/proc/$$/status";

# buffers that are shared count as the worker's once it has looked at them
my $featul = Featul->new(connect => [], conf => "shared_buffers = '4MB'\nfeatul_integrations.request_timeout = '60s'\n");

# Peak of the worker's memory, in MB
sub peak
{
	my $pid = $featul->sql('SELECT pid FROM featul_integrations.stat_worker');

	return (slurp_file("/proc/$pid/status") =~ /^VmHWM:\s*(\d+) kB/m)[0] / 1024;
}

$featul->sql(<<END);
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) SELECT 'w' || g, g, 'w' || g, 'starter', 'olivia', g FROM generate_series(1, $LANES) g;
INSERT INTO board (id, workspace_id, name, slug, created_by) SELECT 'b' || g, 'w' || g, 'Ideas', 'ideas', 'olivia' FROM generate_series(1, $LANES) g;
SET featul_integrations.user_id = 'olivia';
SELECT integration_connect('w' || g, 'slack', 'https://hooks.slack.com/services/T/B/' || g) FROM generate_series(1, $LANES) g;
INSERT INTO post (id, board_id, title, content, slug) SELECT 'p' || g, 'b' || g, 'Discussed', '-', 'p' FROM generate_series(1, $LANES) g;
END
$featul->wait_until_settled;
my $before = peak();

# A comment of the largest size in each workspace, with more mentions than one message tells
$featul->set('delivery', 'off');
$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
$featul->forget;
$featul->sql(<<END);
INSERT INTO comment (id, post_id, content, author_id) SELECT 'c' || g, 'p' || g, '\@all ' || repeat('x', 100000), 'adam' FROM generate_series(1, $LANES) g;
INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by)
SELECT gen_random_uuid(), 'c' || g, 'mina', 'adam' FROM generate_series(1, $LANES) g, generate_series(1, 49);
END
$featul->wait_for_sql('SELECT bool_and(next_attempt_at IS NULL OR next_attempt_at < now()) FROM featul_integrations.queue');
$featul->set('delivery', 'on');
$featul->wait_until_settled;
is(scalar($featul->requests), $LANES, 'one message for each comment and its mentions');
cmp_ok(peak() - $before, '<', 32, 'and few megabytes for all of them');

# As many posts as one message stands for, whose results come all at once: those that are known
# to be quick, however slow this machine was above, may all be in flight together
$featul->sql(<<END);
BEGIN;
LOCK TABLE featul_integrations.health;
SELECT pg_terminate_backend(pid, 60000) FROM featul_integrations.stat_worker;
UPDATE featul_integrations.health SET response_ms = 10;
COMMIT;
END
$featul->script({ 'hooks.slack.com/' => [ { status => 200, body => 'x' x 1000, until => 'all' } ] });
$featul->set('delivery', 'off');
$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
$featul->forget;
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT n || '-' || g, 'b' || g, 'T', '-', 'p' || n FROM generate_series(1, $LANES) g, generate_series(1, 500) n");
$featul->set('delivery', 'on');
$featul->wait_for_sql("SELECT in_flight = $LANES FROM featul_integrations.stat_worker");
$featul->release('all');
$featul->wait_until_settled;
is($featul->sql("SELECT count(*) FROM featul_integrations.deliveries WHERE event = 'post.created' AND state = 'delivered' AND response <> 'ok'"),
	500 * $LANES, 'bursts of 500 are delivered');
cmp_ok(peak() - $before, '<', 32, 'with few megabytes for their results');

done_testing();
