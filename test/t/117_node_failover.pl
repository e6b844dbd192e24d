
# A delivery node fails over to its synchronous standby under load: each committed change is
# told, in order and under one webhook-id, and nothing else is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Crash;
use DeliveryNode;
use Featul;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $pair = DeliveryNode->new(
	connect => ['webhook'],
	node_conf => <<'END');
wal_level = replica
max_wal_senders = 4
hot_standby = on
featul_integrations.max_attempts = 100
END
my $featul = $pair->node;
my $primary = $featul->node;
my $ready = slurp_file("$DeliveryNode::deploy_dir/ready.sql");

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$featul->sql(q(ALTER SYSTEM SET synchronous_standby_names = '*'));
$featul->sql('SELECT pg_reload_conf()');
$featul->wait_for_sql(q(SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'));

$featul->script({ 'hook.example.com/' => [ { status => 500, chance => 0.05 } ] });
my $load = Load->new($featul, $pair->publisher);
$load->start(rate => 100);
$featul->wait_for_requests(200);
isnt($standby->safe_psql('postgres', $ready), 't', 'a standby is not ready');
Crash::lose_machine($primary);
$standby->promote;
$featul->{node} = $standby;
my $before = $featul->requests;
$featul->wait_for_requests($before + 200);
is($featul->sql($ready), 't', 'the promoted one is ready');
$load->stop;
$pair->catch_up_and_settle;

my ($problems, $figures) = $load->books;
note join ', ', map { "$_: $figures->{$_}" } sort keys %$figures;
is(join("\n", @$problems), '', 'what was committed arrived in order, under one webhook-id each; nothing else did');
is($featul->sql('SELECT count(*) FROM featul_integrations.deliveries'), $figures->{changes}, 'each change has its delivery');

done_testing();
