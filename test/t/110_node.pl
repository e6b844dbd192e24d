
# A delivery node: set up by the files in deploy/node, its statistics and what it warns of.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use DeliveryNode;
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $pair = DeliveryNode->new(connect => ['webhook'], before => sub {
	my ($pair) = @_;

	$pair->app(q(INSERT INTO post (id, board_id, title, content) VALUES ('old', 'ideas', 'Old', 'x')));
});
my $node = $pair->node;

is($node->sql(q(SELECT string_agg(state, ',') FROM featul_integrations.stat_subscription)), 'streaming', 'streaming');
is($node->sql('SELECT count(*) FROM post'), '1', 'the first copy came');
is($node->sql('SELECT count(*) FROM featul_integrations.event'), '0', 'and was silent');
diag($node->sql('SELECT * FROM featul_integrations.replication_problems()'));
diag($node->sql('SELECT featul_integrations.publication()'));
diag($node->sql('SELECT * FROM featul_integrations.stat_subscription'));
diag($node->sql('\d post'));
done_testing();
