# docs/switching.md, step by step, with the application's habits.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Featul;
use Test::More;

my %step = Featul::code_blocks('switching.md');
my $featul = Featul->new(connect => []);
my $node = $featul->node;

sub titles
{
	return join ', ', map { $_->{json}{blocks}[1]{text}{text} =~ /\|(.*?)>/ ? $1 : '?' }
	  $featul->requests(host => 'hooks.slack.com');
}

# steps 2 and 3
$featul->sql($step{switch_post_url});
$featul->sql($step{switch_attach});
$featul->sql($step{switch_plan});
$featul->sql(<<'END');
INSERT INTO subscription (id, plan, reference_id, status) VALUES ('s1', 'starter', 'acme', 'trialing');
INSERT INTO board (id, workspace_id, name, slug, is_public, created_by)
	VALUES ('private', 'acme', 'Private', 'private', false, 'olivia');
INSERT INTO workspace_integration (id, workspace_id, type, webhook_url)
	VALUES ('i1', 'acme', 'slack', 'https://hooks.slack.com/services/T0000/B0000/slacksecret');
END
is( $featul->sql("SELECT string_agg(source || '.' || canonical, ' ' ORDER BY source) FROM featul_integrations.bindings WHERE by_hand"),
	'board.is_system workspace.plan',
	'the second call left the first');

# steps 4 and 5
$featul->sql($step{switch_importer});
like($featul->sql($step{switch_import}), qr/^acme\|slack\|t\|$/, 'the older integration is taken over');
like($featul->sql($step{switch_preview}), qr{https://acme\.featul\.com/board/p/}, 'the link that featul serves');

# the importer, unchanged: row by row, with updates, each statement its own transaction
$node->safe_psql(
	'postgres',
	join('', map {
			"INSERT INTO post (id, board_id, title, content, slug) VALUES ('row$_', 'ideas', 'Row $_', 'c', 'row-$_');\n"
			  . "INSERT INTO vote (id, post_id, fingerprint, type) VALUES ('vote$_', 'row$_', 'f$_', 'upvote');\n"
			  . "UPDATE post SET upvotes = 12, roadmap_status = 'planned' WHERE id = 'row$_';\n"
		} 1 .. 40),
	extra_params => [ '-U', 'importer' ]);
$featul->post(title => 'Behind a door', board_id => 'private');
my $id = $featul->post(title => 'The next real one');
$featul->sql("INSERT INTO vote (id, post_id, fingerprint, type) VALUES ('v', '$id', 'other', 'upvote')");
$featul->wait_for_requests(1, host => 'hooks.slack.com');
$featul->wait_until_settled;
is(titles(), 'The next real one', 'the import, the private board and other events reach nobody');
is($featul->sql('SELECT count(*) FROM featul_integrations.event'), 1, 'nor were they queued');

# the settings page goes on writing to its own table
$featul->sql("UPDATE workspace_integration SET is_active = false WHERE id = 'i1'");
$featul->post(title => 'Switched off');
$featul->sql("UPDATE workspace_integration SET is_active = true WHERE id = 'i1'");
$featul->post(title => 'Switched on');
$featul->sql("UPDATE subscription SET status = 'canceled'");
$featul->post(title => 'Lapsed');
is($featul->sql_as('olivia', "SELECT status FROM integration_list('acme')"), 'inactive', 'the list says that the plan has lapsed')
  if $featul->sql("SELECT count(*) FROM pg_proc WHERE proname = 'integration_events'");
$featul->sql("UPDATE subscription SET status = 'active'");
$featul->post(title => 'Renewed');
$featul->wait_until_settled;
$featul->sql("DELETE FROM workspace_integration WHERE id = 'i1'");
$featul->post(title => 'Gone');
$featul->sql("INSERT INTO workspace_integration (id, workspace_id, type, webhook_url) "
	  . "VALUES ('i2', 'acme', 'slack', 'https://hooks.slack.com/services/T0000/B0000/slacksecret')");
$featul->post(title => 'Back');
$featul->wait_for_requests(4, host => 'hooks.slack.com');
$featul->wait_until_settled;
unlike(titles(), qr/Switched off|Lapsed|Gone/, 'a plan or an integration that is off counts at once');
like(titles(), qr/Back$/, 'and so does one that is back');

$node->stop;
done_testing;
