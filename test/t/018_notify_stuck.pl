# A session whose NOTIFY does not end holds up everybody's: deliveries and their results are not among it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => [], conf => "featul_integrations.retry_delay = '20ms'\nwal_level = replica\nmax_wal_senders = 1\nsynchronous_commit = local\nsynchronous_standby_names = 'nobody'\n");
my $node = $featul->node;
$featul->workspace('broken', webhook => 'https://broken.example.com/');
$featul->workspace('gone', webhook => 'https://gone.example.com/');
$featul->workspace('fine', webhook => 'https://fine.example.com/');

# It has written, and waits for a standby that never comes, with PostgreSQL's lock of those who notify
my $stuck = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SET synchronous_commit = on; BEGIN; CREATE TABLE written (); NOTIFY nobody; COMMIT" ],
	'>', \my $out, '2>', \my $err);
$featul->wait_for_sql("SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_database'::regclass AND objid = 0 AND granted");

$featul->script({ 'broken.example.com/' => [ { status => 500 } ], 'gone.example.com/' => [ { status => 410 } ] });
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), w || '-ideas', g, 'C', gen_random_uuid() FROM unnest('{broken,gone}'::text[]) w, generate_series(1, 20) g");
$featul->wait_for_sql("SELECT told_failing FROM featul_integrations.health h JOIN featul_integrations.integration i ON i.id = h.integration_id WHERE i.workspace_id = 'broken'");
$featul->wait_for_sql("SELECT NOT is_active FROM featul_integrations.integration WHERE workspace_id = 'gone'");
pass('an integration whose breaker opens, and one that is gone, are recorded');
Featul::wait_for(sub { slurp_file($node->logfile) =~ /integration of workspace "broken" \(\S+\) is failing/ }, 'the line in the log');
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) VALUES (gen_random_uuid(), 'fine-ideas', 'T', 'C', 'fine')");
$featul->wait_for_sql("SELECT state = 'delivered' FROM featul_integrations.deliveries WHERE workspace_id = 'fine'");
pass('and so are the results of others');

$featul->sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_database'::regclass AND objid = 0 AND granted");
$stuck->finish;
$node->stop('fast');
done_testing();
