# Databases and extensions come and go, whatever is in flight.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(attach => 0);
my $node = $featul->node;

sub wait_for_workers
{
	my (@databases) = @_;
	my $expected = join ',', sort @databases;

	$node->poll_query_until('template1', <<'END', $expected)
SELECT coalesce(string_agg(datname, ',' ORDER BY datname), '')
FROM pg_stat_activity WHERE backend_type = 'featul_integrations worker'
END
	  or die "never became workers of $expected";
	return;
}

# A database with everything, whose endpoint never answers
sub load
{
	my ($database) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$featul->set_up_database($database);
	local $featul->{dbname} = $database;
	$featul->connect('webhook');
	# an endpoint that has not answered yet gets one request at a time
	$featul->script({});
	$featul->post(title => "first in $database");
	$featul->wait_until_settled;
	$featul->script({ 'hook.example.com/' => [ { until => 'never' } ] });
	$featul->post(title => "hangs in $database") foreach 1 .. 10;
	$featul->wait_for_sql("SELECT in_flight = 8 FROM featul_integrations.stat_worker WHERE database = '$database'");
	return;
}

$node->poll_query_until('template1',
	"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'featul_integrations worker'");
pass('no worker where there is no extension');

load('one');
wait_for_workers('one');
pass('CREATE EXTENSION later brings a worker');

# CREATE EXTENSION that is rolled back
$node->safe_psql('template1', 'BEGIN; CREATE EXTENSION featul_integrations; ROLLBACK');
wait_for_workers('one');

# A copy
$featul->forget;
my $log_start = -s $node->logfile;
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE one');
wait_for_workers('one', 'copy');
pass('CREATE DATABASE TEMPLATE while its worker is sending');
{
	local $featul->{dbname} = 'copy';
	$featul->wait_until_settled;
	is($featul->sql('SELECT state, count(*) FROM featul_integrations.deliveries GROUP BY 1'),
		"cancelled|10\ndelivered|1", 'the copy sends nothing of what was pending');
	is($featul->sql_as('olivia', "SELECT status, status_reason IS NOT NULL FROM integration_list('acme')"),
		'inactive|t', 'its integrations are inactive');
	like(slurp_file($node->logfile, $log_start),
		qr/WARNING: .*1 integrations of database "copy" are inactive/, 'and the log says so');
	$featul->post(title => 'nobody is told');
	is($featul->sql('SELECT count(*) FROM featul_integrations.queue'), 0, 'nothing is captured');
	is($featul->sql('SELECT featul_integrations.activate_restored()'), 1, 'until the owner says so');
	$featul->script({});
	$featul->post(title => 'from the copy');
	$featul->wait_until_settled;
	is(scalar(grep { $_->{json}{post}{title} eq 'from the copy' } $featul->requests), 1, 'then it delivers');
	is($featul->sql('SELECT featul_integrations.activate_restored()'), 0, 'once is enough');
}

# Rename, move and drop
$node->safe_psql('postgres', 'ALTER DATABASE copy RENAME TO renamed');
wait_for_workers('one', 'renamed');
{
	local $featul->{dbname} = 'renamed';
	$featul->post(title => 'renamed');
	$featul->wait_until_settled;
}
is(scalar(grep { $_->{json}{post}{title} eq 'renamed' } $featul->requests), 1,
	'a renamed database goes on by itself');
my $elsewhere = PostgreSQL::Test::Utils::tempdir;
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$elsewhere'");
$node->safe_psql('postgres', 'ALTER DATABASE renamed SET TABLESPACE elsewhere');
wait_for_workers('one', 'renamed');
pass('ALTER DATABASE SET TABLESPACE');
$node->safe_psql('postgres', 'CREATE ROLE maker CREATEDB');
$node->safe_psql('postgres', 'ALTER DATABASE renamed OWNER TO maker');
$node->safe_psql('postgres', "SET ROLE maker;\nCREATE DATABASE made TEMPLATE renamed");
wait_for_workers('made', 'one', 'renamed');
pass('CREATE DATABASE TEMPLATE by its owner');
$node->safe_psql('postgres', "SET ROLE maker;\nDROP DATABASE made");
$node->safe_psql('postgres', 'DROP DATABASE renamed');
wait_for_workers('one');
pass('DROP DATABASE needs no FORCE');

load('two');
$node->safe_psql('postgres', 'DROP DATABASE two');
wait_for_workers('one');
pass('DROP DATABASE right after load');

# One that fails brings the worker back
isnt($node->psql('postgres', 'ALTER DATABASE one RENAME TO postgres'), 0, 'a RENAME that fails');
wait_for_workers('one');
pass('leaves the database its worker');

# A user who may not do it does not disturb
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN');
my $pid = $node->safe_psql('one', "SELECT pid FROM featul_integrations.stat_worker WHERE database = 'one'");
isnt($node->psql('postgres', 'SET ROLE nobody; DROP DATABASE one'), 0, 'a DROP that is not allowed');
is($node->safe_psql('one', "SELECT pid FROM featul_integrations.stat_worker WHERE database = 'one'"),
	$pid, 'does not even stop the worker');

# The extension
$node->safe_psql('one', 'DROP EXTENSION featul_integrations');
wait_for_workers();
pass('DROP EXTENSION while sending');
is($node->safe_psql('one', "INSERT INTO post (id, board_id, title, content, slug) VALUES (gen_random_uuid(), 'ideas', 'x', 'x', gen_random_uuid()) RETURNING title"),
	'x', 'leaves the tables usable');
$node->safe_psql('one', 'CREATE EXTENSION featul_integrations');
wait_for_workers('one');
unlike(slurp_file($node->logfile), qr/(ERROR|PANIC|WARNING):.*featul_integrations worker/,
	'no worker had an error in all this');

# Several in one go, all of them served
$node->safe_psql('postgres', "CREATE DATABASE d$_") foreach 1 .. 3;
$node->safe_psql("d$_", 'CREATE EXTENSION featul_integrations') foreach 1 .. 3;
wait_for_workers('one', 'd1', 'd2', 'd3');
$node->restart;
wait_for_workers('one', 'd1', 'd2', 'd3');
pass('after a restart all databases are found again');

# More databases than background workers
$log_start = -s $node->logfile;
$node->safe_psql('postgres', "CREATE DATABASE d$_") foreach 4 .. 8;
$node->safe_psql("d$_", 'CREATE EXTENSION featul_integrations') foreach 4 .. 8;
$node->wait_for_log(qr/could not start a worker: no free background worker slot/, $log_start);
pass('out of background workers: the log says so');
$node->safe_psql('postgres', "DROP DATABASE d$_") foreach 1 .. 5;
wait_for_workers('one', 'd6', 'd7', 'd8');
pass('and the rest are served once there is room');

# Two workers share the integrations
$node->append_conf('postgresql.conf', "featul_integrations.workers = 2\nmax_worker_processes = 20");
$node->safe_psql('postgres', "DROP DATABASE d$_") foreach 6 .. 8;
$node->restart;
wait_for_workers('one', 'one');
pass('featul_integrations.workers');
$node->stop;

done_testing();
