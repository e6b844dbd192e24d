# What fails half-way leaves nothing half done: the worker starts over from the tables.
# What cannot be recorded stops what is sent.  What changes is read, and no more.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => ['webhook']);
my $node = $featul->node;

# So many posts in one statement, from this number on
sub posts
{
	my ($from, $count) = @_;

	return $featul->sql(<<"END");
INSERT INTO post (id, board_id, title, content, slug)
	SELECT 'p' || n, 'ideas', 'title ' || n, 'c', 'p' || n FROM generate_series($from, $from + $count - 1) n
END
}

sub told
{
	return sort map { $_->{json}{post}{id} } $featul->requests(event => 'post.created');
}

SKIP:
{
	my $faults = $featul->sql(q(SELECT coalesce(current_setting('featul_integrations.fault', true), 'none')));
	skip 'faults can be asked for where assertions are on (test/run --assert)', 4 if $faults eq 'none';

	my $n = 1000;
	foreach my $place ('taking a new delivery', 'taking a result')
	{
		$featul->forget;
		$featul->set('fault', "$place:6");
		$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
		posts($n, 20);
		$featul->wait_until_settled;
		my %told = map { $_ => 1 } told();
		is(scalar(keys %told), 20, "all is delivered after an error while $place");
		like($featul->sql('SELECT last_error FROM featul_integrations.stat_worker'), qr/fault while $place/, 'which there was');
		$n += 20;
	}
	$featul->set('fault', '');
}

# The log is locked, or health, which is recorded before it: what is in flight comes back, and
# nothing more goes out.
my $failed = q(SELECT coalesce(max(last_error_at), '-infinity') FROM featul_integrations.stat_worker);
my $number = 2000;
foreach my $table (qw(attempt health))
{
	$featul->forget;
	my $locker = $node->background_psql('postgres', on_error_stop => 1);
	my $last = $featul->sql($failed);
	my @sent;

	# a failure is a change of status, which is recorded at once
	$featul->script({ 'hook.example.com/' => [ { status => 500, body => $table, times => 1 }, {} ] });
	$locker->query_safe("BEGIN; LOCK TABLE featul_integrations.$table IN EXCLUSIVE MODE");
	posts($number, 500);
	foreach (1 .. 4)
	{
		$featul->wait_for_sql(qq(SELECT max(last_error_at) > '$last' FROM featul_integrations.stat_worker));
		$last = $featul->sql($failed);
		push @sent, scalar($featul->requests);
	}
	# those in flight when it was noticed may be on record a little later
	cmp_ok($sent[3] - $sent[0], '<=', 8, "$table is locked: nothing new is sent");
	cmp_ok($sent[0], '<', 500, 'which is noticed before all is sent');
	$locker->query_safe('COMMIT');
	$locker->quit;
	$featul->wait_until_settled;
	my @told = told();
	is(scalar(@told), 501, 'each is sent once in the end, and one of them again');
	$featul->script({});
	$number += 500;
}

# A change of one integration is the reading of one.
$featul->sql(<<'SQL');
INSERT INTO workspace (id, name, slug, domain, plan, owner_id)
	SELECT 'w' || n, 'w', 'w' || n, 'w' || n || '.example.com', 'starter', 'olivia' FROM generate_series(1, 500) n;
SET featul_integrations.user_id = 'olivia';
DO $$
BEGIN
	FOR n IN 1..500 LOOP
		PERFORM integration_connect('w' || n, 'webhook', 'https://hook.example.com/' || n);
	END LOOP;
END
$$;
SQL
my $read = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables"
  . " WHERE schemaname = 'featul_integrations' AND relname = 'health'";
sub idle
{
	$featul->wait_until_settled;
	$featul->post(title => 'a turn', slug => 'turn-' . int(rand(1e9)));
	$featul->wait_until_settled;
	$featul->wait_for_sql(q(SELECT state = 'idle' FROM featul_integrations.stat_worker));
	return;
}
idle();
my $before = $featul->sql($read);
$featul->sql_as('olivia', "SELECT integration_rotate_secret('w7')") foreach 1 .. 20;
idle();
cmp_ok($featul->sql($read) - $before, '<', 2500, 'twenty changes are not twenty readings of all 501');

# Connected and disconnected again before anybody looks: nothing is left of it.
$featul->sql_as('olivia', <<'END');
SELECT integration_disconnect('w8', 'webhook');
SELECT integration_connect('w8', 'webhook', 'https://hook.example.com/again');
SELECT integration_disconnect('w8', 'webhook');
END
$featul->wait_for_sql(<<'END');
SELECT NOT EXISTS (SELECT FROM featul_integrations.health h WHERE NOT EXISTS
	(SELECT FROM featul_integrations.integration i WHERE i.id = h.integration_id))
END
pass('health goes with its integration');

done_testing();
