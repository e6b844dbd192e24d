
# How a subscription may apply, and what may come of it: whose rights it runs with, parallel
# workers, an error that disables it, a table added later, a publication of a part.

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
	publisher_conf => "logical_decoding_work_mem = 64kB\nmax_prepared_transactions = 5",
	node_conf => 'max_prepared_transactions = 5');
my $node = $pair->node;
my $major = $node->sql('SHOW server_version_num') =~ s/\d{4}$//r;
my $since = 0;

# What apply says of a row that is there already; the second, from 18 on
my $is_twice = 'violates unique constraint|conflict=insert_exists';
my $ready = slurp_file("$DeliveryNode::deploy_dir/ready.sql");

# What view stat_subscription says of some columns
sub status
{
	my ($columns) = @_;

	return $node->sql("SELECT $columns FROM featul_integrations.stat_subscription");
}

# From now on
sub forget
{
	$since = $node->sql('SELECT coalesce(max(id), 0) FROM featul_integrations.event');
	return;
}

# What has been captured since
sub told
{
	return $node->sql("SELECT string_agg(post_id || ' ' || name, ', ' ORDER BY id) FROM featul_integrations.event WHERE id > $since");
}

# What is told of what was done on the publisher
sub told_of
{
	my ($statements, $expected, $name) = @_;

	forget();
	$pair->app($statements);
	$pair->catch_up;
	is(told(), $expected, $name);
	return;
}

sub post
{
	my ($id) = @_;

	return "INSERT INTO post (id, board_id, title, content, slug) VALUES ('$id', 'ideas', '$id', 'x', '$id');";
}

# ---------------------------------------------------------------------------
# The rights that apply runs with
# ---------------------------------------------------------------------------

# All that capture does of what a subscription applies
my $round = 0;

sub everything
{
	my ($name) = @_;
	my $n = ++$round;

	$pair->app("INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('w$n', 'W', 'w$n', '-', 'starter', 'olivia')");
	$pair->catch_up;
	$node->connect('webhook', workspace => "w$n");
	told_of(
		post("p$n")
		  . "UPDATE post SET is_pinned = true, upvotes = 12 WHERE id = 'p$n';
			 UPDATE post SET status = 'archived' WHERE id = 'p$n'; UPDATE post SET status = 'published' WHERE id = 'p$n';
			 INSERT INTO comment (id, post_id, content, author_id) VALUES ('c$n', 'p$n', 'x', 'mina');
			 INSERT INTO vote (id, post_id, user_id, type) VALUES ('v$n', 'p$n', 'vera', 'upvote');",
		"p$n post.created, p$n post.pinned, p$n post.milestone, p$n comment.created, p$n post.upvoted", $name);
	$pair->app("UPDATE workspace SET id = 'renamed$n' WHERE id = 'w$n'");
	$pair->catch_up;
	is($node->sql("SELECT count(*) FROM featul_integrations.integration WHERE workspace_id = 'renamed$n'"), '1', "$name: a renamed workspace");
	$pair->app("DELETE FROM workspace WHERE id = 'renamed$n'");
	$pair->catch_up;
	is($node->sql("SELECT count(*) FROM featul_integrations.integration WHERE workspace_id = 'renamed$n'"), '0', "$name: a deleted workspace");
	$pair->app("INSERT INTO workspace_integration (id, workspace_id, type, webhook_url) VALUES ('s$n', 'acme', 'slack', '$Featul::url{slack}')");
	$pair->catch_up;
	is($node->sql(q(SELECT count(*) FROM featul_integrations.integration WHERE type = 'slack')), '1', "$name: a followed row");
	$pair->app('DELETE FROM workspace_integration');
	$pair->catch_up;
	is($node->sql(q(SELECT count(*) FROM featul_integrations.integration WHERE type = 'slack')), '0', "$name: and its end");
	is($node->sql('SELECT failed FROM featul_integrations.stat_capture'), '0', "$name: capture met no error");
	return;
}

# The subscription is taken up anew
sub apply_with
{
	my ($statement) = @_;

	$node->sql('ALTER SUBSCRIPTION featul DISABLE');
	$node->wait_for_sql(q(SELECT count(*) = 0 FROM pg_stat_subscription WHERE pid IS NOT NULL));
	$node->sql($_) foreach split /; */, $statement;
	$node->sql('ALTER SUBSCRIPTION featul ENABLE');
	$pair->wait_until_streaming;
	return;
}

$node->sql(q(SELECT integration_import('public', follow => true)));
everything('a superuser\'s tables');

# tables of somebody who may do nothing else
$node->sql(<<'END');
CREATE ROLE keeper;
GRANT CREATE ON SCHEMA public TO keeper;
SELECT format('ALTER TABLE %s OWNER TO keeper', srrelid::regclass) FROM pg_subscription_rel \gexec
END
everything('the tables of a role without rights');
SKIP:
{
	skip 'from PostgreSQL 16 on', 14 if $major < 16;
	apply_with('ALTER SUBSCRIPTION featul SET (run_as_owner = true)');
	everything('run_as_owner, a superuser\'s');
	apply_with('ALTER SUBSCRIPTION featul SET (run_as_owner = false);'
		  . 'CREATE ROLE nodeadmin LOGIN; GRANT pg_create_subscription TO nodeadmin; GRANT keeper TO nodeadmin;'
		  . 'GRANT CREATE ON DATABASE postgres TO nodeadmin;'
		  . 'ALTER SUBSCRIPTION featul SET (password_required = false); ALTER SUBSCRIPTION featul OWNER TO nodeadmin');
	everything('a subscription of a role that may become the owner');
	apply_with('ALTER SUBSCRIPTION featul SET (run_as_owner = true); GRANT INSERT, UPDATE, DELETE, SELECT, TRUNCATE ON ALL TABLES IN SCHEMA public TO nodeadmin');
	everything('run_as_owner, of a role without rights');
	apply_with('ALTER SUBSCRIPTION featul OWNER TO ' . $node->sql('SELECT current_user') . '; ALTER SUBSCRIPTION featul SET (run_as_owner = false)');
}
if ($major < 16)
{
	apply_with('CREATE ROLE nodeadmin LOGIN SUPERUSER; ALTER SUBSCRIPTION featul OWNER TO nodeadmin; ALTER ROLE nodeadmin NOSUPERUSER;'
		  . 'GRANT INSERT, UPDATE, DELETE, SELECT, TRUNCATE ON ALL TABLES IN SCHEMA public TO nodeadmin; GRANT keeper TO nodeadmin');
	everything('a subscription of a role without rights');
	apply_with('ALTER SUBSCRIPTION featul OWNER TO ' . $node->sql('SELECT current_user'));
}

# ---------------------------------------------------------------------------
# Streamed transactions
# ---------------------------------------------------------------------------

my $number = 0;

# A large transaction half of whose savepoints are rolled back; $last is its last statement
sub streamed
{
	my ($last) = @_;
	my $n = ++$number;

	return join "\n", 'BEGIN;',
	  (map {
		("SAVEPOINT s$_;",
			"INSERT INTO post (id, board_id, title, content, slug) SELECT 'stream$n.$_.' || n, 'ideas', 'S', repeat(md5(n::text), 20), 'stream$n.$_.' || n FROM generate_series(1, 30) n;",
			"DELETE FROM post WHERE id = 'stream$n.$_.30';",
			$_ % 2 ? "RELEASE SAVEPOINT s$_;" : "ROLLBACK TO SAVEPOINT s$_;")
	  } 1 .. 10), $last // 'COMMIT', ';';
}

my %streaming = (on => 'spooled', $major < 16 ? () : (parallel => 'applied by a parallel worker'));
foreach my $way (sort keys %streaming)
{
	apply_with("ALTER SUBSCRIPTION featul SET (streaming = $way)");
	forget();
	$pair->app(streamed());
	$pair->app(streamed('ROLLBACK'));
	$pair->app(streamed());
	$pair->catch_up;
	is( $node->sql("SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM post p WHERE p.id = e.post_id)) FROM featul_integrations.event e WHERE id > $since"),
		'300|290', "$streaming{$way}: what is told of committed savepoints, and of those rolled back nothing");
	is($node->sql("SELECT count(*) FROM featul_integrations.event WHERE id > $since AND split_part(post_id, '.', 2)::integer % 2 = 0"),
		'0', "$streaming{$way}: no ghosts");
	next if $way eq 'on';
	is($node->sql('SELECT count(*) > 0 FROM pg_stat_subscription WHERE leader_pid IS NOT NULL'), 't', 'in a worker of its own');
	is(status('state'), 'streaming', 'parallel workers count for their leader');

	# an error in such a worker
	my $id = 'stream' . ($number + 1) . '.9.7';
	$node->sql("SET session_replication_role = replica; INSERT INTO post (id) VALUES ('$id')");
	$pair->app(streamed());
	$node->wait_for_sql(qq(SELECT state = 'stopped' AND last_error ~ '$is_twice' FROM featul_integrations.stat_subscription));
	pass('an error of a parallel worker is shown');
	$node->sql("SET session_replication_role = replica; DELETE FROM post WHERE id = '$id'");
	$pair->catch_up;
}

# ---------------------------------------------------------------------------
# Prepared transactions
# ---------------------------------------------------------------------------

# The subscription is made anew: until 18 this cannot be altered
sub two_phase
{
	my ($value) = @_;

	$node->sql('DROP SUBSCRIPTION featul');
	$node->sql('CREATE SUBSCRIPTION featul CONNECTION $$' . $pair->publisher_conninfo . '$$ PUBLICATION featul_integrations
		WITH (synchronous_commit = on, copy_data = off, streaming = on, two_phase = ' . $value . ')');
	$pair->wait_until_streaming;
	return;
}
two_phase('on');
$node->wait_until_settled;
forget();
$pair->app('BEGIN;' . post('not yet') . q(PREPARE TRANSACTION 'a'; BEGIN;) . post('never') . q(PREPARE TRANSACTION 'b'));
$pair->app(streamed(q(PREPARE TRANSACTION 'c')));
$node->wait_for_sql('SELECT count(*) = 3 FROM pg_prepared_xacts');
is(told(), '', 'two_phase: what is prepared has not happened');
$pair->app(q(ROLLBACK PREPARED 'b'));
$pair->app(q(COMMIT PREPARED 'a'));
$pair->catch_up;
is(told(), 'not yet post.created', 'what is committed then has');
$node->wait_until_settled;
pass('and is sent, with nothing else to wake the worker');
$pair->app(q(COMMIT PREPARED 'c'));
$pair->catch_up;
is($node->sql("SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM post p WHERE p.id = e.post_id)) FROM featul_integrations.event e WHERE id > $since"),
	'151|146', 'a large one, with savepoints');
$node->wait_until_settled;
two_phase('off');

# ---------------------------------------------------------------------------
# An error that disables the subscription
# ---------------------------------------------------------------------------

apply_with('ALTER SUBSCRIPTION featul SET (disable_on_error = true)');
$node->sql(q(SET session_replication_role = replica; INSERT INTO post (id) VALUES ('twice')));
forget();
$pair->app(post('before') . post('twice') . post('after'));
$node->wait_for_sql(q(SELECT state = 'disabled' FROM featul_integrations.stat_subscription));
like(status('last_error'), qr/$is_twice/, 'disable_on_error: the view says why');
is($node->sql($ready), 'f', 'not ready');
is(told(), 'before post.created', 'what came before is told');
$node->sql(q(SET session_replication_role = replica; DELETE FROM post WHERE id = 'twice'));
$node->sql('ALTER SUBSCRIPTION featul ENABLE');
$pair->catch_up;
is(told(), 'before post.created, twice post.created, after post.created', 'once mended and enabled, all of it is');
$node->sql('ALTER SUBSCRIPTION featul SET (disable_on_error = false)');

# ---------------------------------------------------------------------------
# A table that is added later
# ---------------------------------------------------------------------------

$pair->app('ALTER PUBLICATION featul_integrations DROP TABLE comment_reaction');
$node->sql('ALTER SUBSCRIPTION featul REFRESH PUBLICATION');
$pair->app(post('known') . <<'END');
INSERT INTO comment (id, post_id, content, author_id) VALUES ('known', 'known', 'x', 'mina');
INSERT INTO "user" (id, name, email, email_verified) SELECT 'user' || n, 'U', 'u' || n, true FROM generate_series(1, 6) n;
INSERT INTO comment_reaction (id, comment_id, user_id, type) SELECT 'old' || n, 'known', 'user' || n, 'upvote' FROM generate_series(1, 5) n;
END
$pair->catch_up;
forget();
my $session = $node->node->background_psql('postgres');
$session->query_safe('BEGIN; LOCK TABLE comment_reaction IN SHARE ROW EXCLUSIVE MODE');
$pair->app('ALTER PUBLICATION featul_integrations ADD TABLE comment_reaction');
$node->sql('ALTER SUBSCRIPTION featul REFRESH PUBLICATION');
$node->wait_for_sql(q(SELECT state = 'copying' AND copying = '{comment_reaction}' FROM featul_integrations.stat_subscription));
is($node->sql($ready), 'f', 'while a table is copied it is not ready');
$pair->app(post('meanwhile'));
$node->wait_for_sql(q(SELECT count(*) = 1 FROM post WHERE id = 'meanwhile'));
$session->query_safe('COMMIT');
$session->quit;
$pair->wait_until_streaming;
is($node->sql('SELECT count(*) FROM comment_reaction'), '5', 'a table that is added later is copied');
is(told(), '', 'in silence, and nothing is announced meanwhile');
is($node->sql($ready), 't', 'ready again');
told_of(post('then') . q(INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES ('new', 'known', 'user6', 'upvote')),
	'then post.created, known comment.reaction', 'what comes afterwards is told');

# the tables are emptied and copied anew
$pair->app('TRUNCATE workspace CASCADE');
$pair->catch_up;
is($node->sql('SELECT count(*) FROM workspace'), '0', 'TRUNCATE is replicated');
is($node->sql('SELECT count(*) FROM featul_integrations.integration'), '1', 'and removes no integration');
$pair->app(q(INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('acme', 'Acme', 'acme', 'professional', 'olivia', '-');
	INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('ideas', 'acme', 'Ideas', 'ideas', 'olivia')));
told_of(post('filled'), 'filled post.created', 'which goes on');

# ---------------------------------------------------------------------------
# A publication of a part
# ---------------------------------------------------------------------------

$pair->app(<<'END');
ALTER PUBLICATION featul_integrations DROP TABLE post;
ALTER TABLE post REPLICA IDENTITY FULL;
ALTER PUBLICATION featul_integrations ADD TABLE post WHERE (status = 'published');
END
$node->sql('ALTER SUBSCRIPTION featul REFRESH PUBLICATION WITH (copy_data = off)');
told_of(q(INSERT INTO post (id, board_id, title, content, slug, status) VALUES ('part', 'ideas', 'Part', 'x', 'part', 'draft');
	UPDATE post SET status = 'published' WHERE id = 'part'; UPDATE post SET is_pinned = true WHERE id = 'part';
	UPDATE post SET status = 'archived' WHERE id = 'part'),
	'part post.created, part post.pinned', 'a row filter: what comes into sight is new');
is($node->sql(q(SELECT count(*) FROM post WHERE id = 'part')), '0', 'what is out of sight is gone');
$pair->app(<<'END');
ALTER PUBLICATION featul_integrations DROP TABLE post;
ALTER TABLE post REPLICA IDENTITY DEFAULT;
ALTER PUBLICATION featul_integrations ADD TABLE post (id, board_id, title, status);
END
$node->sql('ALTER SUBSCRIPTION featul REFRESH PUBLICATION WITH (copy_data = off)');
told_of(post('list') . q(UPDATE post SET is_pinned = true WHERE id = 'list'; UPDATE post SET title = 'Longer' WHERE id = 'list'),
	'list post.created', 'a column list: what is not sent has not happened');
is($node->sql("SELECT payload::jsonb #> '{post,content}' FROM featul_integrations.event WHERE id > $since"), 'null', 'and is nothing in the payload');
is(status('state'), 'streaming', 'neither stops replication');
is($node->sql('SELECT failed FROM featul_integrations.stat_capture'), '0', 'nor capture');

# ---------------------------------------------------------------------------
# The probe
# ---------------------------------------------------------------------------

# What it says under a setting, and afterwards
sub not_ready_with
{
	my ($setting, $name) = @_;

	$node->sql("ALTER SYSTEM SET $setting");
	$node->sql('SELECT pg_reload_conf()');
	$node->wait_for_sql("SELECT NOT coalesce(($ready), false)" =~ s/--.*\n//gr =~ s/;//r);
	pass("not ready: $name");
	$node->sql('ALTER SYSTEM RESET ' . $setting =~ s/ =.*//r);
	$node->sql('SELECT pg_reload_conf()');
	$node->wait_for_sql("SELECT coalesce(($ready), false)" =~ s/--.*\n//gr =~ s/;//r);
	return;
}
not_ready_with('featul_integrations.delivery = off', 'delivery is off');
not_ready_with('featul_integrations.capture = off', 'capture is off');
$node->script({ 'hook.example.com/' => [ { delay => 60 } ] });
$pair->app(post('halts'));
$node->wait_for_sql(q(SELECT count(*) = 1 FROM featul_integrations.stat_worker WHERE in_flight > 0));
is($node->sql($ready), 't', 'an endpoint that does not answer is no fault of the node');
$node->sql('ALTER TABLE post RENAME COLUMN title TO headline');
is($node->sql($ready), 'f', 'not ready: a binding does not hold');

done_testing();
