# Copies of a database: dump and restore, a physical copy, a standby that takes over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Featul;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(
	conf => "wal_level = replica\nmax_wal_senders = 5\nhot_standby = on\nfeatul_integrations.max_attempts = 50");
my $node = $featul->node;

# titles(): what the endpoint was told of, each once, sorted
sub titles
{
	my %seen = map { $_->{json}{post}{title} => 1 } $featul->requests(host => 'hook.example.com');
	return join ',', sort keys %seen;
}

# ---------------------------------------------------------------------------
# Dump and restore into another cluster
# ---------------------------------------------------------------------------

# told once, then hidden; and one delivery that is still pending when the dump is made
my $hidden = $featul->post(title => 'hidden');
$featul->wait_for_requests(1, host => 'hook.example.com');
$featul->sql("UPDATE post SET status = 'archived' WHERE id = '$hidden'");
$featul->script({ 'hook.example.com/' => [ { status => 500 } ] });
$featul->post(title => 'pending');
$featul->wait_for_requests(1, host => 'hook.example.com', status => 500);

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '--no-sync', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
$featul->script({});
$featul->wait_until_settled;

my $elsewhere = PostgreSQL::Test::Cluster->new('elsewhere');
$elsewhere->init;
$elsewhere->append_conf('postgresql.conf', $featul->conf);
$elsewhere->start;
$elsewhere->safe_psql('postgres', 'CREATE DATABASE restored');
$elsewhere->command_ok(
	[ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $elsewhere->connstr('restored') ],
	'the dump restores without an error');

$featul->forget;
my $as_olivia = "SET featul_integrations.user_id = 'olivia';";
is( $elsewhere->safe_psql('restored',
		"$as_olivia SELECT type, is_active, status, status_reason IS NOT NULL FROM integration_list('acme') ORDER BY type"),
	"discord|f|inactive|t\nslack|f|inactive|t\nwebhook|f|inactive|t",
	'restored integrations are inactive, and say why');
is($elsewhere->safe_psql('restored', 'SELECT count(*) FROM featul_integrations.queue'), 0, 'nothing pending came along');
$elsewhere->poll_query_until('restored',
	"SELECT count(*) = 1 FROM featul_integrations.stat_worker WHERE database = 'restored'")
  or die 'no worker came to the restored database';
$elsewhere->safe_psql('restored',
	q{INSERT INTO post (id, board_id, title, content, slug) VALUES (gen_random_uuid(), 'ideas', 'in the copy', '-', gen_random_uuid())});
is($elsewhere->safe_psql('restored', 'SELECT count(*) FROM featul_integrations.queue'), 0, 'nothing is captured for them');
Featul::wait_for(sub { slurp_file($elsewhere->logfile) =~ /WARNING:.*(restore|copy|inactive)/ }, 'a WARNING in the log');
is(scalar($featul->requests), 0, 'nothing was sent');

is($elsewhere->safe_psql('restored', 'SELECT featul_integrations.activate_restored()'), 3, 'the owner activates them');
$elsewhere->safe_psql('restored', <<"END");
UPDATE post SET status = 'published' WHERE id = '$hidden';
INSERT INTO post (id, board_id, title, content, slug) VALUES (gen_random_uuid(), 'ideas', 'activated', '-', gen_random_uuid());
END
$featul->wait_for_requests(1, host => 'hook.example.com');
is(titles(), 'activated', 'and they deliver; what was told before the dump is not told again');
$elsewhere->stop;

# ---------------------------------------------------------------------------
# A standby that takes over, with synchronous replication
# ---------------------------------------------------------------------------

$featul->sql_as('olivia', "SELECT integration_disconnect('acme', 'slack')");	# it takes one a second
$featul->forget;
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = '*'});
$node->reload;
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'})
  or die 'the standby never became synchronous';

# some delivered, some under way, when the primary goes down
$featul->post(title => "before $_") foreach 1 .. 5;
$featul->wait_for_requests(5, host => 'hook.example.com');
$featul->wait_until_settled;
my $delivered = titles();
$featul->script({ 'hook.example.com/' => [ { rude => 'silence' } ] });
$featul->post(title => "under way $_") foreach 1 .. 12;
$featul->wait_for_requests(8 + 5, host => 'hook.example.com');
is($standby->safe_psql('postgres',
		q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'featul_integrations worker'}),
	0, 'a standby has no worker');
$node->stop('immediate');
$featul->script({});
$featul->forget;

$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM featul_integrations.queue)')
  or die 'the new primary does not deliver what was pending';
is(titles(), join(',', sort map { "under way $_" } 1 .. 12),
	'after promotion all that was pending arrives, and nothing that was delivered does again');
$standby->safe_psql('postgres', q{INSERT INTO post (id, board_id, title, content, slug) VALUES (gen_random_uuid(), 'ideas', 'on the new primary', '-', gen_random_uuid())});
Featul::wait_for(sub { titles() =~ /on the new primary/ }, 'the new primary to deliver');

# the old primary, fenced
$featul->forget;
$node->append_conf('postgresql.conf', "featul_integrations.delivery = off\nsynchronous_standby_names = ''");
unlink $node->data_dir . '/postgresql.auto.conf';
$node->start;
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM featul_integrations.stat_worker})
  or die 'no worker on the old primary';
is($featul->sql('SELECT count(DISTINCT integration_id) > 0 FROM featul_integrations.queue'), 't',
	'the old primary has deliveries pending');
$featul->post(title => 'on the old primary');
my $pending = $featul->sql('SELECT count(*) FROM featul_integrations.queue');
$standby->safe_psql('postgres', q{INSERT INTO post (id, board_id, title, content, slug) VALUES (gen_random_uuid(), 'ideas', 'later', '-', gen_random_uuid())});
Featul::wait_for(sub { titles() =~ /later/ }, 'the new primary to deliver once more');
is(titles(), 'later', 'and fenced, it sends nothing');
is($featul->sql('SELECT count(*) FROM featul_integrations.queue'), $pending, '... and keeps it all');

$standby->stop;
$node->stop;
done_testing;
