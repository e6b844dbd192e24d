# Who listens is told of what happened, by workspace; who does not costs nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use Listener;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(connect => ['webhook']);
my $node = $featul->node;
my $lock = 'SELECT pg_advisory_lock_shared(112585612752236)';

my $listener = Listener->new($node);

# Nobody says that he listens: nothing is told, though a session does
$listener->run('LISTEN featul_integrations_deliveries');
$featul->post(title => 'Unheard');
$featul->wait_until_settled;
unlike($listener->run('SELECT 1'), qr/Asynchronous/, 'who does not say that he listens is not told');

# Who holds the lock is told, once for a workspace and batch
$listener->run($lock);
$featul->workspace('other', webhook => 'https://other.example.com/');
$featul->post(title => 'Heard');
$featul->post(title => 'Heard there', board_id => 'other-ideas');
$featul->wait_until_settled;
my $heard = '';
Featul::wait_for(
	sub {
		$heard .= $listener->run('SELECT 1');
		$heard =~ /"featul_integrations_deliveries" with payload "acme"/ && $heard =~ /with payload "other"/;
	},
	'the listener to hear of both workspaces');
unlike($heard, qr/Heard|example\.com/, 'a notification says nothing but the workspace');

$listener->run('SELECT 1');
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) SELECT gen_random_uuid(), 'ideas', 'post ' || g, 'x', gen_random_uuid() FROM generate_series(1, 300) g");
$featul->wait_until_settled;
$heard = $listener->run('SELECT 1');
cmp_ok(scalar(() = $heard =~ /with payload "acme"/g), '<', 150, 'many results are told of together');

# A failed attempt is told as well
$listener->run('SELECT 1');
$featul->script({ 'hook.example.com/' => [ { status => 500, times => 1 }, {} ] });
$featul->set('retry_delay', '1h');
$featul->post(title => 'Fails at first');
$heard = '';
Featul::wait_for(sub { $heard .= $listener->run('SELECT 1'); $heard =~ /with payload "acme"/ }, 'the listener to hear of a failure');

# The lock held by somebody else, and exclusively, delays nothing
$featul->script({});
my $other = $node->background_psql('postgres');
$listener->run('SELECT pg_advisory_unlock_all()');
$other->query_safe('SELECT pg_advisory_lock(112585612752236)');
$featul->forget;
$featul->post(title => 'Still delivered');
ok($featul->wait_for_requests(1, host => 'hook.example.com'), 'a lock held exclusively delays nothing');
$other->quit;

$listener->quit;
done_testing();
