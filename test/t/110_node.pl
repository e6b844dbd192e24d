
# A delivery node is set up by the files in deploy/node, shows how its subscription fares,
# and names what is missing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use DeliveryNode;
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $pair = DeliveryNode->new(
	connect => ['webhook'],
	node_conf => 'wal_retrieve_retry_interval = 1s',
	before => sub {
		$_[0]->app(q(INSERT INTO post (id, board_id, title, content, slug) VALUES ('old', 'ideas', 'Old', 'x', 'old')));
	});
my $node = $pair->node;

# What view stat_subscription says of some columns
sub status
{
	my ($columns) = @_;

	return $node->sql("SELECT $columns FROM featul_integrations.stat_subscription");
}

# The answer of the readiness probe
sub ready
{
	return $node->sql(slurp_file("$DeliveryNode::deploy_dir/ready.sql"));
}

# What diagnose() says of the subscription
sub diagnosis
{
	return $node->sql(q(SELECT what_to_do FROM featul_integrations.diagnose() WHERE "check" = 'the subscription streams'));
}

is(status('subscription, state, copying IS NULL, missing_columns IS NULL, errors, last_error IS NULL'),
	'featul|streaming|t|t|0|t', 'streaming after the set-up');
is(ready(), 't', 'ready');
my $probe = slurp_file("$DeliveryNode::deploy_dir/ready.sql") =~ s/^--.*\n//gmr;
my ($shown) = slurp_file("$Featul::test_dir/../docs/node.md") =~ /<!-- node: ready -->\n```sql\n(.*?)```/s;
is($shown, $probe, 'the page shows the probe that the container has');
$node->sql('CREATE ROLE prober LOGIN; GRANT pg_monitor TO prober');
is($node->node->safe_psql('postgres', $probe, extra_params => [ '-U', 'prober' ]), 't', 'a role in pg_monitor may ask it');
is($node->sql('SELECT count(*) FROM post'), '1', 'the first copy came');
is($node->sql('SELECT count(*) FROM featul_integrations.event'), '0', 'and was silent');
is($node->sql('SELECT relation, problem FROM featul_integrations.replication_problems()'), '', 'nothing is missing');
is( $node->sql('SELECT count(*) FROM pg_constraint WHERE contype NOT IN (\'p\', \'n\') AND conrelid = \'post\'::regclass'),
	'0', 'the tables of the node have no constraints but primary keys');

# the statement for the publisher is the one that the file has
my ($statement) = slurp_file("$DeliveryNode::deploy_dir/publisher.sql") =~ /^(CREATE PUBLICATION.*?);/ms;
is( $node->sql('SELECT featul_integrations.publication()') =~ s/\s+/ /gr, $statement =~ s/\s+/ /gr,
	'publication() gives the statement of publisher.sql');
is( $node->sql(q(SELECT featul_integrations.publication('public'))), $node->sql('SELECT featul_integrations.publication()'),
	'and for a schema by its names');
my ($status, $out, $error) = $node->node->psql('postgres', q(SELECT featul_integrations.publication('pg_catalog')));
like($error, qr/schema "pg_catalog" has none of the application's tables/, 'one without them is an error');

# set-up may be run again
$pair->set_up;
is(status('state'), 'streaming', 'set-up may be run again');

# a lag that is measured, and idle is no lag
$pair->app(q(UPDATE post SET upvotes = 1 WHERE id = 'old'));
$pair->catch_up;
is($node->sql(q(SELECT upvotes FROM post WHERE id = 'old')), '1', 'a change comes');
is(status('lag_seconds BETWEEN 0 AND 50, last_message_at IS NOT NULL'), 't|t', 'its lag is known');

# a lock on the node holds up apply: the lag grows, and the probe sees it
my $session = $node->node->background_psql('postgres');
$session->query_safe('BEGIN; LOCK TABLE post');
$pair->app(q(UPDATE post SET upvotes = 2 WHERE id = 'old'));
$node->wait_for_sql('SELECT lag_seconds > 2 FROM featul_integrations.stat_subscription');
is(status('state'), 'streaming', 'a change that waits for a lock');
$session->query_safe('COMMIT');
$session->quit;
$pair->catch_up;

# a column that is missing
$pair->app('ALTER TABLE post ADD COLUMN priority text');
$pair->app(q(UPDATE post SET priority = 'high' WHERE id = 'old'));
$node->wait_for_sql(q(SELECT state = 'stopped' AND missing_columns = 'public.post: "priority"' AND errors > 0
	FROM featul_integrations.stat_subscription));
pass('a column that the node lacks is named');
like(status('last_error'), qr/missing replicated column/, 'and so is the error');
is(ready(), 'f', 'not ready');
like(diagnosis(), qr/featul is stopped: .*missing replicated column/, 'and the diagnosis has it');
$node->sql('ALTER TABLE post ADD COLUMN priority text');
$pair->catch_up;
is($node->sql('SELECT priority FROM post'), 'high', 'it goes on once the column is there');
$node->wait_for_sql(q(SELECT state = 'streaming' AND missing_columns IS NULL FROM featul_integrations.stat_subscription));

# types and constraints of the application may change
$pair->app(<<'END');
CREATE TYPE post_status AS ENUM ('draft', 'published', 'roasted');
ALTER TABLE post ALTER status DROP DEFAULT, ALTER status TYPE post_status USING status::post_status, ALTER title DROP NOT NULL;
UPDATE post SET status = 'roasted', title = NULL;
ALTER TABLE post DROP COLUMN image;
END
$pair->catch_up;
is($node->sql('SELECT status, title IS NULL FROM post'), 'roasted|t', 'an enumeration and a NULL more need nothing');

# disabled
$node->sql('ALTER SUBSCRIPTION featul DISABLE');
$node->wait_for_sql(q(SELECT state = 'disabled' FROM featul_integrations.stat_subscription));
is(ready(), 'f', 'disabled is not ready');
like(diagnosis(), qr/featul is disabled/, 'and the diagnosis says so');

# the slot is gone
$pair->publisher->poll_query_until('postgres', 'SELECT NOT active FROM pg_replication_slots');
$pair->app(q(SELECT pg_drop_replication_slot('featul')));
$node->sql('ALTER SUBSCRIPTION featul ENABLE');
$node->wait_for_sql(q(SELECT state = 'stopped' AND last_error LIKE '%replication slot "featul" does not exist%'
	FROM featul_integrations.stat_subscription));
pass('a lost slot is a stopped subscription that says so');
is(ready(), 'f', 'and not ready');

# what the documentation says then
my ($resync) = slurp_file("$Featul::test_dir/../docs/node.md") =~ /<!-- node: resync -->\n```sql\n(.*?)```/s;
$pair->app(q(INSERT INTO post (id, board_id, title, content, slug, status) VALUES ('missed', 'ideas', 'Missed', 'x', 'missed', 'published')));
$node->sql($_) foreach grep { /\S/ } split /;/, $resync;
$pair->set_up;
is($node->sql('SELECT string_agg(id, \',\' ORDER BY id) FROM post'), 'missed,old', 'copied anew');
is($node->sql('SELECT count(*) FROM featul_integrations.event'), '0', 'in silence');
is($node->sql('SELECT count(*) FROM featul_integrations.integration WHERE is_active'), '1', 'integrations stay');
is(ready(), 't', 'ready again');
$node->wait_for_sql(q(SELECT ok FROM featul_integrations.diagnose() WHERE "check" = 'the subscription streams'));

# a bound column that is renamed, as the documentation has it: what came before is told
my ($rename) = slurp_file("$Featul::test_dir/../docs/node.md") =~ /<!-- node: rename -->\n```sql\n(.*?)```/s;
$pair->app('ALTER TABLE post RENAME title TO headline');
$pair->app(q(INSERT INTO post (id, board_id, headline, content, slug, status) VALUES ('anew', 'ideas', 'Anew', 'x', 'anew', 'published')));
$node->wait_for_sql(q(SELECT missing_columns = 'public.post: "headline"' FROM featul_integrations.stat_subscription));
$node->sql($rename);
$pair->catch_up;
is($node->sql(q(SELECT payload::jsonb #>> '{post,title}' FROM featul_integrations.event)), 'Anew', 'nothing is lost over a renaming');

# what is missing of the tables
$node->sql(<<'END');
ALTER TABLE vote DROP CONSTRAINT vote_pkey;
ALTER TABLE board DROP CONSTRAINT board_pkey;
DROP INDEX workspace_member_workspace_id_user_id_idx;
ALTER SUBSCRIPTION featul DISABLE;
END
$pair->app('ALTER PUBLICATION featul_integrations DROP TABLE comment_mention, comment_reaction');
$node->sql('ALTER SUBSCRIPTION featul ENABLE');
$node->sql('ALTER SUBSCRIPTION featul REFRESH PUBLICATION');
$pair->app('ALTER PUBLICATION featul_integrations ADD TABLE comment_reaction');
$node->sql('ALTER SUBSCRIPTION featul REFRESH PUBLICATION WITH (copy_data = off)');
my $problems = $node->sql('SELECT relation, problem FROM featul_integrations.replication_problems() ORDER BY 1, 2');
is($problems, join("\n",
	'board|has no index on what is looked up: id',
	'board|has no primary key',
	'comment_mention|is not replicated',
	'comment_reaction|was never copied, and is empty',
	'vote|has no primary key',
	'workspace_member|has no index on what is looked up: workspace_id, user_id'), 'what is missing');
($status, $out, $error) = $node->node->psql('postgres', 'SELECT integration_attach()');
is(scalar(() = $error =~ /WARNING:  table \S+ (has no|is not|was never)/g), 6, 'attach warns of each');
like($error, qr/HINT:  CREATE INDEX ON public.board \(id\)/, 'with what to do');

done_testing();
