# The worker: what is committed is sent, once it succeeds, and nothing else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => ['webhook'], conf => "max_prepared_transactions = 5\nrestart_after_crash = on");
my $node = $featul->node;
my @requests;

sub titles
{
	return join ',', map { $_->{json}{post}{title} } @_;
}

# Rows of the log: attempts and states of the delivery of a post, oldest first.
sub attempts
{
	my ($title) = @_;

	return $featul->sql(<<END);
SELECT string_agg(concat_ws(' ', a.state, a.attempts, a.http_status), ', ' ORDER BY a.at)
FROM featul_integrations.attempt a
JOIN featul_integrations.event e ON e.partition = a.event_partition AND e.id = a.event_id
WHERE e.payload #>> '{post,title}' = '$title'
END
}

# What a transaction does
$featul->sql(<<'END');
BEGIN;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'ideas', 'rolled back', 'x', gen_random_uuid(), 'mina');
ROLLBACK;
BEGIN;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'ideas', 'before', 'x', gen_random_uuid(), 'mina');
SAVEPOINT s;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'ideas', 'in a savepoint', 'x', gen_random_uuid(), 'mina');
ROLLBACK TO s;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'ideas', 'after', 'x', gen_random_uuid(), 'mina');
COMMIT;
END
@requests = $featul->wait_for_requests(2);
$featul->wait_until_settled;
is(join(',', sort(map { $_->{json}{post}{title} } $featul->requests)),
	'after,before', 'what is rolled back is never sent, a savepoint included');
is(attempts('before'), 'delivered 1 200', 'a success is recorded');
is($featul->sql('SELECT count(*) FROM featul_integrations.queue'), 0, 'and nothing is left pending');

# Retries
$featul->forget;
$featul->script({ 'hook.example.com/' => [ { status => 500, times => 2 }, {} ] });
$featul->post(title => 'retried');
@requests = $featul->wait_for_requests(3);
$featul->wait_until_settled;
is(attempts('retried'), 'pending 1 500, pending 2 500, delivered 3 200',
	'an endpoint that fails twice gets it three times');
is($requests[1]{body} . $requests[2]{body}, $requests[0]{body} x 2, 'with the same bytes');
is(scalar(keys %{ { map { $_->{headers}{'webhook-id'} => 1 } @requests } }), 1, 'and webhook-id');
my @pauses = map { $requests[ $_ + 1 ]{time} - $requests[$_]{time} } 0, 1;
cmp_ok($pauses[0], '>=', 0.08, 'the first pause is retry_delay, 20 % less at most');
cmp_ok($pauses[1], '>=', 0.16, 'the second one twice that');

$featul->forget;
$featul->script({ 'hook.example.com/' => [ { status => 500 } ] });
$featul->post(title => 'given up');
$featul->wait_until_settled;
is(attempts('given up'), 'pending 1 500, pending 2 500, failed 3 500', 'three attempts in all');
is($featul->sql_as('olivia', "SELECT status FROM integration_list('acme')"),
	'failing', 'the integration is failing');

# A time-out is a failure too; the settings are read again on reload
$featul->set('request_timeout', '200ms');
$featul->set('max_attempts', '1');
$featul->wait_for_sql("SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker");
$featul->script({ 'hook.example.com/' => [ { until => 'never' } ] });
$featul->post(title => 'slow');
$featul->wait_until_settled;
is(attempts('slow'), 'failed 1', 'a request that takes too long has failed, without a status');
like(
	$featul->sql("SELECT error FROM featul_integrations.deliveries WHERE payload #>> '{post,title}' = 'slow'"),
	qr/within 0\.2 s/,
	'with the reason');
$featul->set('request_timeout', '10s');
$featul->set('max_attempts', '3');
$featul->wait_for_sql("SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker");

# 429: waits as told, and uses up no attempt
$featul->forget;
$featul->script(
	{ 'hook.example.com/' => [ { status => 429, headers => { 'Retry-After' => '0.5' }, times => 4 }, {} ] });
$featul->post(title => 'held');
@requests = $featul->wait_for_requests(5);
$featul->wait_until_settled;
is(attempts('held'), 'pending 0 429, pending 0 429, pending 0 429, pending 0 429, delivered 1 200',
	'429 uses up no attempt');
cmp_ok($requests[1]{time} - $requests[0]{time}, '>=', 0.49, 'and is waited for as long as told');
is($featul->sql_as('olivia', "SELECT status FROM integration_list('acme')"), 'active', 'active again');

# delivery = off
$featul->forget;
$featul->set('delivery', 'off');
$featul->wait_for_sql("SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker");
$featul->post(title => 'while off');
$featul->wait_for_sql("SELECT query = 'delivery is off' FROM pg_stat_activity "
	  . "WHERE backend_type = 'featul_integrations worker'");
is(scalar($featul->requests), 0, 'nothing is sent while delivery is off');
is($featul->sql('SELECT count(*) FROM featul_integrations.queue'), 1, 'it waits');
$featul->set('delivery', 'on');
$featul->wait_for_requests(1);
$featul->wait_until_settled;

# Prepared transactions, committed by a session that knows nothing of them
$featul->forget;
$featul->sql(<<'END');
BEGIN;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'ideas', 'prepared', 'x', gen_random_uuid(), 'mina');
PREPARE TRANSACTION 'one';
BEGIN;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'ideas', 'prepared, not committed', 'x', gen_random_uuid(), 'mina');
PREPARE TRANSACTION 'two';
END
$featul->post(title => 'committed meanwhile');
$featul->wait_for_requests(1);
$featul->sql("COMMIT PREPARED 'one'");
$featul->wait_for_requests(2);
$featul->sql("ROLLBACK PREPARED 'two'");
$featul->wait_until_settled;
is(titles($featul->requests), 'committed meanwhile,prepared', 'a prepared transaction is sent at its COMMIT');

# A transaction that took its ids first and commits last
$featul->forget;
my $slow = $node->background_psql('postgres', on_error_stop => 1);
$slow->query_safe("BEGIN; INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'ideas', 'slow commit', 'x', gen_random_uuid(), 'mina')");
$featul->post(title => "fast $_") foreach 1 .. 3;
$featul->wait_for_requests(3);
$slow->query_safe('COMMIT');
$slow->quit;
$featul->wait_for_requests(4);
$featul->wait_until_settled;
is(titles(($featul->requests)[3]), 'slow commit', 'lower ids that commit later are not missed');

# Payloads that cannot be rendered fail, and hold up nobody
$featul->forget;
$featul->sql(<<'END');
WITH e AS (
	INSERT INTO featul_integrations.event (partition, id, name, workspace_id, post_id, payload)
	SELECT partition, nextval('featul_integrations.delivery_id_seq'), 'post.created', 'acme', 'broken',
		'"no object"'
	FROM featul_integrations.rotation RETURNING *)
INSERT INTO featul_integrations.queue (integration_id, event_partition, event_id, post_id)
SELECT i.id, e.partition, e.id, 'broken' FROM e, featul_integrations.integration i;
INSERT INTO featul_integrations.queue (integration_id, event_partition, event_id, post_id)
SELECT id, 0, 0, 'missing' FROM featul_integrations.integration;
END
$featul->wait_until_settled;
pass('what an INSERT puts into the queue is seen at once');
$featul->post(title => 'beside broken ones');
$featul->wait_until_settled;
is(titles(grep { ref $_->{json} && $_->{json}{post} } $featul->requests),
	'beside broken ones', 'others are delivered');
is($featul->sql("SELECT state, error FROM featul_integrations.attempt WHERE event_id = 0"),
	'failed|the event is no longer kept', 'a delivery without its event has failed');
is($featul->sql('SELECT count(*) FROM featul_integrations.stat_worker WHERE last_error IS NOT NULL'),
	0, 'none of it is an error of the worker');

# Disconnecting stops what is under way and cancels what waits
$featul->forget;
$featul->script({ 'hook.example.com/' => [ { until => 'never' } ] });
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'ideas', 'pending ' || n, 'c', gen_random_uuid() FROM generate_series(1, 20) n");
$featul->wait_for_sql('SELECT in_flight = 8 FROM featul_integrations.stat_worker');
$featul->sql_as('olivia', "SELECT message FROM integration_disconnect('acme', 'webhook')");
$featul->wait_until_settled;
is($featul->sql("SELECT state, count(*) FROM featul_integrations.deliveries "
		  . "WHERE payload #>> '{post,title}' LIKE 'pending %' GROUP BY 1"),
	'cancelled|20', 'what was pending is cancelled');
$featul->wait_for_sql('SELECT in_flight = 0 FROM featul_integrations.stat_worker');
$featul->wait_for_sql('SELECT NOT EXISTS (SELECT FROM featul_integrations.health)');
pass('nothing is left of the integration');
is($featul->sql("SELECT DISTINCT type FROM featul_integrations.deliveries WHERE state = 'cancelled'"),
	'webhook', 'the log still knows its type');

# Gone for good: inactive, the rest cancelled; connecting again and recovering sends it
$featul->forget;
$featul->script({ 'hook.example.com/' => [ { until => 'go', status => 410 } ] });
$featul->connect('webhook');
$featul->post(title => "for nobody $_") foreach 1 .. 3;
$featul->wait_for_requests(0);
$featul->release('go');
$featul->wait_until_settled;
is($featul->sql_as('olivia', "SELECT status, status_reason IS NOT NULL FROM integration_list('acme')"),
	'inactive|t', '410 makes the integration inactive, with a reason');
is($featul->sql("SELECT string_agg(DISTINCT state, ',') FROM featul_integrations.deliveries "
		  . "WHERE payload #>> '{post,title}' LIKE 'for nobody %'"),
	'cancelled,failed', 'what was pending is cancelled');
$featul->script({});
$featul->connect('webhook');
$featul->forget;
$featul->sql_as('olivia', "SELECT message FROM integration_recover('acme', 'webhook', now() - interval '1 hour')");
$featul->wait_until_settled;
is(scalar(grep { ($_->{json}{post}{title} // '') =~ /^for nobody/ } grep { ref $_->{json} } $featul->requests),
	3, 'and can be recovered');

# What is under way when the worker is killed is sent again, under the same id.  Another one
# ends properly before, so that what it has done counts in a coverage build; not before it has
# written down that the endpoint no longer fails, or the next one begins with less in flight.
$featul->wait_for_sql('SELECT failures = 0 FROM featul_integrations.health');
$featul->sql('SELECT pg_terminate_backend(pid, 10000) FROM featul_integrations.stat_worker');
$featul->post(title => 'for the next worker to trust the endpoint');
$featul->wait_until_settled;
$featul->forget;
$featul->script({ 'hook.example.com/' => [ { until => 'later' } ] });
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'ideas', 'survives ' || n, 'c', gen_random_uuid() FROM generate_series(1, 20) n");
$featul->wait_for_sql('SELECT in_flight = 8 FROM featul_integrations.stat_worker');
my $pid = $featul->sql('SELECT pid FROM featul_integrations.stat_worker');
my $log_start = -s $node->logfile;
kill 'KILL', $pid;
$node->wait_for_log(qr/database system is ready to accept connections/, $log_start);
$featul->script({});
$featul->release('later');
$featul->wait_until_settled;
my %sent;
$sent{ $_->{json}{post}{title} }{ $_->{headers}{'webhook-id'} }++ foreach $featul->requests(status => 200);
is(scalar(keys %sent), 20, 'a worker killed while sending loses nothing');
is(scalar(grep { keys %$_ != 1 } values %sent), 0, 'and what is sent again has the same webhook-id');

# Terminated politely, it is back within five seconds
$pid = $featul->sql('SELECT pid FROM featul_integrations.stat_worker');
$featul->sql("SELECT pg_terminate_backend($pid)");
my $terminated = time;
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM featul_integrations.stat_worker WHERE pid <> $pid");
cmp_ok(time - $terminated, '<=', 5 * $featul->second, 'a worker that ended is back within five seconds');

# Back-off survives a restart
$featul->forget;
$featul->script({ 'hook.example.com/' => [ { status => 500, times => 1 }, {} ] });
$featul->set('retry_delay', '1h');
$featul->wait_for_sql("SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker");
$featul->post(title => 'patient');
$featul->wait_for_sql('SELECT attempts = 1 AND next_attempt_at > now() FROM featul_integrations.queue');
$node->restart;
$featul->wait_for_sql("SELECT count(*) = 1 FROM featul_integrations.stat_worker WHERE state = 'idle'");
is(scalar($featul->requests), 1, 'a pause between attempts survives a restart');
$featul->sql("UPDATE featul_integrations.queue SET next_attempt_at = now()");
$node->restart;
$featul->wait_until_settled;
is(attempts('patient'), 'pending 1 500, delivered 2 200', 'and so does the count of attempts');

# A fast shutdown does not wait for the network
$featul->script({ 'hook.example.com/' => [ { until => 'never' } ] });
$featul->post(title => 'hanging');
$featul->wait_for_sql('SELECT in_flight = 1 FROM featul_integrations.stat_worker');
my $second = $featul->second;
my $stopping = time;
$node->stop('fast');
cmp_ok(time - $stopping, '<=', 5 * $second, 'a fast shutdown takes no longer, whatever is in flight');

done_testing();
