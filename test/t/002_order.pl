# Deliveries of one integration about one post go out one at a time and in order,
# whatever fails in between; no endpoint holds up another.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $featul = Featul->new(
	connect => ['webhook'],
	conf => "featul_integrations.retry_delay = '5ms'\n"
	  . "featul_integrations.max_attempts = 100\n"
	  . "featul_integrations.max_in_flight_per_integration = 64\n"
	  . 'restart_after_crash = on');
my $node = $featul->node;

# Of these requests those that succeeded: for each post the comments' numbers as they
# arrived, without repetitions.
sub arrived
{
	my (@requests) = @_;
	my %arrived;
	my %seen;

	foreach my $request (grep { $_->{status} == 200 } @requests)
	{
		next if $seen{ $request->{headers}{'webhook-id'} }++;
		push @{ $arrived{ $request->{json}{post}{id} } }, $request->{json}{comment}{content};
	}
	return \%arrived;
}

sub disordered
{
	my ($arrived) = @_;

	return grep {
		my @numbers = @{ $arrived->{$_} };
		join(',', @numbers) ne join(',', sort { $a <=> $b } @numbers)
	} sort keys %$arrived;
}

sub total
{
	my ($arrived) = @_;
	my $total = 0;

	$total += @$_ foreach values %$arrived;
	return $total;
}

# 20,000 deliveries about 250 posts; every tenth request fails
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) "
	  . "SELECT 'post' || g, 'ideas', 'post ' || g, 'x', 'post' || g FROM generate_series(1, 250) g");
$featul->wait_until_settled;
$featul->forget;
$featul->script({ 'hook.example.com/' => [ { status => 500, chance => 0.1 } ] });
foreach my $batch (0 .. 7)
{
	$featul->sql("INSERT INTO comment (id, post_id, content, author_id) "
		  . "SELECT gen_random_uuid(), 'post' || p, g, 'mina' FROM generate_series($batch * 10 + 1, $batch * 10 + 10) g, "
		  . 'generate_series(1, 250) p ORDER BY g, p');
}
$featul->wait_until_settled;
my @requests = $featul->requests(event => 'comment.created');
my $arrived = arrived(@requests);
is(total($arrived), 20_000, '20,000 deliveries with random failures: each arrived');
is(join(' ', disordered($arrived)), '', 'in the order of its post');
cmp_ok(scalar(@requests), '>', 21_000, 'though many failed at first');
is(scalar(grep { $_->{status} == 200 } @requests), 20_000, 'none was sent again after it had succeeded');
is($featul->sql("SELECT count(*) FROM featul_integrations.attempt WHERE state = 'pending'"),
	scalar(grep { $_->{status} == 500 } @requests), 'every failed attempt is in the log');

# One at a time per post: no two requests of a post overlap
my %last;
my $overlaps = grep { ($last{ $_->{json}{post}{id} } // 0) > $_->{time} } @requests;
is($overlaps, 0, 'one at a time');

# A full window of rows that must wait does not hold up what comes behind them
$featul->set('retry_delay', '1h');
$featul->wait_for_sql("SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker");
$featul->forget;
$featul->script({ 'hook.example.com/' => [ { status => 500 } ] });
$featul->sql("INSERT INTO comment (id, post_id, content) VALUES (gen_random_uuid(), 'post1', '0')");
$featul->wait_for_requests(1);
$featul->wait_for_sql('SELECT attempts = 1 FROM featul_integrations.queue');
$featul->script({});
$featul->sql("INSERT INTO comment (id, post_id, content) SELECT gen_random_uuid(), 'post1', g FROM generate_series(1, 5000) g");
$featul->sql("INSERT INTO comment (id, post_id, content) SELECT gen_random_uuid(), 'post' || g, '1' FROM generate_series(2, 101) g");
$featul->wait_for_sql('SELECT count(*) = 5001 FROM featul_integrations.queue');
is(scalar(grep { $_->{json}{post}{id} eq 'post1' } $featul->requests(status => 200)), 0,
	'a retry holds back the later ones of its post');
is(scalar($featul->requests(status => 200)), 100, 'and only those, however many they are');
$featul->set('retry_delay', '5ms');
$featul->sql("UPDATE featul_integrations.queue SET next_attempt_at = NULL");
$featul->sql("SELECT pg_terminate_backend(pid) FROM featul_integrations.stat_worker");
$featul->wait_until_settled;
$arrived = arrived($featul->requests(event => 'comment.created'));
is(scalar(@{ $arrived->{post1} }), 5001, 'all of them go out in the end');
is(join(' ', disordered($arrived)), '', 'in order');

# Kills in between: every delivery arrives, and in order
$featul->forget;
$featul->script({ 'hook.example.com/' => [ { status => 500, chance => 0.1 } ] });
my $number = 0;
# in a coverage build a worker that is killed has done nothing
$featul->sql('SELECT pg_terminate_backend(pid, 10000) FROM featul_integrations.stat_worker');
foreach my $round (1 .. 5)
{
	foreach (1 .. 4)
	{
		$number++;
		$featul->sql("INSERT INTO comment (id, post_id, content) "
			  . "SELECT gen_random_uuid(), 'post' || g, '$number' FROM generate_series(1, 250) g");
	}
	$featul->wait_for_sql('SELECT count(*) = 1 FROM featul_integrations.stat_worker');
	my $log_start = -s $node->logfile;
	kill 'KILL', $featul->sql('SELECT pid FROM featul_integrations.stat_worker');
	$node->wait_for_log(qr/database system is ready to accept connections/, $log_start);
}
$featul->wait_until_settled;
$arrived = arrived($featul->requests(event => 'comment.created'));
is(total($arrived), 5000, 'workers killed under load lose nothing');
is(join(' ', disordered($arrived)), '', 'and keep the order');

# Endpoints that never answer, more than there are slots for
$featul->set('request_timeout', '2s');
$featul->set('max_attempts', '3');
$featul->set('max_in_flight', '40');
$featul->set('max_in_flight_per_integration', '4');
$featul->workspace("dead$_", webhook => "https://dead$_.example.com/") foreach 1 .. 20;
$featul->script({ map { ("dead$_.example.com/" => [ { until => 'never' } ]) } 1 .. 20 });
$featul->forget;
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) "
	  . "SELECT gen_random_uuid(), format('dead%s-ideas', d), 'post ' || g, 'x', gen_random_uuid() FROM generate_series(1, 20) d, generate_series(1, 50) g");
$featul->wait_for_sql('SELECT in_flight > 0 FROM featul_integrations.stat_worker');
my $most = 0;
foreach my $n (1 .. 30)
{
	$featul->post(title => "alive $n");
	$featul->wait_for_requests($n, host => 'hook.example.com');
	my $in_flight = $featul->sql('SELECT in_flight FROM featul_integrations.stat_worker');
	$most = $in_flight if $in_flight > $most;
}
pass('twenty dead endpoints stop nobody else'); # for how long: test/simulation
cmp_ok($most, '<=', 16, 'and hold no more than three eighths of what can be in flight');

$featul->set('request_timeout', '10s');

# A great many new rows are noted, not read one by one; and cancelled bit by bit
$featul->set('delivery', 'off');
$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
$featul->workspace('flood', webhook => 'https://flood.example.com/');
$featul->script({ 'flood.example.com/' => [ { until => 'never' } ] });
$featul->forget;
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'flood-ideas', g, 'x', gen_random_uuid() FROM generate_series(1, 33000) g");
$featul->post(title => 'beside the flood');
$featul->set('delivery', 'on');
$featul->wait_for_requests(1, host => 'hook.example.com');
$featul->sql_as('olivia', "SELECT integration_disconnect('flood', 'webhook')");
$featul->wait_until_settled;
is($featul->sql("SELECT state, count(*) FROM featul_integrations.attempt WHERE workspace_id = 'flood' GROUP BY 1"),
	'cancelled|33000', 'a flood delays nobody, and ends with its integration');

# Several workers share the integrations
$featul->sql_as('olivia', "SELECT integration_disconnect('dead' || g, 'webhook') FROM generate_series(1, 20) g");
$featul->wait_until_settled;
$featul->set('workers', '3');
$featul->script({});
$node->restart;
$featul->workspace("shared$_", webhook => "https://shared$_.example.com/") foreach 1 .. 12;
$featul->wait_for_sql('SELECT count(*) = 3 FROM featul_integrations.stat_worker');
$featul->forget;
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) "
	  . "SELECT gen_random_uuid(), format('shared%s-ideas', w), 'post ' || g, 'x', gen_random_uuid() FROM generate_series(1, 12) w, generate_series(1, 50) g");
$featul->wait_until_settled;
my %copies;
$copies{ $_->{headers}{'webhook-id'} }++ foreach $featul->requests;
is(scalar(keys %copies), 600, 'three workers: each delivery arrives');
is(scalar(grep { $_ != 1 } values %copies), 0, 'once');
$node->stop('fast');

done_testing();
