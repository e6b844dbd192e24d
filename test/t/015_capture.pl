# Capture where a regression test does not reach: prepared transactions, replication,
# databases in other encodings, indexes rebuilt under load, very large texts.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(
	connect => ['webhook'],
	conf => "max_prepared_transactions = 5\nwal_level = logical\nmax_wal_senders = 5\nmax_replication_slots = 5\nmax_worker_processes = 30");
my $node = $featul->node;
my $dbname = $featul->{dbname};

sub titles
{
	return join(' ', sort map { $_->{json}{post}{title} } $featul->requests(@_));
}

# --- prepared transactions: sent when they commit, not before

$featul->sql(<<'END');
BEGIN;
INSERT INTO post (id, board_id, title, content, slug) VALUES (gen_random_uuid(), 'ideas', 'prepared-1', 'c', gen_random_uuid());
PREPARE TRANSACTION 'one';
BEGIN;
INSERT INTO post (id, board_id, title, content, slug) VALUES (gen_random_uuid(), 'ideas', 'prepared-2', 'c', gen_random_uuid());
PREPARE TRANSACTION 'two';
END
$featul->post(title => 'before');
$featul->wait_for_requests(1);
is(titles(), 'before', 'nothing of a prepared transaction is sent');
$featul->sql("ROLLBACK PREPARED 'two'");
$featul->sql("COMMIT PREPARED 'one'");
$featul->wait_for_requests(2);
$featul->wait_until_settled;
is(titles(), 'before prepared-1', 'what commits is sent, what rolls back is not');

# what the session found out in a prepared transaction may be about a board that there never was
$featul->forget;
$featul->sql(<<'END');
INSERT INTO workspace (id, name, slug, owner_id, domain) VALUES ('silent', 'S', 'silent', 'olivia', 'silent.example.com');
BEGIN;
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('twice', 'silent', 'T', 'twice', 'olivia');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('never', 'twice', 'never', 'c', 'never');
PREPARE TRANSACTION 'three';
ROLLBACK PREPARED 'three';
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('twice', 'acme', 'T', 'twice', 'olivia');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('on-twice', 'twice', 'on twice', 'c', 'on-twice');
END
$featul->wait_until_settled;
is(titles(), 'on twice', 'a board of a prepared transaction that is rolled back is not remembered');

# --- logical replication: what a subscription applies is captured like the rest (docs/node.md)

$node->safe_psql($dbname, 'CREATE DATABASE publisher');
my $tables = slurp_file("$Featul::test_dir/featul.sql");
$node->safe_psql('publisher', $tables);
$node->safe_psql('publisher', <<'END');
INSERT INTO "user" (id, name, email, email_verified) VALUES ('olivia', 'O', 'o@example.com', true);
INSERT INTO workspace (id, name, slug, owner_id, domain) VALUES ('acme', 'A', 'acme', 'olivia', 'acme.example.com');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('ideas', 'acme', 'I', 'ideas', 'olivia');
CREATE PUBLICATION posts FOR TABLE post;
SELECT pg_create_logical_replication_slot('posts', 'pgoutput');
END
my $connection = $node->connstr('publisher');
$featul->sql("CREATE SUBSCRIPTION posts CONNECTION \$\$$connection\$\$ PUBLICATION posts "
	  . "WITH (create_slot = false, copy_data = false, slot_name = posts)");
$featul->forget;
$node->safe_psql('publisher',
	"INSERT INTO post (id, board_id, title, content, slug) VALUES ('replicated', 'ideas', 'replicated', 'c', 'replicated')");
$featul->wait_for_sql("SELECT count(*) = 1 FROM post WHERE id = 'replicated'");
$featul->post(title => 'local');
$featul->wait_for_requests(2);
$featul->wait_until_settled;
is(titles(), 'local replicated', 'what a subscription applies is captured as well');
$featul->sql('DROP SUBSCRIPTION posts');
$node->safe_psql($dbname, 'DROP DATABASE publisher');

# --- encodings: the statement never fails, the receiver gets valid UTF-8

my %encodings = (
	SQL_ASCII => [ q(E'\xff\xfe caf\xe9 \xf0\x9f\x98\x80 \xed\xa0\x80 ok'),
		"\x{fffd}\x{fffd} caf\x{fffd} \x{1f600} \x{fffd}\x{fffd}\x{fffd} ok" ],
	LATIN1 => [ q(E'caf\xe9 \xa0\xff'), "caf\x{e9} \x{a0}\x{ff}" ],
	EUC_JP => [ q(E'\xc6\xfc\xcb\xdc \xa9\xa1'), "\x{65e5}\x{672c} \x{fffd}" ],    # the last is no character
	EUC_KR => [ q(E'\xc7\xd1\xb1\xdb'), "\x{d55c}\x{ae00}" ]);

foreach my $encoding (sort keys %encodings)
{
	my ($sql, $expected) = @{ $encodings{$encoding} };
	my $database = lc $encoding;

	$node->safe_psql($dbname,
		"CREATE DATABASE $database ENCODING '$encoding' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
	$featul->set_up_database($database);
	local $featul->{dbname} = $database;
	$featul->connect('webhook', url => "https://hook.example.com/$database");
	# $sql has bytes of the database's encoding
	$featul->sql("SET client_encoding = '$encoding'; INSERT INTO post (id, board_id, title, content, slug, author_id) "
		  . "VALUES (gen_random_uuid(), 'ideas', $sql, repeat($sql, 20000), gen_random_uuid(), 'mina')");
	$featul->sql("SET client_encoding = '$encoding'; INSERT INTO comment (id, post_id, content, author_name) "
		  . "SELECT gen_random_uuid(), id, $sql, $sql FROM post");
	my ($post, $comment) = $featul->wait_for_requests(2, path => "/$database");
	is($post->{json}{post}{title}, $expected, "$encoding: a title arrives");
	is($comment->{json}{comment}{author}{name}, $expected, "$encoding: a name arrives");
	is(substr($post->{json}{post}{content}, 0, length $expected),
		$expected, "$encoding: a long content arrives");
	ok($post->{json}{post}{truncated}, "$encoding: and is cut");
	$featul->wait_until_settled;
}

# --- indexes come and go under load, and no event is lost

$featul->forget;
$featul->sql('ALTER SYSTEM SET featul_integrations.delivery = off');
$node->reload;
my $script = $node->basedir . '/insert.sql';
append_to_file($script,
	"INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'ideas', 'load', 'c', gen_random_uuid(), 'mina');\n");
my $before = -s $node->logfile;
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-c', 4, '-t', 4000, '-f', $script, '-h', $node->host, '-p', $node->port, $dbname ],
	'>', '/dev/null', '2>&1');
my $rebuilds = 0;
while ($load->pumpable)
{
	$featul->sql("REINDEX INDEX CONCURRENTLY $_") foreach qw(board_pkey workspace_pkey user_pkey);
	$featul->sql('ANALYZE board, workspace, "user", post');
	$rebuilds++;
	last if $featul->sql("SELECT count(*) FROM post WHERE title = 'load'") == 16000;
}
$load->finish;
cmp_ok($rebuilds, '>', 0, "indexes were rebuilt ($rebuilds times)");
is( $featul->sql("SELECT count(*) FROM featul_integrations.event WHERE payload #>> '{post,title}' = 'load'"),
	$featul->sql("SELECT count(*) FROM post WHERE title = 'load'"),
	'each of the posts is an event');
unlike(slurp_file($node->logfile, $before), qr/could not capture/, 'without a warning');

# --- a text as large as a row can be is cut to what can be sent, without reading all of it

# PostgreSQL allocates 2^30 - 1 bytes at most; the rest of the row and its headers take the others
my $largest = 1073741685;

sub available_memory
{
	return slurp_file('/proc/meminfo') =~ /^MemAvailable:\s+(\d+) kB/m ? $1 / 1024 / 1024 : 0;
}

sub huge_post
{
	my ($id, $length) = @_;
	return "INSERT INTO post (id, board_id, title, content, slug) VALUES ('$id', 'ideas', 't', repeat('x', $length), '$id')";
}

SKIP:
{
	# PostgreSQL's own copies: the text, the row, the compressed text
	skip 'less than 5 GB of memory', 4 if available_memory() < 5;

	# LZ4, the default since 19, asks for room that is larger than the text, and then more than that
	$featul->sql("ALTER TABLE $_ ALTER content SET COMPRESSION pglz") foreach qw(post comment);
	$featul->sql(huge_post('hugest-post', $largest));
	is($featul->sql("SELECT octet_length(content) FROM post WHERE id = 'hugest-post'"), $largest, 'it is stored');
	isnt(scalar $node->psql($dbname, huge_post('larger-post', $largest + 8)), 0, 'and PostgreSQL would not take eight bytes more');

	# what does not have PostgreSQL make copies needs next to nothing
	my $peak = $featul->sql(<<'END');
UPDATE post SET is_pinned = true WHERE id = 'hugest-post';
INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'hugest-post', 'vera', 'upvote');
INSERT INTO comment (id, post_id, content) SELECT gen_random_uuid(), 'hugest-post', content FROM post WHERE id = 'hugest-post';
SELECT (regexp_match(pg_read_file('/proc/self/status'), 'VmHWM:\s+(\d+)'))[1]::int / 1024;
END
	cmp_ok($peak, '<', 200, "changes of the post, votes and comments of that size take $peak MB");
	is( $featul->sql(<<'END'),
SELECT string_agg(name, ' ' ORDER BY id) || ' ' || (min(length(payload::text)) >= 65000 AND max(length(payload::text)) <= 65536)
FROM featul_integrations.event WHERE post_id = 'hugest-post'
END
		'post.created post.pinned post.upvoted comment.created true',
		'each is an event, as long as it may be');
}

$node->stop;
done_testing();
