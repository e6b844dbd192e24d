
# What each answer of an endpoint makes of a delivery and of its integration: a table,
# one workspace a row, all at once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => [], conf => "featul_integrations.max_attempts = 2\n");
my (@cases, %script);

# The answer that is given first (for good, unless "then" kindly), and what becomes of it:
# state, counted attempts, is_active; and pause: seconds at least before the
# second request
sub answer
{
	my ($name, $type, $answer, $expected, %more) = @_;
	my $n = @cases;
	my $url =
		$type eq 'slack' ? "https://hooks.slack.com/services/T/B/case$n/x"
	  : $type eq 'discord' ? "https://discord.com/api/webhooks/1$n/x"
	  : "https://case$n.example.com/";
	(my $prefix = $url) =~ s{^https://}{};
	$script{$prefix} = $more{then} ? [ { times => 1, %$answer }, {} ] : [$answer];
	push @cases, { name => "$type: $name", url => $url, type => $type, workspace => "case$n", expected => $expected, %more };
	return;
}

my ($delivered, $again, $retried, $rejected, $gone) =
  ('delivered|1|t', 'delivered|2|t', 'failed|2|t', 'failed|1|t', 'failed|1|f');

# Statuses
answer('200', 'webhook', { status => 200 }, $delivered);
answer('204', 'webhook', { status => 204 }, $delivered);
answer('299', 'webhook', { status => 299 }, $delivered);
answer('302', 'webhook', { status => 302, headers => { Location => 'https://example.com/' } }, $retried);
answer($_, 'webhook', { status => $_ }, $retried) foreach 400, 401, 403, 404, 408, 500, 502, 503;
answer('500, then kind', 'webhook', { status => 500 }, $again, then => 1, pause => 0.05);
answer('410', $_, { status => 410 }, $gone) foreach qw(webhook slack discord);

# Slack's codes: bare texts, compared exactly, on any 4xx
answer($_, 'slack', { status => 404, body => $_ }, $gone)
  foreach qw(no_service no_active_hooks no_team invalid_token team_disabled channel_is_archived channel_not_found
	user_not_found action_prohibited posting_to_general_channel_denied);
answer($_, 'slack', { status => 400, body => $_ }, $rejected)
  foreach qw(invalid_payload invalid_blocks invalid_attachments missing_text_or_fallback_or_attachments no_text
	too_many_attachments);
answer('no_service with 400', 'slack', { status => 400, body => 'no_service' }, $gone);
answer('no_service with 500', 'slack', { status => 500, body => 'no_service' }, $retried);
answer('no_service with 200', 'slack', { status => 200, body => 'no_service' }, $delivered);
answer("like a code: $_", 'slack', { status => 404, body => $_ }, $retried)
  foreach 'no_service_here', 'error: no_service', 'NO_SERVICE', '"no_service"', '{"error":"no_service"}', '';
answer("Discord's code", 'slack', { status => 404, body => '{"code": 10015}' }, $retried);

# Discord's codes: JSON, compared exactly, on any 4xx
answer($_, 'discord', { status => 404, body => qq({"message": "Unknown", "code": $_}) }, $gone)
  foreach qw(10015 10003 50027 50013 220001);
answer($_, 'discord', { status => 400, body => qq({"code":$_,"errors":{"embeds":[{"code":1}]}}) }, $rejected)
  foreach qw(50035 50006 40005 240000);
answer('10015 with 500', 'discord', { status => 500, body => '{"code": 10015}' }, $retried);
answer("like a code: $_", 'discord', { status => 404, body => $_ }, $retried)
  foreach '{"code": "10015"}', '{"code": 100150}', '{"code": 10015.5}', '{"error": {"code": 10015}}',
  '[{"code": 10015}]', '{"message": "\"code\": 10015}"', '{"code"', '{"code":', '10015', 'no_service',
  '[' x 60000, '{"code":' x 7000, "\0", '{"a": 1,, "code": ]10015';

# Holds: how long was said; no attempt is used up
answer('Retry-After in seconds', 'webhook', { status => 429, headers => { 'Retry-After' => 1 } }, $delivered,
	then => 1, pause => 1);
answer('a fraction', 'webhook', { status => 429, headers => { 'Retry-After' => '0.5' } }, $delivered,
	then => 1, pause => 0.5);
answer('an HTTP date', 'webhook', { status => 429, retry_after_date => 2 }, $delivered, then => 1, pause => 0.9);
answer('503 with Retry-After', 'webhook', { status => 503, headers => { 'Retry-After' => 1 } }, $delivered,
	then => 1, pause => 1);
answer("Retry-After: $_", 'webhook', { status => 429, headers => { 'Retry-After' => $_ } }, $delivered,
	then => 1, pause => 0.05)
  foreach '', 'soon', '-5', '0', '1e9', 'nan', 'inf', '0x10', '1 2', 'Wed, 21 Oct 2015 07:28:00 GMT';
answer('retry_after in the body', 'discord', { status => 429, body => '{"message": "x", "retry_after": 0.75, "global": false}' },
	$delivered, then => 1, pause => 0.75);
answer('rather than in the header', 'discord',
	{ status => 429, headers => { 'Retry-After' => 3000 }, body => '{"retry_after": 0.75}' },
	$delivered, then => 1, pause => 0.75);
answer('only in a header', 'discord', { status => 429, headers => { 'Retry-After' => 1 }, body => '{"retry_after": "x"}' },
	$delivered, then => 1, pause => 1);
answer("Discord's body", 'webhook', { status => 429, body => '{"retry_after": 3000}' }, $delivered,
	then => 1, pause => 0.05);
answer('429', 'slack', { status => 429, headers => { 'Retry-After' => 1 } }, $delivered, then => 1, pause => 1);

$featul->script(\%script);
$featul->workspace($_->{workspace}, $_->{type} => $_->{url}) foreach @cases;
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT w.id || '-post', w.id || '-ideas', 'T', 'C', w.id || '-post' FROM workspace w WHERE w.id LIKE 'case%'");
$featul->wait_until_settled;
$featul->wait_for_sql("SELECT count(*) FROM featul_integrations.integration WHERE NOT is_active",
	scalar grep { $_->{expected} =~ /f$/ } @cases);

my %became = map { my ($workspace, $rest) = split /\|/, $_, 2; ($workspace => $rest) } split /\n/,
  $featul->sql("SELECT d.workspace_id, d.state, d.attempts, i.is_active FROM featul_integrations.deliveries d JOIN featul_integrations.integration i USING (workspace_id)");
foreach my $case (@cases)
{
	is($became{ $case->{workspace} }, $case->{expected}, $case->{name});
	next unless $case->{pause};
	(my $host_and_path = $case->{url}) =~ s{^https://}{};
	my @times = map { $_->{time} } grep { "$_->{host}$_->{path}" eq $host_and_path } $featul->requests;
	is(scalar(@times), 2, "$case->{name}: two requests");
	cmp_ok($times[1] - $times[0], '>=', $case->{pause}, "$case->{name}: pause");
}

# What a workspace's admin reads
my $status = "SELECT status, status_reason FROM integration_list('%s')";
my ($archived) = grep { $_->{name} eq 'slack: channel_is_archived' } @cases;
is($featul->sql_as('olivia', sprintf($status, $archived->{workspace})),
	'inactive|Slack says that the channel was archived (channel_is_archived).', 'the reason in words');

# At most an hour, whatever an endpoint says
$featul->script({ 'long.example.com/' => [ { status => 429, headers => { 'Retry-After' => 86400 * 365 } } ] });
$featul->workspace('long', webhook => 'https://long.example.com/');
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) VALUES (gen_random_uuid(), 'long-ideas', 'T', 'C', gen_random_uuid())");
$featul->wait_for_sql("SELECT h.hold_until BETWEEN now() + '59 min' AND now() + '60 min 1 s' FROM featul_integrations.health h JOIN featul_integrations.integration i ON i.id = h.integration_id WHERE i.workspace_id = 'long'");
pass('a hold lasts an hour at most');

# What is refused for the message's sake opens no breaker: all have their attempts at once
$featul->script({ 'large.example.com/' => [ { status => 413 } ] });
$featul->workspace('large', webhook => 'https://large.example.com/');
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'large-ideas', g, 'C', gen_random_uuid() FROM generate_series(1, 10) g");
$featul->wait_for_sql(
	"SELECT count(*) FROM featul_integrations.deliveries WHERE workspace_id = 'large' AND state = 'failed' AND attempts = 2", 10);
pass('ten messages that are too large stop nothing');

# Discord's limit for all of this server: nothing goes out to any of its webhooks
$featul->script({ 'discord.com/api/webhooks/777/' => [ { status => 429, body => '{"retry_after": 300, "global": true}' } ] });
$featul->workspace('global', discord => 'https://discord.com/api/webhooks/777/x');
$featul->workspace('other', discord => 'https://discord.com/api/webhooks/778/x');
$featul->workspace('beside', webhook => 'https://beside.example.com/');
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) VALUES (gen_random_uuid(), 'global-ideas', 'T', 'C', gen_random_uuid())");
$featul->wait_for_sql("SELECT h.hold_until IS NOT NULL FROM featul_integrations.health h JOIN featul_integrations.integration i ON i.id = h.integration_id WHERE i.workspace_id = 'global'");
$featul->forget;
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), w || '-ideas', 'T', 'C', gen_random_uuid() FROM unnest('{other,beside}'::text[]) w");
$featul->wait_for_requests(1, host => 'beside.example.com');
is(scalar($featul->requests(host => 'discord.com')), 0, 'a global hold holds every Discord integration, and nobody else');

$featul->node->stop('fast');
done_testing();
