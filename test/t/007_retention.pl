# How long settled deliveries and their payloads are kept.  Ten partitions take turns; time is made
# to pass by moving all that is known of the partitions into the past.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => ['webhook']);
my $node = $featul->node;

sub partition
{
	return $featul->sql('SELECT partition FROM featul_integrations.rotation');
}

# An eighth of the retention
my $eighth = "interval '21 hours'";

my $move = "UPDATE featul_integrations.rotation SET started_at = started_at - $eighth,"
  . " ended = ARRAY(SELECT e - $eighth FROM unnest(ended) WITH ORDINALITY u (e, n) ORDER BY n)";

# An eighth of the retention passes, and the worker has looked at it
sub pass_time
{
	$featul->sql($move);
	$node->reload;
	$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
	$featul->post(title => 'a turn of the worker');
	$featul->wait_until_settled;
	return;
}

# The log of the posts with this title
sub kept
{
	my ($title) = @_;

	return $featul->sql("SELECT coalesce(string_agg(state, ',' ORDER BY state), '') FROM featul_integrations.deliveries "
		  . "WHERE payload #>> '{post,title}' = '$title'");
}

my $first = partition();
$featul->post(title => 'first');
$featul->wait_until_settled;
foreach my $passed (1 .. 9)
{
	pass_time();
	is(partition(), ($first + $passed) % 10, "the next partition is written after an eighth ($passed)");
	is(kept('first'), 'delivered', 'what is in the log stays there') if $passed >= 8;
}

# What is pending outlives its time, and so does what stands beside it
$featul->workspace('dead', webhook => 'https://dead.example.com/');
$featul->sql(<<'END');
WITH e AS (
	SELECT e.partition, e.id FROM featul_integrations.event e WHERE e.payload #>> '{post,title}' = 'first')
INSERT INTO featul_integrations.queue (integration_id, event_partition, event_id, post_id, next_attempt_at)
SELECT i.id, e.partition, e.id, 'overdue', now() + interval '1 hour'
FROM e, featul_integrations.integration i WHERE i.workspace_id = 'dead';
END
$featul->sql($move);
$node->reload;
$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
$featul->post(title => 'another turn');
$featul->wait_for_sql(q(SELECT count(*) = 1 FROM featul_integrations.queue));
is(partition(), ($first + 11) % 10, 'a partition that something pending needs is left alone, and the next one taken');
is(kept('first'), 'delivered,pending', 'the payload is still there');
$featul->connect('webhook', workspace => 'dead', url => 'https://dead.example.com/');
$featul->wait_until_settled;
is(scalar($featul->requests(host => 'dead.example.com')), 1, 'and is sent in the end');

# Whoever reads a partition is not disturbed
my $reader = $node->background_psql('postgres', on_error_stop => 1);
$reader->query_safe("BEGIN; SELECT count(*) FROM featul_integrations.event_$first;");
my $log_start = -s $node->logfile;
pass_time();
is(partition(), ($first + 12) % 10, 'a partition that somebody reads is left alone, and the next one taken');
unlike(slurp_file($node->logfile, $log_start), qr/WARNING/, 'which is no trouble');
$reader->query_safe('COMMIT');
$reader->quit;
pass_time();
is(partition(), $first, 'once nobody needs it, the oldest is the next');
is(kept('first'), '', 'then the oldest is gone from the log');
is($featul->sql("SELECT count(*) FROM featul_integrations.attempt a, featul_integrations.rotation r "
	  . "WHERE a.partition = $first AND a.at < r.started_at"), 0, 'with its attempts');
is(kept('another turn'), 'delivered', 'what came later is kept');

done_testing();
