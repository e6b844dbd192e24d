
# Rows on a delivery node: partitions, on either side; what must be silent; what must not stop
# replication.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use DeliveryNode;
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $partitioned = <<'END';
DROP TABLE post_merge, comment_reaction, comment_mention, vote, comment, post;
CREATE TABLE post (id text, board_id text, title text, content text, slug text, author_id text, status text DEFAULT 'published',
	roadmap_status text DEFAULT 'new', upvotes integer DEFAULT 0, is_pinned boolean DEFAULT false, PRIMARY KEY (id, roadmap_status))
	PARTITION BY LIST (roadmap_status);
CREATE TABLE post_new PARTITION OF post FOR VALUES IN ('new');
CREATE TABLE post_planned (upvotes integer, status text, roadmap_status text NOT NULL, dropped text, id text NOT NULL, is_pinned boolean,
	slug text, author_id text, content text, title text, board_id text);
ALTER TABLE post_planned DROP COLUMN dropped;
ALTER TABLE post ATTACH PARTITION post_planned FOR VALUES IN ('planned');
CREATE TABLE post_rest PARTITION OF post DEFAULT;
CREATE TABLE comment (id text PRIMARY KEY, post_id text, content text, author_id text);
CREATE TABLE vote (id text, post_id text, user_id text, fingerprint text, PRIMARY KEY (id, post_id)) PARTITION BY HASH (post_id);
CREATE TABLE vote_0 PARTITION OF vote FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE vote_1 PARTITION OF vote FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE comment_mention (id text PRIMARY KEY, comment_id text, mentioned_user_id text, mentioned_by text);
CREATE TABLE comment_reaction (id text PRIMARY KEY, comment_id text, user_id text, type text);
END

my $script = <<'END';
INSERT INTO post (id, board_id, title, content, slug, author_id) SELECT 'p' || i, 'ideas', 'P' || i, '-', 'p' || i, 'mina' FROM generate_series(1, 9) i;
UPDATE post SET roadmap_status = 'planned' WHERE id = 'p1';
UPDATE post SET roadmap_status = 'done', is_pinned = true WHERE id IN ('p1', 'p2', 'p3');
UPDATE post SET roadmap_status = roadmap_status || '.', upvotes = 12 WHERE id IN ('p4', 'p5');
UPDATE post SET is_pinned = true WHERE id = 'p6';
BEGIN;
SAVEPOINT a;
UPDATE post SET roadmap_status = 'planned' WHERE id = 'p7';
ROLLBACK TO SAVEPOINT a;
UPDATE post SET roadmap_status = 'planned', title = 'Second thoughts' WHERE id = 'p7';
COMMIT;
UPDATE post SET status = 'draft', roadmap_status = 'planned' WHERE id = 'p8';
UPDATE post SET status = 'published', roadmap_status = 'new' WHERE id = 'p8';
INSERT INTO vote (id, post_id, user_id) SELECT 'v' || i, 'p' || i, 'vera' FROM generate_series(1, 9) i;
UPDATE vote SET post_id = 'p' || (10 - substr(post_id, 2)::integer);
DELETE FROM vote WHERE id = 'v1';
INSERT INTO vote (id, post_id, user_id) VALUES ('v1 again', 'p9', 'vera');
INSERT INTO post_planned (id, board_id, title, content, slug, author_id, roadmap_status, status) VALUES ('leaf', 'ideas', 'Leaf', '-', 'leaf', 'mina', 'planned', 'published');
DELETE FROM post WHERE id = 'p9';
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('p9', 'ideas', 'P9 again', '-', 'p9', 'mina');
END

my $told = q(SELECT e.post_id, e.name, e.payload, e.labels FROM featul_integrations.event e ORDER BY e.post_id, e.id);
my $conf = 'featul_integrations.delivery = off';

# the same tables with the extension
my $direct = Featul->new(name => 'direct', conf => $conf, attach => 0);
Featul->create_application($direct->node, 'postgres');
$direct->sql($partitioned);
$direct->sql('CREATE EXTENSION featul_integrations; SELECT integration_attach()');
$direct->connect('webhook');
$direct->sql($script);
my $expected = $direct->sql($told);
cmp_ok(scalar(() = $expected =~ /\n/g), '>', 20, 'something happens in partitions');

# and with a node, whose tables are partitioned or not
my $pair = DeliveryNode->new(node_conf => $conf, connect => ['webhook'], before => sub { $_[0]->app($partitioned) });
my $node = $pair->node;
my $clean = <<'END';
TRUNCATE featul_integrations.event, featul_integrations.queue, featul_integrations.mark;
END
is($node->sql(q(SELECT relkind FROM pg_class WHERE oid = 'post'::regclass)), 'r', 'published as its root, a plain table on the node');
$pair->app($script);
$pair->catch_up;
is($node->sql($told), $expected, 'rows that move between partitions, a plain table on the node');

# What is partitioned on both sides, published by its root or partition by partition
sub again
{
	my ($name, $via_root) = @_;

	$node->sql('DROP SUBSCRIPTION featul');
	$pair->app('TRUNCATE post, vote');
	$node->sql($clean);
	$node->sql('DROP TABLE post, comment, vote, comment_mention, comment_reaction');
	$node->sql($partitioned =~ s/^DROP.*$//mr);
	$pair->app("ALTER PUBLICATION featul_integrations SET (publish_via_partition_root = $via_root)");
	$node->sql('CREATE SUBSCRIPTION featul CONNECTION $$' . $pair->publisher_conninfo . '$$ PUBLICATION featul_integrations
		WITH (synchronous_commit = on, copy_data = off)');
	$node->sql('SELECT integration_attach()');
	$pair->app($script);
	$pair->catch_up;
	is($node->sql($told), $expected, $name);
	return;
}
again('partitioned on both sides, published as the root', 'true');
again('partitioned on both sides, published as partitions', 'false');

# a partition that comes later
$_->sql(<<'END') foreach $node;
CREATE TABLE post_later PARTITION OF post FOR VALUES IN ('later');
END
$pair->app(q(CREATE TABLE post_later PARTITION OF post FOR VALUES IN ('later')));
$node->sql('ALTER SUBSCRIPTION featul REFRESH PUBLICATION WITH (copy_data = off)');
$pair->app(q(INSERT INTO post (id, board_id, title, content, slug, roadmap_status) VALUES ('later', 'ideas', 'Later', '-', 'later', 'later')));
$pair->catch_up;
is($node->sql(q(SELECT name FROM featul_integrations.event WHERE post_id = 'later')), 'post.created', 'a later partition has the trigger');
is( $node->sql(q(SELECT string_agg(DISTINCT tgenabled::text, '') FROM pg_trigger WHERE tgname LIKE 'featul\_integrations\_%\_row')),
	'R', 'row triggers are for replication alone, everywhere');

# sessions that claim to replicate are silent
$node->sql($clean);
$node->sql(<<'END');
SET session_replication_role = replica;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('here', 'ideas', 'Here', '-', 'here');
UPDATE post SET is_pinned = true WHERE id = 'here';
DELETE FROM workspace WHERE id = 'acme';
END
is($node->sql('SELECT count(*) FROM featul_integrations.event'), '0', 'session_replication_role = replica is silent');
is($node->sql('SELECT count(*) FROM featul_integrations.integration'), '1', 'and removes no integration');
$node->sql(<<'END');
INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('acme', 'Acme', 'acme', '-', 'starter', 'olivia');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('session', 'ideas', 'Session', '-', 'session');
END
is($node->sql('SELECT post_id, name FROM featul_integrations.event'), 'session|post.created', 'an ordinary session is captured, once');
$node->sql('DELETE FROM workspace WHERE id = \'acme\'; TRUNCATE workspace');
is($node->sql('SELECT count(*) FROM featul_integrations.integration'), '1', 'a session that empties a replicated table removes none');
$node->sql(q(INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('acme', 'Acme', 'acme', '-', 'starter', 'olivia')));

# a trigger of somebody else's
my (undef, undef, $error) = $node->node->psql('postgres', <<'END');
CREATE TABLE other (id text);
CREATE TRIGGER t AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION featul_integrations.capture_row('workspace');
INSERT INTO other VALUES ('x');
END
like($error, qr/capture_row\(\) must be called by a trigger/, 'nobody else can use the trigger function');

# a row that moves out of a partition that is being detached
$node->sql($clean);
my $reader = $node->node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT FROM vote');
my (undef, undef, $cut) = $node->node->psql('postgres', <<'END', on_error_stop => 0);
SET statement_timeout = '200ms';
ALTER TABLE vote DETACH PARTITION vote_0 CONCURRENTLY;
ALTER TABLE vote DETACH PARTITION vote_1 CONCURRENTLY;
END
like($cut, qr/statement timeout/, 'a partition is being detached');
$pair->app('UPDATE vote SET post_id = \'p\' || (10 - substr(post_id, 2)::integer) WHERE id <> \'v1 again\'');
$pair->catch_up;
is($node->sql('SELECT sum(n) FROM (SELECT count(*) AS n FROM vote_0 UNION ALL SELECT count(*) FROM vote_1) s'), '9', 'its rows move on');
$reader->query_safe('COMMIT');
$reader->quit;
$node->sql('ALTER TABLE vote DETACH PARTITION ' . $node->sql(q(SELECT inhrelid::regclass FROM pg_inherits WHERE inhdetachpending)) . ' FINALIZE');

# a workspace gets the id of one whose end the node has not seen
$pair->app(q(INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('gone', 'G', 'gone', '-', 'starter', 'olivia'), ('kept', 'K', 'kept', '-', 'starter', 'olivia')));
$pair->catch_up;
$node->connect('webhook', workspace => $_) foreach qw(gone kept);
$node->sql(q(SET session_replication_role = replica; DELETE FROM workspace WHERE id = 'gone'));
$pair->app(q(DELETE FROM workspace WHERE id = 'gone'; UPDATE workspace SET id = 'gone' WHERE id = 'kept'));
$pair->catch_up;
is($node->sql(q(SELECT id FROM workspace WHERE slug = 'kept')), 'gone', 'the change is applied');
is($node->sql('SELECT failed, last_error FROM featul_integrations.stat_capture'),
	'1|duplicate key value violates unique constraint "integration_workspace_id_type_key"', 'and capture says what it could not do');
$node->sql(q(DELETE FROM featul_integrations.integration WHERE workspace_id IN ('gone', 'kept')));

# a column that is generated here
foreach my $kind ('STORED', $node->sql('SHOW server_version_num') >= 180000 ? 'VIRTUAL' : ())
{
	$node->sql($clean);
	$node->sql("ALTER TABLE post ADD COLUMN shouted text GENERATED ALWAYS AS (upper(title)) $kind");
	$node->sql(q(SELECT integration_attach('public', '{"post": {"columns": {"title": "shouted"}}}')));
	$pair->app("INSERT INTO post (id, board_id, title, content, slug) VALUES ('$kind', 'ideas', 'loud', '-', '$kind');
		UPDATE post SET title = 'louder', is_pinned = true WHERE id = '$kind'");
	$pair->catch_up;
	is($node->sql(q(SELECT string_agg(name || ' ' || (payload::jsonb #>> '{post,title}'), ', ' ORDER BY id) FROM featul_integrations.event)),
		'post.created LOUD, post.pinned LOUDER', "a generated column, $kind");
	$node->sql(q(SELECT integration_attach('public', '{"post": null}')));
	$node->sql('ALTER TABLE post DROP COLUMN shouted');
}

# a row that a binding cannot digest
$node->sql($clean);
$node->sql(q(SELECT integration_attach('public', '{"post": {"columns": {"upvotes": "10 / nullif(upvotes, 13) / (upvotes - 7)"}}}')));
$pair->app(<<'END');
INSERT INTO post (id, board_id, title, content, slug, upvotes) VALUES ('bad', 'ideas', 'Bad', '-', 'bad', 7);
INSERT INTO post (id, board_id, title, content, slug, upvotes) VALUES ('good', 'ideas', 'Good', '-', 'good', 8);
END
$pair->catch_up;
is($node->sql('SELECT post_id FROM featul_integrations.event'), 'good', 'a row that cannot be digested stops nothing');
is($node->sql('SELECT failed, last_error FROM featul_integrations.stat_capture'), '2|division by zero', 'and is counted');
$node->sql('ALTER TABLE board DROP COLUMN name');
$pair->app('ALTER TABLE board DROP COLUMN name');
$pair->app(q(INSERT INTO post (id, board_id, title, content, slug) VALUES ('broken', 'ideas', 'Broken', '-', 'broken')));
$pair->catch_up;
is($node->sql(q(SELECT count(*) FROM post WHERE id = 'broken')), '1', 'nor does a binding that no longer holds');

# DROP EXTENSION leaves the tables usable, and replication too
$node->sql('DROP EXTENSION featul_integrations');
is($node->sql(q(SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'featul%')), '0', 'the triggers go with the extension');
$pair->app(q(INSERT INTO post (id, board_id, title, content, slug) VALUES ('after', 'ideas', 'After', '-', 'after')));
$pair->catch_up;
is($node->sql(q(SELECT count(*) FROM post WHERE id = 'after')), '1', 'replication goes on without it');

done_testing();
