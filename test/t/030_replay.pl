
# The delivery log, redelivery and recovery, filters and secrets, with the worker at work.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => ['webhook'], conf => "featul_integrations.max_attempts = 2\n");
my $hook = 'hook.example.com';

sub log_of
{
	my ($columns, $arguments) = @_;
	return $featul->sql_as('olivia', "SELECT $columns FROM (SELECT * FROM integration_deliveries('acme'" . ($arguments // '') . ') ORDER BY id) d');
}

# Delivered: what the log says
my $post = $featul->post(title => 'One');
my ($first) = $featul->wait_for_requests(1, host => $hook);
$featul->wait_until_settled;
my $id = log_of('id');
is(log_of("event, type, state, attempts, http_status, error, response, payload -> 'post' ->> 'title', next_attempt_at"),
	'post.created|webhook|delivered|1|200||ok|One|', 'delivered');
is(log_of('duration_ms >= 0 AND created_at <= last_attempt_at'), 't', 'times');
is(log_of('count(*)', ", state => 'failed'"), 0, 'nothing failed');

# Redelivered: the same id and bytes, signed anew
like($featul->sql_as('olivia', "SELECT * FROM integration_redeliver('acme', $id)"), qr/^t\|/, 'redeliver');
my ($again) = ($featul->wait_for_requests(2, host => $hook))[1];
is($again->{headers}{'webhook-id'}, $first->{headers}{'webhook-id'}, 'the same webhook-id');
is($again->{body}, $first->{body}, 'the same bytes');
$featul->wait_until_settled;
is(log_of('id, state, attempts'), "$id|delivered|1", 'the same delivery, attempts counted anew');
is($featul->sql("SELECT count(*) FROM featul_integrations.attempt WHERE delivery_id = $id"), 2, 'both attempts are in the log');

# Failed for good, with the response of the last attempt; then sent again
$featul->script({ "$hook/" => [ { status => 500, body => "b\x{f6}se \x{1F600}" } ] });
$featul->post(title => 'Two');
$featul->wait_until_settled;
is(log_of('state, attempts, http_status, error, response', ", state => 'failed'"),
	"failed|2|500|HTTP 500|b\x{c3}\x{b6}se \x{f0}\x{9f}\x{98}\x{80}", 'failed');
my $failed = log_of('id', ", state => 'failed'");
$featul->script({});
$featul->forget;
$featul->sql_as('olivia', "SELECT integration_redeliver('acme', $failed)");
$featul->wait_for_requests(1, host => $hook);
$featul->wait_until_settled;
is(log_of('state, attempts, http_status', ", max_rows => 1"), 'delivered|1|200', 'sent again');
is(log_of('count(*)', ", state => 'failed'"), 0, 'and failed no more');

# An endpoint that was down: recover sends what failed, in the order per post, and only that
my $since = $featul->sql('SELECT now()');
$featul->script({ "$hook/" => [ { status => 503 } ] });
$featul->post(id => $_, title => $_) foreach qw(p1 p2);
$featul->sql("UPDATE post SET roadmap_status = 'planned' WHERE id IN ('p1', 'p2')");
$featul->wait_until_settled;
is(log_of('count(*)', ", state => 'failed'"), 4, 'all failed (too few for the breaker)');
$featul->script({});
$featul->forget;
is($featul->sql_as('adam', "SELECT * FROM integration_recover('acme', 'webhook', '$since')"), 't|4 deliveries queued', 'recover');
$featul->wait_until_settled;
my %seen;
push @{ $seen{ $_->{json}{post}{id} } }, $_->{json}{changes} ? $_->{json}{changes}{status}{to} : 'created'
  foreach $featul->requests(host => $hook);
is_deeply(\%seen, { map { $_ => [qw(created planned)] } qw(p1 p2) }, 'each once, in order per post');
is($featul->sql_as('adam', "SELECT * FROM integration_recover('acme', 'webhook', '$since')"), 't|0 deliveries queued', 'nothing left');

# Disconnected while something waits: cancelled; connected anew: recovered to the new URL
$featul->script({ "$hook/" => [ { status => 503, headers => { 'Retry-After' => 3000 } } ] });
$featul->post(title => 'Waits');
$featul->wait_for_requests(1, where => sub { ($_[0]{json}{post}{title} // '') eq 'Waits' });
$featul->sql_as('olivia', "SELECT integration_disconnect('acme', 'webhook')");
$featul->wait_until_settled;
is(log_of('state, attempts', ", max_rows => 1"), 'cancelled|0', 'disconnected: cancelled, and the hold used up no attempt');
$featul->connect('webhook', url => 'https://new.example.com/hook');
$featul->forget;
is($featul->sql_as('olivia', "SELECT message FROM integration_recover('acme', 'webhook', '$since')"), '1 delivery queued', 'recovered after connecting again');
my ($recovered) = $featul->wait_for_requests(1, host => 'new.example.com');
is($recovered->{json}{post}{title}, 'Waits', 'to the new URL');
$featul->wait_until_settled;

# Connected again while something waits: it goes to the new URL, with the same secret
my $secret = $featul->sql_as('olivia', "SELECT integration_secret('acme')");
$featul->script({ 'new.example.com/' => [ { status => 503, headers => { 'Retry-After' => 3000 } } ] });
$featul->post(title => 'Moves');
$featul->wait_for_requests(1, where => sub { ($_[0]{json}{post}{title} // '') eq 'Moves' });
$featul->wait_for_sql('SELECT hold_until IS NOT NULL FROM featul_integrations.health');
like($featul->connect('webhook', url => 'https://newer.example.com/hook'), qr/updated/, 'connected again');
my ($moved) = $featul->wait_for_requests(1, host => 'newer.example.com');
is($moved->{json}{post}{title}, 'Moves', 'what waits goes to the new URL');
is($featul->signature_problem($moved, $secret), '', 'signed with the same secret');
$featul->wait_until_settled;

# Rotation, as the worker signs
my $new_secret = $featul->sql_as('olivia', "SELECT integration_rotate_secret('acme')");
$featul->post(title => 'Rotated');
my ($rotated) = $featul->wait_for_requests(1, where => sub { ($_[0]{json}{post}{title} // '') eq 'Rotated' });
is($featul->signature_problem($rotated, $_), '', 'rotated: signed by both') foreach $secret, $new_secret;

# Filters: events, boards and rule, each of which must hold
$featul->sql("INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('bugs', 'acme', 'Bugs', 'bugs', 'olivia')");
$featul->connect('webhook', url => 'https://filtered.example.com/hook',
	more => ", events => '{post.created,post.pinned}', boards => '{bugs}', rule => '\$.post.title starts with \"yes\"'");
$featul->post(title => 'yes, but elsewhere');
$featul->post(title => 'no', board_id => 'bugs');
$featul->post(title => 'yes', board_id => 'bugs', id => 'filtered');
$featul->sql("UPDATE post SET roadmap_status = 'planned' WHERE id = 'filtered'");
$featul->sql("UPDATE post SET is_pinned = true WHERE id = 'filtered'");
$featul->wait_for_requests(2, host => 'filtered.example.com');
$featul->wait_until_settled;
is_deeply(
	[ map { "$_->{json}{event} $_->{json}{post}{title}" } $featul->requests(host => 'filtered.example.com') ],
	[ 'post.created yes', 'post.pinned yes' ], 'events, boards and rule');

# Gone: inactive with its reason; a successful test brings it back, and what was cancelled
$featul->script({ 'filtered.example.com/' => [ { status => 410, times => 1 }, {} ] });
$featul->sql("UPDATE post SET title = 'yes, gone', is_pinned = false WHERE id = 'filtered'");
$featul->sql("UPDATE post SET is_pinned = true WHERE id = 'filtered'");
$featul->wait_for_sql('SELECT NOT is_active FROM featul_integrations.integration');
$featul->wait_until_settled;
is($featul->sql_as('olivia', "SELECT is_active, status, status_reason FROM integration_list('acme')"),
	'f|inactive|The endpoint says that it is gone for good (HTTP 410).', '410: inactive');
is(log_of('state, attempts, http_status', ', max_rows => 1'), 'failed|1|410', '... and failed at once');
$featul->sql_as('olivia', "SELECT integration_test('acme', 'webhook')");
is($featul->sql_as('olivia', "SELECT is_active, status FROM integration_list('acme')"), 't|active', 'a successful test makes it active');
$featul->sql("UPDATE post SET is_pinned = false WHERE id = 'filtered'");
$featul->sql("UPDATE post SET is_pinned = true WHERE id = 'filtered'");
$featul->wait_until_settled;
is(log_of('state', ', max_rows => 1'), 'delivered', '... so that it is delivered to');

# The plan ends: what is queued goes out, nothing is sent again
$featul->sql("UPDATE workspace SET plan = 'free'");
my ($status, undef, $error) = $featul->node->psql('postgres', "SET featul_integrations.user_id = 'olivia'; SELECT integration_redeliver('acme', $id)");
like($error, qr/Integrations are available on Starter or Professional plans/, 'redeliver: the plan');

$featul->node->stop('fast');
done_testing();
