# Many events in one chat message: a burst over many posts, a comment with its mentions.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => [qw(slack discord teams webhook)], conf => "featul_integrations.retry_delay = '20ms'");
my %host = (
	slack => 'hooks.slack.com',
	discord => 'discord.com',
	teams => 'prod-1.westeurope.logic.azure.com',
	webhook => 'hook.example.com');
my @chat = qw(slack discord teams);

# What happens in a sub waits until all of it is there
sub together
{
	my ($what) = @_;

	$featul->set('delivery', 'off');
	$featul->wait_for_sql('SELECT config_loaded_at > pg_conf_load_time() FROM featul_integrations.stat_worker');
	$featul->forget;
	$what->();
	$featul->set('delivery', 'on');
	return;
}

# How often something became of the deliveries since the last call, of one type
my $last_id = 0;

sub outcomes
{
	my ($type) = @_;

	return $featul->sql(<<END);
SELECT string_agg(o, ', ' ORDER BY o)
FROM (SELECT concat_ws(' ', count(*), event, state, attempts, http_status) AS o FROM featul_integrations.deliveries
	WHERE type = '$type' AND id > $last_id GROUP BY event, state, attempts, http_status) s
END
}

sub seen
{
	$last_id = $featul->sql('SELECT max(id) FROM featul_integrations.deliveries');
	return;
}

# What a message is called, and the lines of its text
sub headline
{
	my ($request) = @_;
	my $json = $request->{json};

	return $json->{embeds}[0]{author}{name} if $json->{embeds};
	return $json->{blocks}[0]{text}{text} if $json->{blocks};
	return $json->{attachments}[0]{content}{body}[0]{text};
}

sub headlines
{
	return map { headline($_) } $featul->requests(host => $host{ $_[0] });
}

# A burst of posts, written as the application's importer writes them

my $hostile = "<!channel> & *bold* _it_ [a](https://evil.example) `x` |\@here";
together(
	sub {
		$featul->post(title => $hostile, slug => 'hostile(1)');
		$featul->post(title => "Post $_", slug => "post-$_") foreach 2 .. 37;
	});
$featul->wait_until_settled;
is(outcomes('slack'), '37 post.created delivered 1 200', 'each delivery of a burst is delivered in Slack');
is(outcomes('discord'), '37 post.created delivered 1 204', 'Discord');
is(outcomes('teams'), '37 post.created delivered 1 200', 'and Teams');
is(scalar($featul->requests(host => $host{webhook}, event => 'post.created')), 37, 'a webhook gets each event');
is_deeply([ map { headlines($_) } @chat ], [ ('37 new posts') x 3 ], 'chat gets one message');

my ($slack) = $featul->requests(host => $host{slack});
my $lines = $slack->{json}{blocks}[1]{elements}[0]{elements};
is(scalar(@$lines), 10, 'Slack: with the first ten');
is_deeply(
	[ map { $_->{elements} } @$lines[ 0, 1 ] ],
	[
		[ { type => 'link', url => 'https://acme.featul.com/posts/hostile%281%29', text => $hostile } ],
		[ { type => 'link', url => 'https://acme.featul.com/posts/post-2', text => 'Post 2' } ]
	],
	'by title and link, as they were written');
is($slack->{json}{blocks}[2]{text}{text}, 'and 27 more', 'and how many more there are');
is($slack->{json}{text}, '37 new posts: &lt;!channel&gt; &amp; *bold* _it_ [a](https://evil.example) `x` |@here, ' . "\x{2026}",
	'a notification names the first');

my ($discord) = $featul->requests(host => $host{discord});
$lines = [ split /\n/, $discord->{json}{embeds}[0]{description} ];
is_deeply(
	[ @$lines[ 0, 1, 9, 10 ] ],
	[
		"\x{2022} \\<!channel\\> & \\*bold\\* \\_it\\_ \\[a\\](https://evil.example) \\`x\\` \\|\\\@here",
		"\x{2022} [Post 2](https://acme.featul.com/posts/post-2)",
		"\x{2022} [Post 10](https://acme.featul.com/posts/post-10)",
		'and 27 more'
	],
	'Discord: likewise; a title that looks like a link is none');
is_deeply([ grep { exists $discord->{json}{embeds}[0]{$_} } qw(title url fields thumbnail) ], [], 'without what is said of one post');

my ($teams) = $featul->requests(host => $host{teams});
$lines = [ map { $_->{text} } @{ $teams->{json}{attachments}[0]{content}{body} } ];
is(scalar(@$lines), 13, 'Teams: likewise');
is_deeply(
	[ @$lines[ 1, 2, 11 ] ],
	[
		'[\\<!channel\\> \\& \\*bold\\* \\_it\\_ \\[a\\](https://evil.example) \\`x\\` \\|@here](https://acme.featul.com/posts/hostile%281%29)',
		'[Post 2](https://acme.featul.com/posts/post-2)',
		'and 27 more'
	],
	'as text');

# The longest titles and links still fit; what is left out is a link
together(
	sub {
		$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'ideas', repeat(chr(128512), 500), 'x', g || repeat('s', 1900) FROM generate_series(1, 11) g");
	});
$featul->wait_until_settled;
is_deeply([ map { headlines($_) } @chat ], [ ('11 new posts') x 3 ], 'eleven long ones');
my %long = map { $_ => ($featul->requests(host => $host{$_}))[0]{json} } @chat;
my $encoder = JSON::PP->new;
cmp_ok(length($encoder->encode($long{slack}{blocks})), '<', 13_000, 'Slack: within what all blocks may take');
cmp_ok(length($long{discord}{embeds}[0]{description}), '<=', 4096, 'Discord: within what a description may');
cmp_ok(length($encoder->utf8->encode($long{teams})), '<=', 28 * 1024, 'Teams: within what a message may');
is(scalar(grep { $_->{elements}[0]{type} eq 'link' } @{ $long{slack}{blocks}[1]{elements}[0]{elements} }), 2, 'Slack: with two links');
is(scalar(() = $long{discord}{embeds}[0]{description} =~ /\]\(/g), 0, 'Discord: without');
is(scalar(grep { $_->{text} =~ /\]\(/ } @{ $long{teams}{attachments}[0]{content}{body} }), 4, 'Teams: with four');

# One that is sent again is that one
my $one = $featul->sql("SELECT id FROM featul_integrations.deliveries WHERE type = 'discord' AND payload #>> '{post,title}' = 'Post 30'");
$featul->forget;
$featul->sql_as('olivia', "SELECT * FROM integration_redeliver('acme', $one)");
$featul->wait_until_settled;
is_deeply([ headlines('discord') ], ['New post'], 'redelivering one of a burst sends that one');
like(($featul->requests(host => $host{discord}))[0]{body}, qr/Post 30/, 'and nothing else');

# Every kind of event, each after the one before of its post; ten are too few

$featul->sql_as('olivia', "SELECT integration_disconnect('acme', t) FROM unnest('{slack,teams}'::text[]) t");
my $posts = "SELECT id FROM post WHERE title ~ '^Post (2.|3[01])\$'";
seen();
together(
	sub {
		$featul->sql("UPDATE post SET roadmap_status = 'planned' WHERE id IN ($posts)");
		$featul->sql("UPDATE post SET roadmap_status = 'completed' WHERE id IN ($posts)");
		$featul->sql("UPDATE post SET is_pinned = true WHERE id IN ($posts)");
		$featul->sql("UPDATE post SET is_featured = true WHERE id IN ($posts)");
		$featul->sql("UPDATE post SET is_locked = true WHERE id IN ($posts)");
		$featul->sql("INSERT INTO vote (id, post_id, fingerprint, type) SELECT gen_random_uuid(), id, g, 'upvote' FROM ($posts) p, generate_series(1, 2) g");
		$featul->sql("UPDATE post SET upvotes = 12 WHERE id IN ($posts)");
		$featul->sql("INSERT INTO comment (id, post_id, content, author_id) SELECT 'on ' || id, id, E'It is\\n' || repeat('so long ', 30), 'adam' FROM ($posts) p");
		$featul->sql("INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by) SELECT gen_random_uuid(), 'on ' || id, 'vera', 'adam' FROM ($posts) p");
		$featul->sql("INSERT INTO comment_reaction (id, comment_id, user_id, type) SELECT gen_random_uuid(), 'on ' || id, 'mina', 'upvote' FROM ($posts) p");
	});
$featul->wait_until_settled;
is_deeply(
	[ headlines('discord') ],
	[
		'12 posts: status changed',
		'12 posts: status changed',
		'12 posts pinned',
		'12 posts featured',
		'12 posts locked',
		'24 new upvotes',
		'12 milestones reached',
		'12 new comments',
		'12 new mentions',
		'12 new reactions'
	],
	'each kind in its words, in the order of what happened');
my @first = map { (split /\n/, $_->{json}{embeds}[0]{description})[0] } $featul->requests(host => $host{discord});
s/^\x{2022} \[Post \d+\]\(\S+\)// foreach @first;
is_deeply(
	\@first,
	[
		" \x{2014} Pending \x{2192} Planned",
		" \x{2014} Planned \x{2192} Completed",
		'', '', '', '',
		" \x{2014} 10 upvotes reached",
		" \x{2014} Adam: It is " . 'so long ' x 9 . "s\x{2026}",
		" \x{2014} Adam mentioned Vera",
		''
	],
	'and what is to be said of one');

together(sub { $featul->sql("UPDATE post SET is_pinned = false WHERE title ~ '^Post 2.\$'; UPDATE post SET is_pinned = true WHERE title ~ '^Post 2.\$'") });
$featul->wait_until_settled;
is_deeply([ headlines('discord') ], [ ('Post pinned') x 10 ], 'ten are told one by one');

# What comes of a message comes of all of it

sub burst
{
	my ($steps, $meanwhile) = @_;

	seen();
	$featul->script({ 'discord.com/' => $steps });
	together(sub { $featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'ideas', 'of ' || g, 'x', gen_random_uuid() FROM generate_series(1, 12) g") });
	$meanwhile->() if $meanwhile;
	$featul->wait_until_settled;
	return outcomes('discord');
}

is( burst(
		[ { status => 500, until => 'another', times => 1 }, {} ],
		sub {
			$featul->wait_for_sql('SELECT in_flight > 0 FROM featul_integrations.stat_worker');
			$featul->post(title => 'another', slug => 'another');
			$featul->release('another');
		}),
	'1 post.created delivered 1 204, 12 post.created delivered 2 204',
	'one that fails is tried again');
my @bodies = map { $_->{body} } grep { headline($_) eq '12 new posts' } $featul->requests(host => $host{discord});
is(scalar(@bodies), 2, 'as one');
is($bodies[0], $bodies[1], 'with the same bytes, whatever came meanwhile');

is(burst([ { status => 400, body => '{"code": 50035}', times => 1 }, { status => 400, body => '{"code": 50035}', times => 1 }, {} ]),
	'1 post.created failed 1 400, 11 post.created delivered 1 204',
	'malformed: each is sent by itself, and one is at fault');
is(burst([ { status => 413, times => 1 }, { status => 413, times => 1 }, {} ]),
	'1 post.created delivered 3 204, 11 post.created delivered 2 204',
	'refused for what it says, without a code: likewise, and the attempt counts');
is(burst([ { status => 500, times => 3 }, {} ]), '12 post.created failed 3 500', 'three failures: all have failed');
is( burst(
		[ { until => 'never', times => 1 }, {} ],
		sub {
			$featul->wait_for_sql('SELECT in_flight = 1 FROM featul_integrations.stat_worker');
			$featul->sql('SELECT pg_terminate_backend(pid) FROM featul_integrations.stat_worker');
		}),
	'12 post.created delivered 1 204',
	'a worker that ends meanwhile: sent again');
is( burst(
		[ { until => 'never' } ],
		sub {
			$featul->wait_for_sql('SELECT in_flight = 1 FROM featul_integrations.stat_worker');
			$featul->sql_as('olivia', "SELECT * FROM integration_disconnect('acme', 'discord')");
		}),
	'12 post.created cancelled 0',
	'disconnected meanwhile: all are cancelled');
$featul->connect('discord');

# An event that is gone takes nobody along
seen();
$featul->script({});
together(
	sub {
		$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'ideas', 'of ' || g, 'x', gen_random_uuid() FROM generate_series(1, 12) g");
		$featul->sql('DELETE FROM featul_integrations.event WHERE id = (SELECT min(event_id) FROM featul_integrations.queue)');
	});
$featul->wait_until_settled;
is_deeply([ headlines('discord') ], ['12 new posts'], 'without the first event it is one message all the same');

# More than one message takes
$featul->sql_as('olivia', "SELECT integration_disconnect('acme', 'webhook')");
seen();
$featul->script({});
together(sub { $featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'ideas', 'of ' || g, repeat('x', 2000), gen_random_uuid() FROM generate_series(1, 1200) g") });
$featul->wait_until_settled;
is(outcomes('discord'), '1200 post.created delivered 1 204', '1,200 posts reach Discord');
my $told = 0;
$told += /^(\d+) new posts$/ ? $1 : 1 foreach headlines('discord');
is($told, 1200, 'which is told of each');
cmp_ok(scalar(headlines('discord')), '<=', 20, 'in few messages');

# A comment and its mentions, as the application writes them: each statement by itself

$featul->connect($_) foreach @chat, 'webhook';
sub comment_mentioning
{
	my ($id, $content, @mentioned) = @_;

	my $mentions = join(', ', map { "(gen_random_uuid(), '$id', '$_', 'adam')" } @mentioned);

	$featul->sql(<<END);
INSERT INTO comment (id, post_id, content, author_id) VALUES ('$id', 'discussed', '$content', 'adam');
INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by) VALUES $mentions;
INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES (gen_random_uuid(), '$id', 'adam', 'upvote');
UPDATE comment SET upvotes = 1 WHERE id = '$id';
UPDATE post SET comment_count = comment_count + 1 WHERE id = 'discussed';
END
	return;
}

$featul->post(id => 'discussed', title => 'Discussed', slug => 'discussed');
$featul->wait_until_settled;
seen();
$featul->forget;
comment_mentioning('c1', '@Mina and @Vera, what do you think?', 'mina', 'vera');
$featul->wait_until_settled;
is_deeply([ map { headlines($_) } @chat ], [ ('Adam commented and mentioned Mina, Vera') x 3 ],
	'a comment with two mentions is one message to each chat service');
is(outcomes('slack'), '1 comment.created delivered 1 200, 2 comment.mention delivered 1 200', 'with all that it stands for');
is_deeply(
	[ map { $_->{json}{event} } $featul->requests(host => $host{webhook}) ],
	[ 'comment.created', 'comment.mention', 'comment.mention' ],
	'a webhook gets each event');
my ($message) = $featul->requests(host => $host{discord});
is($message->{json}{embeds}[0]{description}, '\\@Mina and \\@Vera, what do you think?', 'with the text');
is($message->{json}{embeds}[0]{title}, 'Discussed', 'on its post');

# Who waits: a comment that may mention somebody, for chat services that want both
$featul->workspace('picky', slack => $Featul::url{slack}, discord => $Featul::url{discord});
$featul->connect('slack', workspace => 'picky', more => ", events => '{comment.created}'");
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) VALUES ('theirs', 'picky-ideas', 'Theirs', '-', 'theirs')");
$featul->wait_until_settled;
together(
	sub {
		$featul->sql("INSERT INTO comment (id, post_id, content, author_id) VALUES ('t1', 'theirs', 'you\@example.com', 'adam')");
		$featul->sql("INSERT INTO comment (id, post_id, content, author_id) VALUES ('t2', 'theirs', 'nobody', 'adam')");
		is($featul->sql(<<'END'),
SELECT string_agg(concat_ws(' ', i.type, e.payload #>> '{comment,content}', q.next_attempt_at - e.created_at BETWEEN '1 s' AND '2 s'), ', ' ORDER BY q.id)
FROM featul_integrations.queue q JOIN featul_integrations.integration i ON i.id = q.integration_id
JOIN featul_integrations.event e ON e.id = q.event_id AND q.next_attempt_at IS NOT NULL
END
			'discord you@example.com t', 'it waits for a second');
	});
$featul->wait_until_settled;

# What is not its own is not told with it; what is too late neither
together(
	sub {
		comment_mentioning('c2', '@all', 'mina');
		comment_mentioning('c3', '@all', 'vera');
		$featul->sql("INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by) VALUES (gen_random_uuid(), 'c1', 'sam', 'adam')");
	});
$featul->wait_until_settled;
is_deeply([ headlines('discord') ],
	[ 'Adam commented and mentioned Mina', 'Adam commented and mentioned Vera', 'Adam mentioned Sam' ],
	'a mention in another comment is a message of its own');

# Many names are counted; a board that hides who they are names nobody
together(sub { comment_mentioning('c4', '@all', 'mina', 'vera', 'sam', 'olivia', 'mina') });
$featul->wait_until_settled;
is_deeply([ headlines('discord') ], ['Adam commented and mentioned Mina, Vera, Sam and 1 more'], 'many are counted');
$featul->sql("UPDATE board SET hide_public_member_identity = true");
together(sub { comment_mentioning('c5', '@all', 'mina', 'vera') });
$featul->wait_until_settled;
is_deeply([ headlines('discord') ], ['Member commented and mentioned Member'], 'nobody is named who is hidden');

done_testing();
