# What the worker does when the database itself gives trouble.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $featul = Featul->new(connect => ['webhook']);
my $node = $featul->node;
my $log_start;

sub sent
{
	my ($title) = @_;

	return scalar(grep { $_->{json}{post}{title} eq $title } $featul->requests(event => 'post.created'));
}

sub warnings_since
{
	my ($offset) = @_;
	my $count = () = slurp_file($node->logfile, $offset) =~ /WARNING: .*featul_integrations worker/g;

	return $count;
}

# Nothing is held while waiting for the network
$featul->script({ 'hook.example.com/' => [ { until => 'go' } ] });
$featul->post(title => 'waits');
$featul->wait_for_sql('SELECT in_flight = 1 FROM featul_integrations.stat_worker');
$featul->wait_for_sql("SELECT query = '1 requests in flight' FROM pg_stat_activity "
	  . "WHERE backend_type = 'featul_integrations worker'");
is($featul->sql(<<'END'), '|||0', 'no transaction, snapshot or lock while waiting for the network');
SELECT a.xact_start, a.backend_xmin, a.backend_xid, count(l.pid)
FROM pg_stat_activity a LEFT JOIN pg_locks l ON l.pid = a.pid
WHERE a.backend_type = 'featul_integrations worker' GROUP BY 1, 2, 3
END
$featul->release('go');
$featul->script({});
$featul->wait_until_settled;

# Nothing is done while there is nothing to do (Linux counts how often a process slept)
sub sleeps
{
	my @pids = split /\n/,
	  $featul->sql("SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'featul_integrations %' ORDER BY pid");

	return join ' ', map { slurp_file("/proc/$_/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m ? $1 : '' } @pids;
}

SKIP:
{
	skip 'needs /proc', 1 unless -e "/proc/$$/status";
	my ($before, $after) = ('', sleeps());
	until ($before eq $after)
	{
		$featul->sql('SELECT pg_sleep(1.5)');
		($before, $after) = ($after, sleeps());
	}
	$featul->sql('SELECT pg_sleep(5)');
	is(sleeps(), $after, 'no wake-up of worker and launcher while there is nothing to do');
}

# A session that holds rows of integration and health locked
my $locker = $node->background_psql('postgres', on_error_stop => 1);
$locker->query_safe('BEGIN; SELECT FROM featul_integrations.integration FOR UPDATE; '
	  . 'SELECT FROM featul_integrations.health FOR UPDATE;');
$featul->post(title => 'beside a lock');
$featul->wait_until_settled;
is(sent('beside a lock'), 1, 'locked rows of integration and health hold up no delivery');
$featul->script({ 'hook.example.com/' => [ { status => 410 } ] });
$featul->post(title => 'gone');
$featul->wait_until_settled;
is($featul->sql('SELECT is_active FROM featul_integrations.integration'), 't', 'one that is gone stays as it is');
$locker->query_safe('COMMIT');
$featul->wait_for_sql('SELECT NOT is_active FROM featul_integrations.integration');
pass('until its row can be changed');
$featul->script({});
$featul->connect('webhook');
$featul->wait_for_sql('SELECT delivered >= 2 FROM featul_integrations.health');
pass('and counters that were held up are saved later');

# Connecting again in a transaction that is still open when the old endpoint is found gone
$featul->script({ 'hook.example.com/featul' => [ { status => 410 } ] });
$locker->query_safe("SET featul_integrations.user_id = 'olivia'; BEGIN; "
	  . "SELECT * FROM integration_connect('acme', 'webhook', 'https://hook.example.com/new');");
$featul->post(title => 'gone again');
$featul->wait_until_settled;
$log_start = -s $node->logfile;
$locker->query_safe('COMMIT');
$featul->post(title => 'at the new URL');
$featul->wait_until_settled;
is(sent('at the new URL'), 1, 'a new URL is used at once');
# another one that is gone, and made inactive later than the first would have been
$featul->workspace('second', webhook => 'https://second.example.com/');
$featul->script({ 'second.example.com/' => [ { status => 410 } ] });
$locker->query_safe("BEGIN; SELECT FROM featul_integrations.integration WHERE workspace_id = 'second' FOR UPDATE;");
$featul->post(board_id => 'second-ideas', title => 'second');
$featul->wait_until_settled;
$locker->query_safe('COMMIT');
$featul->wait_for_sql("SELECT NOT is_active FROM featul_integrations.integration WHERE workspace_id = 'second'");
is($featul->sql("SELECT is_active FROM featul_integrations.integration WHERE workspace_id = 'acme'"),
	't', 'and not made inactive for the old one');
$featul->sql_as('olivia', "SELECT integration_disconnect('second', 'webhook')");

# A session that locks a whole table
$log_start = -s $node->logfile;
$locker->query_safe('BEGIN; LOCK TABLE featul_integrations.attempt;');
$featul->post(title => 'beside a locked table');
$node->wait_for_log(qr/WARNING: .*featul_integrations worker: canceling statement due to lock timeout/, $log_start);
$locker->query_safe('COMMIT');
$featul->wait_until_settled;
is(sent('beside a locked table'), 1, 'a table that stays locked is tried again later');
is(warnings_since($log_start), 1, 'with one line in the log');
like($featul->sql('SELECT last_error FROM featul_integrations.stat_worker'),
	qr/lock timeout/, 'and the reason in stat_worker');

# Results that cannot be recorded are kept, and not sent again
$log_start = -s $node->logfile;
my $partition = $featul->sql('SELECT partition FROM featul_integrations.rotation');
$featul->sql("ALTER TABLE featul_integrations.attempt_$partition RENAME TO elsewhere");
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT 'kept' || g, 'ideas', 'kept ' || g, 'x', 'kept' || g "
	  . 'FROM generate_series(1, 5) g');
$featul->wait_for_requests(5, where => sub { ($_[0]{json}{post}{title} // '') =~ /^kept/ });
$node->wait_for_log(qr/WARNING: .*featul_integrations worker: .*attempt_$partition does not exist/, $log_start);
is($featul->sql('SELECT count(*) FROM featul_integrations.queue'), 5, 'results that cannot be recorded');
$featul->sql("ALTER TABLE featul_integrations.elsewhere RENAME TO attempt_$partition");
$featul->wait_until_settled;
is(join(',', map { sent("kept $_") } 1 .. 5), '1,1,1,1,1', 'are recorded later, and nothing is sent again');
is(warnings_since($log_start), 1, 'with one line in the log');

# Events that cannot be read are sent later
$log_start = -s $node->logfile;
$featul->sql('ALTER TABLE featul_integrations.event RENAME TO elsewhere');
$featul->sql(<<'END');
WITH e AS (SELECT partition, id FROM featul_integrations.elsewhere WHERE payload #>> '{post,title}' = 'kept 1')
INSERT INTO featul_integrations.queue (integration_id, event_partition, event_id, post_id)
SELECT i.id, e.partition, e.id, 'again ' || n FROM e, featul_integrations.integration i, generate_series(1, 3) n;
END
$node->wait_for_log(qr/WARNING: .*featul_integrations worker: relation "featul_integrations.event" does not exist/, $log_start);
$featul->sql('ALTER TABLE featul_integrations.elsewhere RENAME TO event');
$featul->wait_until_settled;
is(sent('kept 1'), 4, 'what could not be read is sent when it can');
is(warnings_since($log_start), 1, 'with one line in the log');

# One row that cannot be settled
$featul->sql(<<'END');
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN IF OLD.post_id = 'poison' THEN RAISE 'this row is poison'; END IF; RETURN OLD; END$$;
CREATE TRIGGER poison BEFORE DELETE ON featul_integrations.queue FOR EACH ROW EXECUTE FUNCTION poison();
END
$log_start = -s $node->logfile;
$featul->script({ 'hook.example.com/' => [ { until => 'all' } ] });
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT CASE g WHEN 3 THEN 'poison' ELSE 'p' || g END, "
	  . "'ideas', 'with poison ' || g, 'x', 'p' || g FROM generate_series(1, 8) g");
$featul->wait_for_sql('SELECT in_flight = 8 FROM featul_integrations.stat_worker');
$featul->release('all');
$featul->wait_for_sql("SELECT array_agg(post_id) = '{poison}' FROM featul_integrations.queue");
pass('a row that cannot be settled does not keep others from it');
$node->wait_for_log(qr/result of delivery \d+ could not be recorded and is set aside/, $log_start);
$featul->script({});
$featul->post(title => 'after poison');
$featul->wait_for_sql("SELECT array_agg(post_id) = '{poison}' FROM featul_integrations.queue");
is(sent('with poison 3') . sent('after poison'), '11', 'it is set aside, and the worker goes on');
$featul->sql('DROP TRIGGER poison ON featul_integrations.queue; DROP FUNCTION poison()');

# An error where none is expected: the same process starts from its tables
$featul->sql("DELETE FROM featul_integrations.queue");
$featul->script({ 'hook.example.com/' => [ { until => 'cancelled' } ] });
$featul->post(title => 'when cancelled');
$featul->wait_for_requests(1, where => sub { ($_[0]{json}{post}{title} // '') eq 'when cancelled' });
my $pid = $featul->sql('SELECT pid FROM featul_integrations.stat_worker');
$log_start = -s $node->logfile;
$featul->sql("SELECT pg_cancel_backend($pid)");
$node->wait_for_log(qr/WARNING: .*featul_integrations worker: canceling statement due to user request/, $log_start);
$featul->script({});
$featul->wait_until_settled;
is(sent('when cancelled'), 2, 'what was under way is sent again');
is($featul->sql('SELECT pid FROM featul_integrations.stat_worker'), $pid, 'by the same worker');
$featul->release('cancelled');

# A worker that starts in trouble comes back with growing pauses, and gets over it
$featul->sql("DELETE FROM featul_integrations.queue");
$log_start = -s $node->logfile;
$featul->sql('ALTER TABLE featul_integrations.integration RENAME TO elsewhere');
$featul->sql('SELECT pg_terminate_backend(pid) FROM featul_integrations.stat_worker');
$node->wait_for_log(qr/WARNING: .*featul_integrations worker: relation "featul_integrations.integration" does not exist/,
	$log_start);
$featul->sql('ALTER TABLE featul_integrations.elsewhere RENAME TO integration');
$featul->post(title => 'in spite of it all');
$featul->wait_until_settled;
is(sent('in spite of it all'), 1, 'a worker that starts in trouble gets over it');
is(warnings_since($log_start), 1, 'with one line in the log');
$locker->quit;
$node->stop;

done_testing();
