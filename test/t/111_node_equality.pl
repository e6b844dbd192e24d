
# One script of statements (test/node/equality.sql) in a database that has the extension and
# on a publisher with a delivery node: the same events, payloads, and order per post.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use DeliveryNode;
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = 'featul_integrations.delivery = off';
my $pair = DeliveryNode->new(node_conf => $conf, publisher_conf => 'logical_decoding_work_mem = 64kB');
my $direct = Featul->new(name => 'direct', conf => $conf);

# What is told and to whom, each post's by itself, in order; times are those of two runs
my $told = q(SELECT e.post_id, e.name, e.workspace_id,
	regexp_replace(e.payload::text, '"createdAt":"[^"]*"', '"createdAt":"..."', 'g'), e.labels,
	(SELECT string_agg(i.workspace_id || ' ' || i.type, ', ' ORDER BY i.workspace_id, i.type)
		FROM featul_integrations.queue q JOIN featul_integrations.integration i ON i.id = q.integration_id
		WHERE q.event_id = e.id)
	FROM featul_integrations.event e ORDER BY e.post_id, e.id);
my $marked = 'SELECT source, id, was_visible, milestone FROM featul_integrations.mark ORDER BY 1, 2';
my $connected = 'SELECT workspace_id, type FROM featul_integrations.integration ORDER BY 1, 2';

# An integration of a workspace to come, on both sides
sub connect_later
{
	my ($workspace) = @_;

	$_->sql("SET featul_integrations.operator = on; SELECT message FROM integration_connect('$workspace', 'webhook',
		'https://hook.example.com/$workspace', events => '{post.created,post.status_changed}')") foreach ($direct, $pair->node);
	return;
}

# The same statements on both sides; waits for the node
sub both
{
	my ($statements) = @_;

	$direct->sql($statements);
	$pair->app($statements);
	$pair->catch_up;
	return;
}

# What the two say of it, and how much
sub compare
{
	my ($name, $at_least) = @_;
	my @said = map { [ split /\n/, $_->sql($told) ] } ($pair->node, $direct);
	my @differing = grep { ($said[0][$_] // 'nothing') ne ($said[1][$_] // 'nothing') } 0 .. $#{ $said[ @{ $said[0] } < @{ $said[1] } ] };

	is(scalar(@differing), 0, "$name: the same is told")
	  or diag(map { "node:   " . ($said[0][$_] // 'nothing') . "\ndirect: " . ($said[1][$_] // 'nothing') . "\n" } splice(@differing, 0, 5));
	cmp_ok(scalar(@{ $said[0] }), '>=', $at_least, "$name: and it is not little");
	is($pair->node->sql($marked), $direct->sql($marked), "$name: the same marks");
	is($pair->node->sql($connected), $direct->sql($connected), "$name: the same integrations are left");
	is($_->sql('SELECT failed, skipped FROM featul_integrations.stat_capture'), '0|0', "$name: nothing failed") foreach ($direct, $pair->node);
	return;
}

my @paragraphs = split /\n\n/, slurp_file("$Featul::test_dir/node/equality.sql");
shift @paragraphs;    # what it is
foreach my $paragraph (@paragraphs)
{
	both($paragraph);
	if ($paragraph =~ /INTO workspace/)
	{
		connect_later($_) foreach qw(second third);
	}
}
compare('as the application writes', 2000);

# COPY
my $rows = join "\n", map { join "\t", "copy$_", 'ideas', "Copy $_", "text $_", "copy$_" } 1 .. 300;
both("COPY post (id, board_id, title, content, slug) FROM stdin;\n$rows\n\\.\n");
compare('COPY', 2300);

# a transaction that is streamed while it runs, with savepoints that are rolled back
my $streamed = join "\n", 'BEGIN;',
  (map {
	my $i = $_;
	my $values = "SELECT 'stream$i.' || n, 'ideas', 'Streamed', repeat(md5(n::text), 20), 'stream$i.' || n FROM generate_series(1, 30) n;";
	("SAVEPOINT s$i;", "INSERT INTO post (id, board_id, title, content, slug) $values",
		"UPDATE post SET roadmap_status = 'planned' WHERE id LIKE 'stream$i.1%';",
		$i % 3 ? "RELEASE SAVEPOINT s$i;" : "ROLLBACK TO SAVEPOINT s$i;")
  } 1 .. 30), 'COMMIT;';
both($streamed);
compare('streamed', 2900);
my $slot = $pair->app(q(SELECT stream_txns > 0 FROM pg_stat_replication_slots WHERE slot_name = 'featul'));
is($slot, 't', 'it was streamed');
is($pair->node->sql(q(SELECT count(*) FROM featul_integrations.event WHERE payload ->> 'post' LIKE '%"stream3.%')), '0',
	'nothing is left of what was rolled back');

done_testing();
