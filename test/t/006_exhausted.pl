# A disk that is full for the log, and a server that is out of connections: one line in
# the log, nothing lost, and it goes on by itself afterwards.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $connections = 8;
my $limit = 16 * 1024 * 1024;    # bytes; WAL segments are just so large

my $featul = Featul->new(connect => ['webhook'], conf => <<"END");
max_connections = $connections
superuser_reserved_connections = 0
END
my $node = $featul->node;

# No file of this process may grow beyond so many bytes: the error that a full disk gives,
# with another errno.
sub limit_file_size
{
	my ($bytes) = @_;

	system_or_bail('prlimit', '--pid', $_, "--fsize=$bytes:")
	  foreach $node->safe_psql('postgres',
		q(SELECT pid FROM featul_integrations.stat_worker WHERE database = 'postgres'));
	return;
}

sub warnings_since
{
	my ($start) = @_;

	return scalar(() = slurp_file($node->logfile, $start) =~ /WARNING: .*featul_integrations worker/g);
}

# The log's partition is as large as a file may be
my $partition = $featul->sql('SELECT partition FROM featul_integrations.rotation');
$featul->wait_for_sql("SELECT count(*) = 1 FROM featul_integrations.stat_worker WHERE database = 'postgres'");
$featul->sql(<<"END");
INSERT INTO featul_integrations.attempt_$partition (partition, workspace_id, delivery_id, integration_id, type,
	event_partition, event_id, state, attempts, error)
SELECT $partition, 'filler', -n, gen_random_uuid(), 'webhook', $partition, 0, 'cancelled', 0, repeat('x', 1900)
FROM generate_series(1, $limit / 8192 * 4) n
END
cmp_ok($featul->sql("SELECT pg_relation_size('featul_integrations.attempt_$partition')"), '>=', $limit, 'the log is large');
limit_file_size($limit);

my $log_start = -s $node->logfile;
$featul->script({ 'hook.example.com/' => [ { body => 'y' x 1000 } ] });
$featul->sql(<<'END');
INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'ideas', 'full ' || n, 'x', gen_random_uuid() FROM generate_series(1, 200) n
END
$node->wait_for_log(qr/WARNING: .*featul_integrations worker: could not extend file/, $log_start);
cmp_ok($featul->sql('SELECT count(*) FROM featul_integrations.queue'), '>', 0, 'what cannot be logged stays in the queue');
is(warnings_since($log_start), 1, 'with one line in the log');
like($featul->sql('SELECT last_error FROM featul_integrations.stat_worker'), qr/could not extend file/, 'and in stat_worker');
is($featul->post(title => 'beside it') ne '', 1, 'the application goes on');

limit_file_size('unlimited');
$featul->wait_until_settled;
is($featul->sql("SELECT count(*) FROM featul_integrations.deliveries WHERE state = 'delivered'"),
	201, 'once there is room everything is recorded');
is(scalar($featul->requests), 201, 'and nothing was sent twice');

# Out of connections: background workers have places of their own
my @sessions = map { $node->background_psql('postgres') } 1 .. $connections;
my ($status, undef, $stderr) = $node->psql('postgres', 'SELECT 1');
isnt($status, 0, 'no connection is left');
like($stderr, qr/too many clients|remaining connection slots/, 'which is why');
my $pid = $sessions[0]->query(q(SELECT pid FROM featul_integrations.stat_worker WHERE database = 'postgres'));
$sessions[0]->query("SELECT pg_terminate_backend($pid)");
$sessions[0]->query(q(INSERT INTO post (id, board_id, title, content, slug) VALUES (gen_random_uuid(), 'ideas', 'out of connections', 'x', gen_random_uuid())));
$featul->wait_for_requests(1, where => sub { ($_[0]{json}{post}{title} // '') eq 'out of connections' });
pass('a worker that ended comes back all the same, and delivers');
$_->quit foreach @sessions;
$node->stop;

done_testing();
