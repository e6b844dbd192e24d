# Pacing, messages that stand for many, and what happens when an endpoint fails for long.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => [qw(slack discord)], conf => "featul_integrations.retry_delay = '20ms'");
my $node = $featul->node;
my @requests;

sub states
{
	my ($type) = @_;

	return $featul->sql(<<END);
SELECT coalesce(string_agg(state || ' ' || n, ', ' ORDER BY state), '')
FROM (SELECT state, count(*) AS n FROM featul_integrations.deliveries WHERE type = '$type' GROUP BY 1) s
END
}

# A burst of votes, to services that enforce a rate; another tenant does not notice
$featul->post(id => 'popular', title => 'Popular', roadmap_status => 'pending');
$featul->wait_until_settled;
$featul->forget;
$featul->script(
	{
		'hooks.slack.com/' => [ { limit => { count => 1, seconds => 1 } } ],
		'discord.com/' => [ { limit => { count => 5, seconds => 2, discord => JSON::PP::true } } ],
	});
$featul->workspace('other', webhook => 'https://other.example.com/');
$featul->sql("INSERT INTO vote (id, post_id, fingerprint, type) VALUES (gen_random_uuid(), 'popular', 'voter $_', 'upvote')") foreach 1 .. 20;
$featul->sql("INSERT INTO vote (id, post_id, fingerprint, type) SELECT gen_random_uuid(), 'popular', 'voter ' || g, 'upvote' FROM generate_series(21, 500) g");
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'other-ideas', 'post ' || g, 'x', gen_random_uuid() FROM generate_series(1, 200) g");
$featul->wait_for_requests(200, host => 'other.example.com');
pass('other integrations go on meanwhile'); # how fast: test/simulation
$featul->wait_until_settled;
is(states('slack'), 'delivered 501', 'a burst reaches Slack without a delivery lost');
is(states('discord'), 'delivered 501', 'and Discord');
foreach my $host ('hooks.slack.com', 'discord.com')
{
	@requests = $featul->requests(host => $host);
	cmp_ok(scalar(grep { $_->{status} == 429 } @requests), '<=', 5, "$host: hardly any 429");
	my @merged = grep { $_->{body} =~ /\d+ new upvotes/ } grep { $_->{status} < 300 } @requests;
	cmp_ok(scalar(@merged), '>=', 1, "$host: many votes became one message");
	my $told = grep { $_->{status} < 300 && $_->{body} !~ /\d+ new upvotes/ } @requests;
	$told += ($_->{body} =~ /(\d+) new upvotes/)[0] foreach @merged;
	is($told, 500, "$host: that says how many");
}

# Other events in between keep their place
$featul->forget;
$featul->script({});
$featul->set('delivery', 'off');
$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
$featul->sql("INSERT INTO vote (id, post_id, fingerprint, type) SELECT gen_random_uuid(), 'popular', 'more ' || g, 'upvote' FROM generate_series(1, 12) g");
$featul->sql("INSERT INTO comment (id, post_id, content, author_id) VALUES (gen_random_uuid(), 'popular', 'in between', 'mina')");
$featul->sql("INSERT INTO vote (id, post_id, fingerprint, type) SELECT gen_random_uuid(), 'popular', 'few ' || g, 'upvote' FROM generate_series(1, 9) g");
$featul->set('delivery', 'on');
$featul->wait_until_settled;
@requests = $featul->requests(host => 'discord.com');
is(scalar(@requests), 11, 'twelve votes are one message, nine are nine');
like($requests[0]{body}, qr/12 new upvotes/, 'the twelve first');
like($requests[1]{body}, qr/in between/, 'then what came next');

# A message that stands for many: what comes of it comes of all of them
sub burst
{
	my ($steps, $last) = @_;
	my $from = $featul->sql('SELECT coalesce(max(id), 0) FROM featul_integrations.deliveries');

	$featul->forget;
	$featul->script({ 'discord.com/' => $steps });
	$featul->set('delivery', 'off');
	$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
	$featul->sql("INSERT INTO vote (id, post_id, fingerprint, type) SELECT gen_random_uuid(), 'popular', gen_random_uuid(), 'upvote' FROM generate_series(1, 12)");
	$featul->set('delivery', 'on');
	$last->() if $last;
	$featul->wait_until_settled;
	return $featul->sql(<<END);
SELECT DISTINCT count(*) OVER (), state, attempts, http_status FROM featul_integrations.deliveries
WHERE type = 'discord' AND id > $from
END
}

is(burst([ { status => 500, times => 1 }, {} ]), '12|delivered|2|204', 'one that fails is tried again as one');
is(burst([ { status => 429, headers => { 'Retry-After' => '0.2' }, times => 1 }, {} ]),
	'12|delivered|1|204', 'one that is held uses up no attempt');
is(burst([ { status => 400, body => '{"code": 50035}', times => 1 }, {} ]), '12|delivered|1|204', 'malformed: each is sent by itself');
is(scalar($featul->requests(host => 'discord.com')), 13, 'which one of them may be at fault for');
is(burst([ { status => 500, times => 3 }, {} ]), '12|failed|3|500', 'three failures: all have failed');
is(scalar($featul->requests(host => 'discord.com')), 3, 'after three requests');
is( burst(
		[ { until => 'never' } ],
		sub {
			$featul->wait_for_sql("SELECT in_flight = 1 FROM featul_integrations.stat_worker");
			$featul->sql_as('olivia', "SELECT * FROM integration_disconnect('acme', 'discord')");
		}),
	'12|cancelled|0|', 'disconnected while it is under way: all are cancelled');
$featul->connect('discord');
is(burst([ { status => 404, body => '{"code": 10015}', times => 1 }, {} ]), '12|failed|1|404', 'gone: all have failed');
is($featul->sql_as('olivia', "SELECT status FROM integration_list('acme') WHERE type = 'discord'"),
	'inactive', 'and the integration is inactive');

# What changed, in words
$featul->connect('discord');
$featul->script({});
$featul->forget;
$featul->sql(<<'END');
UPDATE post SET roadmap_status = NULL WHERE id = 'popular';
UPDATE post SET roadmap_status = 'planned' WHERE id = 'popular';
UPDATE post SET roadmap_status = 'odd' WHERE id = 'popular';
INSERT INTO comment (id, post_id, content, author_id) VALUES ('told', 'popular', 'x', 'mina');
INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES (gen_random_uuid(), 'told', 'vera', 'upvote'), (gen_random_uuid(), 'told', 'sam', 'downvote'), (gen_random_uuid(), 'told', 'adam', 'heart');
END
$featul->wait_until_settled;
my @authors = map { $_->{json}{embeds}[0]{author}{name} } $featul->requests(host => 'discord.com');
is_deeply(
	\@authors,
	[
		'Status set: Pending',    # none is shown as the board's first
		"Status changed: Pending \x{2192} Planned",
		"Status changed: Planned \x{2192} odd",
		'Mina commented',
		'Vera upvoted a comment',
		'Sam downvoted a comment',
		'Adam reacted to a comment'
	],
	'each change has its words');

# An endpoint that is down: after ten failures in a row only probes go out, and
# nothing more is given up
$featul->sql_as('olivia', "SELECT integration_disconnect('acme', t) FROM unnest('{slack,discord}'::text[]) t");
$featul->connect('webhook');
$featul->forget;
$featul->script({ 'hook.example.com/' => [ { status => 500 } ] });
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'ideas', 'down ' || g, 'x', gen_random_uuid() FROM generate_series(1, 40) g");
$featul->wait_for_sql("SELECT failures >= 14 FROM featul_integrations.health JOIN featul_integrations.integration i ON i.id = integration_id WHERE i.workspace_id = 'acme'");
my $failed = $featul->sql("SELECT count(*) FROM featul_integrations.deliveries WHERE type = 'webhook' AND workspace_id = 'acme' AND state = 'failed'");
cmp_ok($failed, '<', 10, 'an endpoint that is down does not use up everything that waits for it');
@requests = $featul->requests(host => 'hook.example.com');
# the last of four is eight times the first
cmp_ok($requests[-1]{time} - $requests[-2]{time}, '>', $requests[-4]{time} - $requests[-5]{time},
	'the probes have growing pauses');
$featul->script({});
$featul->wait_until_settled;
is($featul->sql("SELECT count(*) FROM featul_integrations.deliveries WHERE type = 'webhook' AND workspace_id = 'acme' AND state = 'delivered'"),
	40 - $failed, 'the first success lets everything go on');

# Connecting again, or a successful test, ends the waiting at once
foreach my $call ("integration_connect('acme', 'webhook', '$Featul::url{webhook}')", "integration_test('acme', 'webhook')")
{
	$featul->set('retry_delay', '20ms');
	$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
	$featul->script({ 'hook.example.com/' => [ { status => 500 } ] });
	$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'ideas', 'down ' || g, 'x', gen_random_uuid() FROM generate_series(1, 40) g");
	$featul->wait_for_sql("SELECT failures >= 10 FROM featul_integrations.health JOIN featul_integrations.integration i ON i.id = integration_id WHERE i.workspace_id = 'acme'");
	$featul->set('retry_delay', '10min');
	$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
	$featul->wait_for_sql("SELECT max(next_attempt_at) > now() + interval '1 minute' FROM featul_integrations.queue");
	$featul->script({});
	$featul->sql_as('olivia', "SELECT * FROM $call");
	$featul->wait_until_settled;
	pass("$call lets everything go on");
}

# Failing for five days
$featul->set('retry_delay', '20ms');
$featul->script({ 'hook.example.com/' => [ { status => 500 } ] });
$featul->post(title => 'the last straw');
$featul->wait_until_settled;
$node->stop;
$node->start;
$featul->sql("UPDATE featul_integrations.health SET failing_since = now() - interval '5 days 1 minute', failing_days = 1 WHERE failures > 0");
$featul->sql("SELECT pg_terminate_backend(pid) FROM featul_integrations.stat_worker");
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'ideas', 'too much ' || g, 'x', gen_random_uuid() FROM generate_series(1, 5) g");
$featul->wait_until_settled;
is($featul->sql_as('olivia', "SELECT status, status_reason FROM integration_list('acme')"),
	'inactive|every delivery has failed for five days', 'failing for five days makes an integration inactive');
like($featul->sql("SELECT string_agg(DISTINCT state, ',') FROM featul_integrations.deliveries WHERE payload #>> '{post,title}' LIKE 'too much%'"),
	qr/cancelled/, 'what waited for it is cancelled');
$featul->script({});
$featul->sql_as('olivia', "SELECT * FROM integration_test('acme', 'webhook')");
is($featul->sql_as('olivia', "SELECT status FROM integration_list('acme')"), 'active', 'a successful test ends that too');
$featul->post(title => 'after all');
$featul->wait_until_settled;
is(scalar(grep { ($_->{json}{post}{title} // '') eq 'after all' } $featul->requests(status => 200)), 1, 'and it delivers');
$node->stop;

done_testing();
