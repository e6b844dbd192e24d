
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

done_testing();
