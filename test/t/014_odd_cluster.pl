# A cluster that somebody else has set up: settings that are legal, but not the defaults, for the
# server and for the database.  All of it goes on as elsewhere, and what is told is the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

# What the texts of sessions and workers depend on, in the server's configuration ...
my $odd = <<'END';
TimeZone = 'Asia/Tokyo'
log_timezone = 'America/St_Johns'
DateStyle = 'German, DMY'
IntervalStyle = 'iso_8601'
bytea_output = 'escape'
extra_float_digits = -15
array_nulls = off
transform_null_equals = on
quote_all_identifiers = on
xmlbinary = 'hex'
backslash_quote = off
search_path = 'nowhere'
default_transaction_isolation = 'serializable'
default_transaction_deferrable = on
statement_timeout = '60s'
lock_timeout = '30s'
idle_in_transaction_session_timeout = '10s'
row_security = off
check_function_bodies = off
track_activities = off
update_process_title = off
enable_indexscan = off
enable_indexonlyscan = off
enable_nestloop = off
cpu_tuple_cost = 0
max_parallel_workers_per_gather = 4
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
min_parallel_index_scan_size = 0
jit_above_cost = 0
plpgsql.extra_errors = 'all'
plpgsql.variable_conflict = 'use_variable'
log_statement = 'all'
log_min_messages = 'debug1'
wal_compression = on
END

my $featul = Featul->new(conf => $odd, attach => 0);
my $node = $featul->node;

# ... and for all sessions of the database and of a role
my @of_database = (
	'default_transaction_read_only = on',
	"default_transaction_isolation = 'repeatable read'",
	'statement_timeout = 1',
	'session_replication_role = replica',
	'synchronous_commit = off',
	'plan_cache_mode = force_custom_plan',
	'zero_damaged_pages = on',
	"search_path = 'pg_temp, public'");

# what has another name before 16, or is gone since 19
my %of_version = (
	force_parallel_mode => 'on',
	debug_parallel_query => 'on',
	escape_string_warning => 'on',
	standard_conforming_strings => 'off');
foreach my $name (sort keys %of_version)
{
	$node->psql('postgres', "ALTER SYSTEM SET $name = $of_version{$name}");
}
$node->reload;

$node->safe_psql('postgres', 'CREATE DATABASE app');
$featul->{dbname} = 'app';
{
	# featul's own tables and the acts below are no matter of search_path
	local $ENV{PGOPTIONS} = '-c search_path=public';
	$featul->set_up_database('app');
	$featul->connect($_) foreach qw(slack webhook);
	$node->safe_psql('postgres', "ALTER DATABASE app SET $_") foreach @of_database;
	$node->restart;
	local $ENV{PGOPTIONS} = '-c search_path=public -c default_transaction_read_only=off -c statement_timeout=0'
	  . ' -c session_replication_role=origin';

	my $id = $featul->post(title => 'Dark mode', created_at => '2026-03-01 09:30:00');
	my $comment = $featul->comment($id);
	$featul->sql("UPDATE post SET roadmap_status = 'planned' WHERE id = '$id'");
	my @told = $featul->wait_for_requests(3, host => 'hook.example.com');
	is(join(',', map { $_->{json}{event} } @told), 'post.created,comment.created,post.status_changed', 'events arrive');
	is($told[0]{json}{post}{createdAt}, '2026-03-01T09:30:00Z', 'times are in UTC');
	$featul->script({ 'hook.example.com/' => [ { status => 500, times => 1 }, {} ] });
	$featul->post(title => 'again');
	$featul->wait_for_requests(5, host => 'hook.example.com');
	$featul->wait_until_settled;
	is($featul->sql("SELECT string_agg(state || ' ' || attempts, ',' ORDER BY id) FROM featul_integrations.deliveries WHERE type = 'webhook'"),
		'delivered 1,delivered 1,delivered 1,delivered 2', 'and are recorded');

	is($featul->sql_as('olivia', "SELECT count(*) FROM integration_deliveries('acme')"), 8, 'the log');
	is($featul->sql_as('olivia', "SELECT string_agg(type || ' ' || status, ',' ORDER BY type) FROM integration_list('acme')"),
		'slack active,webhook active', 'what is connected');
	is($featul->sql_as('olivia', "SELECT message FROM integration_test('acme', 'webhook')"),
		'Test notification sent successfully', 'a test');
	is($featul->sql_as('olivia', "SELECT integration_preview('acme', 'webhook', 'post.created')::json ->> 'event'"),
		'post.created', 'a preview');
	is($featul->sql('SELECT count(*) FROM featul_integrations.report()'), 3, 'the report');
	is($featul->sql("SELECT string_agg(\"check\", ',') FROM featul_integrations.diagnose('acme') WHERE NOT ok"), '',
		'nothing to be told of');
	is($featul->sql("SELECT count(*) FROM featul_integrations.$_") > 0, 1, "view $_")
	  foreach qw(stat_integrations stat_latency stat_worker stat_capture bindings);
	is($featul->sql('SELECT failed FROM featul_integrations.stat_capture'), 0, 'capture met nothing');
	unlike(slurp_file($node->logfile), qr/(?:WARNING|FATAL|PANIC):  (?!terminating)/, 'nothing to warn of');

	$featul->sql('DROP EXTENSION featul_integrations');
	$featul->post(title => 'without');
}

$node->stop;
done_testing();
