# What leaves on the wire: TLS, headers, signatures, and the payloads of all ten events
# compared with the contract, key by key and in order.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Featul;
use Test::More;

# JSON without the white space between its tokens, as UTF-8; the order of keys stays.
sub compact
{
	my ($text) = @_;
	utf8::encode($text);
	return join '', $text =~ /"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+/gs;
}

# UTF-16 code units, as Slack counts
sub utf16_units
{
	my ($text) = @_;
	return length($text) + ($text =~ tr/\x{10000}-\x{10ffff}//);
}

my $featul = Featul->new(conf => "featul_integrations.retry_delay = '50ms'");
my $version = $featul->sql("SELECT extversion FROM pg_extension WHERE extname = 'featul_integrations'");
my $secret = $featul->sql_as('olivia', "SELECT integration_secret('acme')");

# ---------------------------------------------------------------------------
# Headers and signature
# ---------------------------------------------------------------------------

$featul->sql(<<'END');
INSERT INTO post (id, board_id, title, content, slug, author_id, roadmap_status, created_at)
	VALUES ('p1', 'ideas', 'Dark mode', E'My eyes hurt.\n"Always" \\ at night 🌙', 'dark-mode', 'mina', 'pending', '2026-03-01 09:30:00.987');
END
my ($slack) = $featul->wait_for_requests(1, host => 'hooks.slack.com');
my ($discord) = $featul->wait_for_requests(1, host => 'discord.com');
my ($webhook) = $featul->wait_for_requests(1, host => 'hook.example.com');

foreach my $request ($slack, $discord, $webhook)
{
	my $host = $request->{host};
	is($request->{method}, 'POST', "$host: method");
	is($request->{sni}, $host, "$host: server name in TLS");
	like($request->{tls}, qr/^TLSv1\.[23]$/, "$host: TLS version");
	is($request->{headers}{'content-type'}, 'application/json', "$host: Content-Type");
	ok(!$request->{invalid_utf8}, "$host: body is UTF-8");
	is_deeply([ grep { /cookie|authorization|referer|proxy|expect/i } keys %{ $request->{headers} } ],
		[], "$host: no header that says more than it should");
}
is($slack->{path}, '/services/T0000/B0000/slacksecret', 'Slack: path');
is($webhook->{path}, '/featul', 'webhook: path');
is($slack->{headers}{'user-agent'}, "featul-integrations/$version", 'Slack: User-Agent');
is($webhook->{headers}{'user-agent'}, "featul-integrations/$version", 'webhook: User-Agent');
like($discord->{headers}{'user-agent'}, qr/^DiscordBot \(\S+, \Q$version\E\)/, 'Discord: User-Agent');
is_deeply([ grep { /^webhook-/ } map { keys %{ $_->{headers} } } $slack, $discord ],
	[], 'chat messages are not signed');

my $uuid = $featul->sql('SELECT webhook_id FROM featul_integrations.event');
is($webhook->{headers}{'webhook-id'}, "msg_$uuid", 'webhook-id');
like($webhook->{headers}{'webhook-timestamp'}, qr/^\d+$/, 'webhook-timestamp');
my $timestamp = $webhook->{headers}{'webhook-timestamp'};
is($featul->sql("SELECT floor(extract(epoch FROM created_at)) <= $timestamp FROM featul_integrations.event"), 't', 'after it happened');
cmp_ok($timestamp, '<=', $webhook->{time} + 1, 'and when it was sent');
is($featul->signature_problem($webhook, $secret), '', 'signature');
isnt($featul->signature_problem($webhook, 'whsec_' . 'A' x 43 . '='), '', 'not by any other secret');

# ---------------------------------------------------------------------------
# Trace context: of the transaction it happened in, whichever attempt it is
# ---------------------------------------------------------------------------

my $trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
$featul->workspace('traced', webhook => 'https://traced.example.com/');
$featul->script({ 'traced.example.com/' => [ { status => 500, times => 1 }, {} ] });
$featul->sql(<<END);
BEGIN;
SET LOCAL featul_integrations.traceparent = '$trace';
INSERT INTO post (id, board_id, title, content, slug) VALUES ('traced', 'traced-ideas', 'Traced', '', 'traced');
COMMIT;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('untraced', 'traced-ideas', 'Not traced', '', 'untraced');
END
is_deeply([ sort map { "$_->{json}{post}{title}: " . ($_->{headers}{traceparent} // 'none') }
	$featul->wait_for_requests(3, host => 'traced.example.com') ],
	[ 'Not traced: none', ("Traced: $trace") x 2 ], 'traceparent');

# ---------------------------------------------------------------------------
# The ten payloads
# ---------------------------------------------------------------------------

my $content = '"My eyes hurt.\n\"Always\" \\\\ at night 🌙"';

# post(key => value...): the canonical post as JSON text, with what changed meanwhile
sub post_json
{
	my %now = (status => '"pending"', upvotes => 0, @_);
	return
	    '"post":{"id":"p1","title":"Dark mode","content":' . $content
	  . ',"url":"https://acme.featul.com/posts/dark-mode","upvotes":' . $now{upvotes}
	  . ',"board":"Ideas","status":' . $now{status}
	  . ',"author":{"name":"Mina","email":"mina@example.com"},"createdAt":"2026-03-01T09:30:00Z","image":null}';
}

my $workspace = '"workspace":{"id":"acme","name":"Acme","slug":"acme"}';
my $comment =
	'"comment":{"id":"c1","content":"Yes","author":{"name":"Adam","role":"admin"},"createdAt":"2026-03-02T10:00:00Z"}';

my @steps = (
	[
		'post.status_changed',
		q{UPDATE post SET roadmap_status = 'planned' WHERE id = 'p1'},
		post_json(status => '"planned"') . ',"changes":{"status":{"from":"pending","to":"planned"}}'
	],
	[
		'post.pinned', q{UPDATE post SET is_pinned = true WHERE id = 'p1'},
		post_json(status => '"planned"') . ',"changes":{"pinned":{"from":false,"to":true}}'
	],
	[
		'post.featured', q{UPDATE post SET is_featured = true WHERE id = 'p1'},
		post_json(status => '"planned"') . ',"changes":{"featured":{"from":false,"to":true}}'
	],
	[
		'post.locked', q{UPDATE post SET is_locked = true WHERE id = 'p1'},
		post_json(status => '"planned"') . ',"changes":{"locked":{"from":false,"to":true}}'
	],
	[
		'post.upvoted', q{INSERT INTO vote (id, post_id, user_id, type) VALUES (gen_random_uuid(), 'p1', 'sam', 'upvote')},
		post_json(status => '"planned"') . ',"vote":{"author":{"name":"Sam"}}'
	],
	[
		'post.milestone', q{UPDATE post SET upvotes = 60 WHERE id = 'p1'},
		post_json(status => '"planned"', upvotes => 60) . ',"milestone":50'
	],
	[
		'comment.created',
		q{INSERT INTO comment (id, post_id, content, author_id, author_email, created_at)
			VALUES ('c1', 'p1', 'Yes', 'adam', 'private@example.com', '2026-03-02 10:00:00')},
		post_json(status => '"planned"', upvotes => 60) . ",$comment"
	],
	[
		'comment.mention',
		q{INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by) VALUES (gen_random_uuid(), 'c1', 'mina', 'adam')},
		post_json(status => '"planned"', upvotes => 60) . ",$comment" . ',"mention":{"name":"Mina"}'
	],
	[
		'comment.reaction',
		q{INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES (gen_random_uuid(), 'c1', 'vera', 'upvote')},
		post_json(status => '"planned"', upvotes => 60)
		  . ",$comment"
		  . ',"reaction":{"type":"upvote","author":{"name":"Vera"}}'
	]);

is(compact($webhook->{body}), qq({"event":"post.created",$workspace,) . post_json() . '}', 'post.created');
foreach my $step (@steps)
{
	my ($event, $statement, $rest) = @$step;

	$featul->sql($statement);
	my ($request) = $featul->wait_for_requests(1, host => 'hook.example.com', event => $event);
	is(compact($request->{body}), qq({"event":"$event",$workspace,$rest}), $event);
	is($featul->signature_problem($request, $secret), '', "$event: signature");
	$featul->wait_until_settled;    # or a mention goes out with its comment
}
is(scalar($featul->requests(host => $_)), 10, "$_: ten messages")
  foreach qw(hook.example.com hooks.slack.com discord.com);

# integration_test: the same headers, its own payload
foreach my $type (qw(slack discord webhook))
{
	$featul->forget;
	is($featul->sql_as('olivia', "SELECT message FROM integration_test('acme', '$type')"),
		'Test notification sent successfully', "test of $type");
	my ($request) = $featul->requests;
	like($request->{body}, qr/Acme/, 'it names the workspace');
	next if $type ne 'webhook';
	like(compact($request->{body}), qr/^\{"event":"integration\.test",\Q$workspace\E,"message":".+"\}$/,
		'integration.test');
	is($featul->signature_problem($request, $secret), '', 'integration.test: signature');
}

# ---------------------------------------------------------------------------
# Rotation: the old secret signs too
# ---------------------------------------------------------------------------

my $new_secret = $featul->sql_as('olivia', "SELECT integration_rotate_secret('acme')");
isnt($new_secret, $secret, 'a new secret');
$featul->forget;
$featul->post(slug => 'rotated');
my ($rotated) = $featul->wait_for_requests(1, host => 'hook.example.com');
is($featul->signature_problem($rotated, $new_secret), '', 'signed with the new secret');
is($featul->signature_problem($rotated, $secret), '', 'and with the old one');

# ---------------------------------------------------------------------------
# Sizes
# ---------------------------------------------------------------------------

$featul->wait_until_settled;
$featul->forget;
$featul->sql(<<'END');
INSERT INTO post (id, board_id, title, content, slug, author_id)
	VALUES ('long', 'ideas', repeat('🌙<&>', 1000), repeat('日本語 <b>&*_`', 20000), repeat('slug', 600), 'mina');
END
($webhook) = $featul->wait_for_requests(1, host => 'hook.example.com');
($slack) = $featul->wait_for_requests(1, host => 'hooks.slack.com');
($discord) = $featul->wait_for_requests(1, host => 'discord.com');

cmp_ok($webhook->{headers}{'content-length'}, '<=', 65_536, 'webhook: at most 65,536 bytes');
cmp_ok($webhook->{headers}{'content-length'}, '>', 65_000, '... and not much less');
ok(!$webhook->{invalid_utf8}, '... cut between characters');
is(ref $webhook->{json}, 'HASH', '... and still JSON');
ok($webhook->{json}{post}{truncated}, '... which says so');
like(compact($webhook->{body}), qr/,"truncated":true\}\}$/, '... at the end of the object');

my @blocks = @{ $slack->{json}{blocks} };
cmp_ok(scalar(@blocks), '<=', 50, 'Slack: blocks');
foreach my $block (@blocks)
{
	my @texts = grep { ref } ($block->{text}, @{ $block->{fields} // [] },
		grep { exists $_->{text} } @{ $block->{elements} // [] });
	foreach my $text (@texts)
	{
		my $units = utf16_units($text->{text});
		my $limit = $block->{type} eq 'header' ? 150 : 3000;
		ok($units >= 1 && $units <= $limit, "Slack: $block->{type} of $units units");
		is(ref $text->{verbatim} ? $text->{verbatim} + 0 : 0, $text->{type} eq 'mrkdwn' ? 1 : 0,
			'Slack: verbatim');
	}
}
ok(!$slack->{json}{unfurl_links} && !$slack->{json}{unfurl_media}, 'Slack: nothing unfurls');
like($slack->{json}{text}, qr/\S/, 'Slack: a text to fall back on');

my ($embed) = @{ $discord->{json}{embeds} };
my $total = 0;
my %limit = (title => 256, description => 4096);
foreach my $key (sort keys %limit)
{
	my $length = length($embed->{$key});
	$total += $length;
	cmp_ok($length, '<=', $limit{$key}, "Discord: $key of $length characters");
}
foreach my $field (@{ $embed->{fields} })
{
	ok(length($field->{name}) >= 1 && length($field->{name}) <= 256, "Discord: field $field->{name}");
	ok(length($field->{value}) >= 1 && length($field->{value}) <= 1024, '... its value');
	$total += length($field->{name}) + length($field->{value});
}
$total += length($embed->{footer}{text}) + length($embed->{author}{name});
cmp_ok($total, '<=', 6000, "Discord: $total characters in all");
is_deeply($discord->{json}{allowed_mentions}, { parse => [] }, 'Discord: nobody is pinged');

# settled($workspace, $columns): its latest delivery, as the log has it, once nothing is pending
sub settled
{
	my ($workspace, $columns) = @_;
	$featul->wait_until_settled;
	return $featul->sql_as('olivia',
		"SELECT $columns FROM integration_deliveries('$workspace') ORDER BY id DESC LIMIT 1");
}

# ---------------------------------------------------------------------------
# Teams: a card, which the workflow accepts before it posts it
# ---------------------------------------------------------------------------

my $workflow = 'prod-1.westeurope.logic.azure.com';
$featul->workspace('teamed', teams => $Featul::url{teams});
$featul->script({ "$workflow/" => [ { status => 202 } ] });
$featul->forget;
$featul->post(board_id => 'teamed-ideas', title => '[Dark](https://evil.example) mode', content => "- _one_\n- two",
	image => 'https://img.example.com/a.png');
my ($teams) = $featul->wait_for_requests(1, host => $workflow);
is($teams->{path}, '/workflows/0af1/triggers/manual/paths/invoke?sv=1.0&sig=teamssecret', 'Teams: path, and its signature');
is($teams->{headers}{'content-type'}, 'application/json', 'Teams: Content-Type');
is_deeply([ grep { /^webhook-/ } keys %{ $teams->{headers} } ], [], 'Teams: not signed by us');
is($teams->{json}{type}, 'message', 'Teams: a message');
is($teams->{json}{attachments}[0]{contentType}, 'application/vnd.microsoft.card.adaptive', 'Teams: with a card');
my $card = $teams->{json}{attachments}[0]{content};
is("$card->{type} $card->{version}", 'AdaptiveCard 1.4', 'Teams: of that version');
like($card->{body}[1]{text}, qr/^\[\\\[Dark\\\]\(https:\/\/evil\.example\) mode\]\(https:/, 'Teams: a title, and no link of its own');
is($card->{body}[2]{text}, '\\- \\_one\\_' . "\n\n" . '\\- two', 'Teams: Markdown is text, a line break one');
is($card->{body}[3]{url}, 'https://img.example.com/a.png', 'Teams: the image');
cmp_ok($teams->{headers}{'content-length'}, '<=', 28 * 1024, 'Teams: at most 28 KB');
is(settled('teamed', 'type, state, attempts, http_status'), 'teams|delivered|1|202', 'Teams: 202 is success');

# ---------------------------------------------------------------------------
# What is refused: redirects, late answers, wrong certificates
# ---------------------------------------------------------------------------

$featul->workspace('redirected', webhook => 'https://redirect.example.com/');
$featul->script({ 'redirect.example.com/' =>
	  [ { status => 302, headers => { Location => 'https://elsewhere.example.com/' } } ] });
$featul->post(board_id => 'redirected-ideas');
is(settled('redirected', 'state, attempts, http_status'), 'failed|3|302', 'a redirect is a failure');
is(scalar($featul->requests(host => 'elsewhere.example.com')), 0, '... and not followed');

$featul->set(request_timeout => '300ms');
$featul->workspace('late', webhook => 'https://late.example.com/');
$featul->script({ 'late.example.com/' => [ { rude => 'silence' }, { rude => 'drip_headers' }, { rude => 'drip_body' } ] });
$featul->post(board_id => 'late-ideas');
is(settled('late', 'state, attempts, http_status IS NULL'), 'failed|3|t', 'an answer that comes too late is a failure');
like(settled('late', 'error'), qr/within 0\.3\d* s/, '... and the log says so');
cmp_ok(settled('late', 'duration_ms'), '>=', 300, '... after its time');
$featul->set(request_timeout => '10s');

my %bad = map { $_ => "$_.example.com" =~ tr/_/-/r } qw(expired wrong_host self_signed old_tls plain);
$featul->set(connect_to => join(', ',
		(map { "$bad{$_}:443:127.0.0.1:" . $featul->port($_) } sort keys %bad),
		'::127.0.0.1:' . $featul->port));
$featul->set(request_timeout => '1s');
foreach my $name (sort keys %bad)
{
	(my $slug = $name) =~ tr/_/-/;
	$featul->workspace($slug, webhook => "https://$bad{$name}/");
	$featul->post(board_id => "$slug-ideas");
}
$featul->wait_until_settled;
foreach my $name (sort keys %bad)
{
	(my $slug = $name) =~ tr/_/-/;
	is(settled($slug, 'state, attempts, http_status IS NULL'), 'failed|3|t', "$name: not delivered");
	like(settled($slug, 'error'), $name eq 'plain' ? qr/\S/ : qr/certificate|TLS|SSL/i, '... and the log says why');
	is(scalar($featul->requests(host => $bad{$name})), 0, '... and nothing was sent');
}

$featul->node->stop;
done_testing;
