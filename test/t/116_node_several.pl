
# Several nodes of one publisher, each with the integrations of its own workspaces; and a
# publisher with another encoding.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use DeliveryNode;
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $pair = DeliveryNode->new(connect => []);
my ($node, $publisher) = ($pair->node, $pair->publisher);
$pair->app(<<'END');
INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('west', 'West', 'west', '-', 'starter', 'olivia');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('west-ideas', 'west', 'Ideas', 'ideas', 'olivia');
CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
END

# A further database of the node's cluster that is a node of its own
sub further_node
{
	my ($name, $publisher_database) = @_;

	$node->sql("CREATE DATABASE $name TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'");
	$pair->set_up(
		PGDATABASE => $name,
		FEATUL_SUBSCRIPTION => $name,
		FEATUL_PUBLISHER => $publisher->connstr($publisher_database) . ' user=featul_node');
	$node->node->poll_query_until($name, q(SELECT bool_and(state = 'streaming') FROM featul_integrations.stat_subscription))
	  or die "$name does not stream";
	return;
}

sub connect_in
{
	my ($name, $workspace) = @_;

	$node->node->safe_psql($name, "SET featul_integrations.operator = on;
		SELECT integration_connect('$workspace', 'webhook', 'https://$name.example.com/$workspace')");
	return;
}

# Two nodes
further_node('second', 'postgres');
connect_in('postgres', 'acme');
connect_in('second', 'west');
$pair->app(<<'END');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('a', 'ideas', 'A', '-', 'a'), ('w', 'west-ideas', 'W', '-', 'w');
END
is(join(' ', sort map { "$_->{host}:$_->{json}{post}{id}" } $node->wait_for_requests(2)),
	'postgres.example.com:a second.example.com:w', 'each node tells of its own workspaces');

# One that stands still holds up nobody
$node->node->safe_psql('second', 'ALTER SUBSCRIPTION second DISABLE');
$node->forget;
$pair->app(<<'END');
INSERT INTO post (id, board_id, title, content, slug) VALUES ('a2', 'ideas', 'A', '-', 'a2'), ('w2', 'west-ideas', 'W', '-', 'w2');
END
is(($node->wait_for_requests(1))[0]{json}{post}{id}, 'a2', 'a node that stands still does not hold up the other');
my $ready = slurp_file("$DeliveryNode::deploy_dir/ready.sql");
is($node->sql($ready), 't', 'which is ready');
is($node->node->safe_psql('second', $ready), 'f', 'while that is not');
$node->node->safe_psql('second', 'ALTER SUBSCRIPTION second ENABLE');
is(join(' ', map { $_->{json}{post}{id} } $node->wait_for_requests(2)), 'a2 w2', 'and has missed nothing');

# A publisher in Latin-1
Featul->create_application($publisher, 'latin');
my ($tables) = slurp_file("$DeliveryNode::deploy_dir/publisher.sql") =~ /^(GRANT.*)/ms;
$publisher->safe_psql('latin', $tables);
further_node('latin', 'latin');
connect_in('latin', 'acme');
$node->forget;
$publisher->safe_psql('latin', <<'END');
SET client_encoding = 'UTF8';
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ('l', 'ideas', 'Größe: ½ café', 'ÿ', 'l', 'mina');
UPDATE post SET roadmap_status = 'geprüft' WHERE id = 'l';
END
my @requests = $node->wait_for_requests(2);
is($requests[0]{json}{post}{title}, "Gr\x{f6}\x{df}e: \x{bd} caf\x{e9}", 'what comes in Latin-1 is told in UTF-8');
is($requests[1]{json}{changes}{status}{to}, "gepr\x{fc}ft", 'in its changes too');

done_testing();
