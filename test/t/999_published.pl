# What is published of a webhook's body: everything derived from the schema is up to date,
# and every body that any test of this run has sent fits, those of Slack and Discord the
# types of their own packages, those of Teams its cards' own parser.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Featul;
use File::Copy qw(copy);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $schema = "$Featul::test_dir/../docs/schema";
my $packages = Featul::install_packages();
plan skip_all => 'no node or npm here, or no packages for us' unless $packages;

sub node
{
	IPC::Run::run([ 'node', @_ ], '>', \my $out, '2>&1', init => sub { chdir $packages });
	return $out;
}

is(node("$schema/generate.mjs", $packages, '--check'), '', 'types, AsyncAPI and the page are what generate.mjs makes');

is(node("$packages/asyncapi.mjs", "$schema/asyncapi.json"), "3.0.0: 11 messages\n", "AsyncAPI's parser finds nothing amiss");

# all ten events to all kinds, the way the application writes
my $featul = Featul->new(connect => [qw(slack discord teams webhook)]);
my $post = $featul->post(title => 'Dark mode', image => 'https://cdn.example.com/dark.png');
$featul->post(title => 'By a guest', author_id => undef, is_anonymous => 't', metadata => '{"fingerprint": "f1"}');
my $comment = $featul->comment($post);
$featul->comment($post, author_id => undef, author_name => 'Gus', metadata => '{"fingerprint": "f2"}');
$featul->sql(<<END);
UPDATE post SET roadmap_status = 'planned' WHERE id = '$post';
UPDATE post SET is_pinned = true, is_featured = true, is_locked = true WHERE id = '$post';
INSERT INTO vote (id, post_id, user_id, type) VALUES ('v1', '$post', 'sam', 'upvote');
UPDATE post SET upvotes = 10 WHERE id = '$post';
INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by) VALUES ('m1', '$comment', 'vera', 'adam');
INSERT INTO comment_reaction (id, comment_id, user_id, type) VALUES ('r1', '$comment', 'vera', 'downvote');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('long', 'ideas', repeat('t', 300), repeat('x', 70000), 'long');
END
$featul->sql_as('olivia', "SELECT integration_test('acme', t) FROM unnest('{slack,discord,teams,webhook}'::text[]) t");
$featul->sql(<<END);
INSERT INTO comment (id, post_id, content, author_id) VALUES ('c1', '$post', '\@Mina', 'adam');
INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by) VALUES ('m2', 'c1', 'mina', 'adam');
INSERT INTO post (id, board_id, title, content, slug) SELECT 'burst' || g, 'ideas', 'Of many ' || g, '-', 'burst' || g FROM generate_series(1, 12) g;
INSERT INTO comment (id, post_id, content) SELECT 'burst' || g, 'burst' || g, 'Of many' FROM generate_series(1, 12) g;
END
$featul->wait_until_settled;
my %seen = map { $_->{json}{event} => 1 } $featul->requests(host => 'hook.example.com');
is(scalar(keys %seen), 11, 'all events, and the test') or diag(join ' ', sort keys %seen);
$featul->node->stop;
$featul->stop_receiver;

my $said = node("$packages/published.mjs", "$schema/events.schema.json",
	"$PostgreSQL::Test::Utils::tmp_check/forms.jsonl");
like($said, qr/\Adiscord \d+, example 11, slack \d+, teams \d+, webhook \d+\n\z/, 'every body fits what is published of it');
note($said);

done_testing;
