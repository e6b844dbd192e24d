
# The application's own settings page on a delivery node: its table workspace_integration is
# replicated, and followed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use DeliveryNode;
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $pair = DeliveryNode->new(
	subscribe => 0,
	before => sub {
		$_[0]->app("INSERT INTO workspace_integration (id, workspace_id, type, webhook_url) VALUES ('s', 'acme', 'slack', '$Featul::url{slack}')");
	});
my $node = $pair->node;
my $connected = q(SELECT coalesce(string_agg(type || ' ' || is_active, ', ' ORDER BY type), '') FROM featul_integrations.integration);

$pair->set_up(FEATUL_FOLLOW => 'yes');
is($node->sql($connected), 'slack true', 'what was connected there is taken over');

# Changes there, and what is connected here then
sub after
{
	my ($statement, $expected, $name) = @_;

	$pair->app($statement);
	$pair->catch_up;
	is($node->sql($connected), $expected, $name);
	return;
}
after("INSERT INTO workspace_integration (id, workspace_id, type, webhook_url) VALUES ('d', 'acme', 'discord', '$Featul::url{discord}')",
	'discord true, slack true', 'connected there');
after(q(UPDATE workspace_integration SET is_active = false WHERE id = 's'), 'discord true, slack false', 'switched off there');
after(q(UPDATE workspace_integration SET is_active = true WHERE id = 's'), 'discord true, slack true', 'and on again');
after(q(UPDATE workspace_integration SET webhook_url = 'http://127.0.0.1/' WHERE id = 'd'),
	'discord true, slack true', 'a URL that is refused stops nothing');
after(q(DELETE FROM workspace_integration WHERE id = 's'), 'discord true', 'disconnected there');
$node->forget;
$pair->app(q(INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('p', 'ideas', 'P', '-', 'p', 'mina')));
my @requests = $node->wait_for_requests(1);
is($requests[0]{host}, 'discord.com', 'and it is told where the page says');
is($node->sql(q(SELECT bool_and(state = 'streaming') FROM featul_integrations.stat_subscription)), 't', 'replication goes on');

# the slot is lost, and settings and workspaces change meanwhile
$pair->app(<<"END");
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('gone', 'Gone', 'gone', 'starter', 'olivia', '-');
INSERT INTO workspace_integration (id, workspace_id, type, webhook_url) VALUES
	('s2', 'acme', 'slack', '$Featul::url{slack}'), ('s3', 'gone', 'slack', '$Featul::url{slack}');
END
$pair->catch_up;
$node->connect('webhook');
$node->connect('webhook', workspace => 'gone');
is($node->sql($connected), 'discord true, slack true, slack true, webhook true, webhook true', 'before the slot is lost');
$node->sql($_) foreach 'ALTER SUBSCRIPTION featul DISABLE', 'ALTER SUBSCRIPTION featul SET (slot_name = NONE)';
$pair->app(q(DELETE FROM workspace_integration WHERE type = 'slack'; DELETE FROM workspace WHERE id = 'gone'));
$pair->publisher->poll_query_until('postgres', 'SELECT NOT active FROM pg_replication_slots');
$pair->app(q(SELECT pg_drop_replication_slot('featul')));
$node->sql('TRUNCATE workspace_integration');
$node->sql(q(SELECT integration_import('public', follow => true)));
is($node->sql($connected), 'discord true, slack true, slack true, webhook true, webhook true',
	'tables that are emptied here, and not copied, say nothing of settings');
my $page = slurp_file("$Featul::test_dir/../docs/node.md");
my ($resync, $afterwards) = map { $page =~ /<!-- node: $_ -->\n```sql\n(.*?)```/s } qw(resync orphans);
$node->sql($_) foreach grep { /\S/ && !/slot_name|DISABLE/ } split /;/, $resync;
$pair->set_up(FEATUL_FOLLOW => 'yes');
is($node->sql($connected), 'discord true, webhook true, webhook true', 'what was disconnected there meanwhile is so here');
$node->sql($afterwards);
is($node->sql($connected), 'discord true, webhook true', 'and what the workspaces had that are gone, goes');
is($node->sql('SELECT workspace_id, type FROM featul_integrations.imported'), 'acme|discord', 'nothing is kept of them');
after("INSERT INTO workspace_integration (id, workspace_id, type, webhook_url) VALUES ('s4', 'acme', 'slack', '$Featul::url{slack}')",
	'discord true, slack true, webhook true', 'it goes on following');

done_testing();
