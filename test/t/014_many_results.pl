# Many results at once: they are recorded a batch a turn, and nobody else waits for all of
# them.  What cannot be recorded because of a lock is recorded once that is gone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => ['webhook']);
my $node = $featul->node;
my $lanes = 12;
my @bursts = map { "burst$_" } 1 .. $lanes;

$featul->workspace($bursts[ $_ - 1 ], discord => "https://discord.com/api/webhooks/$_/token") foreach 1 .. $lanes;

# So many posts in each of these workspaces
sub post_in
{
	my ($count, @workspaces) = @_;

	return $featul->sql(<<"END");
INSERT INTO post (id, board_id, title, content, slug)
SELECT gen_random_uuid(), CASE w WHEN 'acme' THEN 'ideas' ELSE w || '-ideas' END, 'title', 'content', gen_random_uuid()
FROM unnest('{@{[join ',', @workspaces]}}'::text[]) w, generate_series(1, $count)
END
}

# Pending deliveries of the bursts
sub pending
{
	return $featul->sql("SELECT count(*) FROM featul_integrations.queue WHERE event_name IS NOT NULL");
}

# ---------------------------------------------------------------------------
# Messages of 500 deliveries each are answered at the same time
# ---------------------------------------------------------------------------

post_in(1, 'acme', @bursts);
$featul->wait_until_settled;    # all are known to answer
$featul->script({ 'discord.com/' => [ { until => 'all' } ] });
$featul->set('delivery', 'off');
$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
post_in(500, @bursts);
$featul->set('delivery', 'on');
post_in(1, 'acme');
$featul->wait_for_requests(2, host => 'hook.example.com');    # on a connection of after the reload
$featul->wait_for_sql("SELECT in_flight = $lanes FROM featul_integrations.stat_worker");

# each batch that is recorded takes long, until we have seen enough
$featul->sql(<<'END');
CREATE TABLE seen ();
GRANT SELECT ON seen TO featul_integrations;
CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. TG_ARGV[0]::integer LOOP
		EXIT WHEN EXISTS (SELECT FROM public.seen);
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN NULL;
END $$;
CREATE TRIGGER linger BEFORE DELETE ON featul_integrations.queue FOR EACH STATEMENT EXECUTE FUNCTION linger(100);
END
my $all = pending();
is($all, 500 * $lanes, 'many results are to be recorded');
post_in(1, 'acme');
$featul->wait_for_requests(3, host => 'hook.example.com');
$featul->release('all');    # all are answered while that one is recorded
Featul::wait_for(sub { pending() < $all }, 'the first to be recorded');
post_in(1, 'acme');
$featul->wait_for_requests(4, host => 'hook.example.com');
cmp_ok(pending(), '>', 0, 'something else is sent before all of them are recorded');
$featul->sql('INSERT INTO seen DEFAULT VALUES');
$featul->wait_until_settled;
is($featul->sql("SELECT count(*) FROM featul_integrations.deliveries WHERE type = 'discord' AND state = 'delivered' AND attempts = 1"),
	501 * $lanes, 'in the end all are recorded');

# ---------------------------------------------------------------------------
# One lock after another, as several statements of maintenance take them
# ---------------------------------------------------------------------------

my @lockers = map { $node->background_psql('postgres', on_error_stop => 1) } 1 .. 2;
my $lock = 'LOCK TABLE featul_integrations.attempt IN EXCLUSIVE MODE';
my $attempts = q(SELECT count(*) FROM featul_integrations.attempt WHERE workspace_id = 'acme');

$featul->forget;
$featul->sql(<<'END');
DROP TRIGGER linger ON featul_integrations.queue;
DELETE FROM seen;
CREATE TRIGGER linger BEFORE DELETE ON featul_integrations.queue FOR EACH STATEMENT EXECUTE FUNCTION linger(2);
END
$lockers[0]->query_safe("BEGIN; $lock");
my $before = $featul->sql($attempts);
my $last = '-infinity';

# So many more attempts to record fail
sub wait_for_failures
{
	my ($count) = @_;

	foreach (1 .. $count)
	{
		$featul->wait_for_sql(qq(SELECT max(last_error_at) > '$last' FROM featul_integrations.stat_worker));
		$last = $featul->sql('SELECT max(last_error_at) FROM featul_integrations.stat_worker');
	}
	return;
}

post_in(500, 'acme');
wait_for_failures(3);
# the next one comes as soon as a result has been recorded
$lockers[1]->query_until(qr/^/, <<"END");
BEGIN;
DO \$\$ BEGIN WHILE ($attempts) = $before LOOP PERFORM pg_sleep(0.001); END LOOP; END \$\$;
$lock;
END
$lockers[0]->query_safe('COMMIT');
wait_for_failures(4);
$lockers[1]->query_safe('COMMIT');
$_->quit foreach @lockers;
$featul->wait_until_settled;
is(scalar($featul->requests(host => 'hook.example.com')), 500, 'each is sent once, and recorded in the end');
unlike(slurp_file($node->logfile), qr/is set aside/, 'nothing is set aside on account of a lock');

done_testing();
