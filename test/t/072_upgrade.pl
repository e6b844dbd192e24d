# ALTER EXTENSION ... UPDATE: what a database has after it is what a new one has, object by object
# (definitions, comments, grants, owners), and the data and what is pending are kept.  And the
# library refuses to run with SQL objects of a version that it does not know.
#
# The next version is made up, beside the one that is installed: this runs in a copy of the server.
# Every upgrade script that is released is tested in the same way, from each released version.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Featul;
use File::Copy qw(copy);
use PostgreSQL::Test::Utils;
use Test::More;

my $share = `pg_config --sharedir`;
chomp $share;
my $scripts = "$share/extension/featul_integrations--";
plan skip_all => 'the scripts of the server cannot be written' unless -w "$share/extension";
my ($current) = slurp_file("$share/extension/featul_integrations.control") =~ /default_version = '([^']*)'/;

# What changes: each kind of object, and a grant, a comment and a default.
my $changes = <<'END';
ALTER TABLE featul_integrations.health ADD COLUMN note text DEFAULT 'none';
COMMENT ON COLUMN featul_integrations.health.note IS 'Made up.';
ALTER TABLE featul_integrations.event ADD COLUMN note text;
ALTER TABLE featul_integrations.queue ADD COLUMN note text;
ALTER TABLE featul_integrations.attempt ADD COLUMN note text;
CREATE INDEX health_note ON featul_integrations.health (note);
CREATE FUNCTION featul_integrations.made_up(x integer DEFAULT 1) RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS 'SELECT x + 1';
REVOKE ALL ON FUNCTION featul_integrations.made_up(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION featul_integrations.made_up(integer) TO pg_monitor;
COMMENT ON FUNCTION featul_integrations.made_up(integer) IS 'Made up.';
CREATE VIEW featul_integrations.made_up_view AS SELECT featul_integrations.made_up() AS made_up;
GRANT SELECT ON featul_integrations.made_up_view TO pg_monitor;
END
my $reverse = <<'END';
DROP VIEW featul_integrations.made_up_view;
DROP FUNCTION featul_integrations.made_up(integer);
ALTER TABLE featul_integrations.health DROP COLUMN note;
ALTER TABLE featul_integrations.event DROP COLUMN note;
ALTER TABLE featul_integrations.queue DROP COLUMN note;
ALTER TABLE featul_integrations.attempt DROP COLUMN note;
END

# add($name, $text): a script of the extension
sub add
{
	my ($name, $text) = @_;
	append_to_file("$scripts$name.sql", $text);
}

add("$current--99.0", $changes);
add("99.0--$current", $reverse);
add('99.0', slurp_file("$scripts$current.sql") . $changes);

my $featul = Featul->new(connect => ['webhook']);
my $node = $featul->node;

# Everything that belongs to the extension, as text; what differs by chance (oids, places of
# columns) left out.
my $objects = <<'END';
WITH member AS (
	SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'featul_integrations'
), relation AS (
	SELECT c.* FROM pg_class c JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
)
SELECT pg_describe_object(classid, objid, 0) || ': ' || coalesce(obj_description(objid, classid::regclass::name), '') FROM member
UNION ALL
SELECT pg_get_functiondef(p.oid) || p.proowner::regrole || (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(p.proacl) a)::text
FROM pg_proc p JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
UNION ALL
SELECT format('%s %s %s %s %s', r.oid::regclass, r.relkind, r.relowner::regrole, r.reloptions,
	(SELECT array_agg(a::text ORDER BY a::text) FROM unnest(r.relacl) a)) FROM relation r
UNION ALL
SELECT format('%s.%s %s %s %s %s %s', r.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
	pg_get_expr(d.adbin, d.adrelid), col_description(r.oid, a.attnum), a.attacl)
FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
UNION ALL
SELECT pg_get_viewdef(r.oid) FROM relation r WHERE r.relkind = 'v'
UNION ALL
SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN relation r ON r.oid = i.indrelid
UNION ALL
SELECT pg_get_constraintdef(c.oid) || c.conrelid::regclass FROM pg_constraint c JOIN relation r ON r.oid = c.conrelid
UNION ALL
SELECT pg_get_triggerdef(t.oid) || t.tgenabled::text || coalesce(obj_description(t.oid, 'pg_trigger'), '')
FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid
UNION ALL
SELECT 'dumped: ' || unnest(extconfig)::regclass || unnest(extcondition) FROM pg_extension WHERE extname = 'featul_integrations'
ORDER BY 1
END

# Something is pending, something is in the log.
$featul->post;
$featul->wait_until_settled;
$featul->set(delivery => 'off');
$featul->post(title => 'while it is upgraded');
my $kept = 'SELECT (SELECT count(*) FROM featul_integrations.queue), (SELECT count(*) FROM featul_integrations.attempt),'
  . ' (SELECT array_agg(webhook_id ORDER BY id) FROM featul_integrations.event),'
  . ' (SELECT string_agg(webhook_url || secret || is_active, chr(44)) FROM featul_integrations.integration),'
  . ' (SELECT count(*) FROM featul_integrations.binding)';
my $before = $featul->sql($kept);
my $objects_before = $featul->sql($objects);

$featul->sql("ALTER EXTENSION featul_integrations UPDATE TO '99.0'");
is($featul->sql($kept), $before, 'data, log and what is pending are kept');
$featul->sql('CREATE DATABASE new');
$node->safe_psql('new', "SET client_min_messages = error; CREATE EXTENSION featul_integrations VERSION '99.0'");
my ($upgraded, $new) = map { $node->safe_psql($_, $objects) } 'postgres', 'new';
cmp_ok(length($new), '>', 20000, 'there is something to compare');
is($upgraded, $new, 'an upgraded database has what a new one has');
isnt($upgraded, $objects_before, 'and that is not what it had before');

# The library knows no such version.
my ($status, $out, $error) = $node->psql('postgres', "SET featul_integrations.user_id = 'olivia'; SELECT * FROM integration_list('acme')");
like($error, qr/does not know version 99\.0/, 'functions refuse to run');
like($error, qr/HINT: .*ALTER EXTENSION featul_integrations UPDATE/, 'and say what to do');
my $refuses = q(SELECT last_error LIKE '%does not know version 99.0%' AND last_error_at > coalesce(config_loaded_at, started_at))
  . q( FROM featul_integrations.stat_worker WHERE database = 'postgres');
$featul->wait_for_sql($refuses, 't');
$featul->set(delivery => 'on');
foreach my $when ('that runs meanwhile', 'after a restart')
{
	$node->restart if $when eq 'after a restart';
	$featul->wait_for_sql($refuses, 't');
	is($featul->sql('SELECT count(*) FROM featul_integrations.queue'), 1, "the worker $when sends nothing");
}
like(slurp_file($node->logfile), qr/HINT:  Install the packages of the newer version.* The worker tries again by itself/, 'the log says what to do');
is(($node->psql('postgres', "INSERT INTO post (id, board_id, title, content, slug) VALUES ('u', 'ideas', 'before the library follows', '', 'u')"))[2],
	'', 'the application goes on');
is($featul->sql('SELECT count(*) FROM featul_integrations.queue'), 2, '... and what it does is captured');

# Back: it goes on by itself.
$featul->sql("ALTER EXTENSION featul_integrations UPDATE TO '$current'");
is($featul->sql($objects), $objects_before, 'a downgraded database has what it had');
$featul->wait_until_settled;
is(scalar(grep { $_->{body} =~ /while it is upgraded|before the library follows/ } $featul->requests), 2, 'what was pending is sent');

unlink map { "$scripts$_.sql" } "$current--99.0", "99.0--$current", '99.0';
$node->stop;
done_testing;
