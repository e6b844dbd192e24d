# pg_upgrade: nothing is sent while it runs; afterwards delivery goes on by itself from where
# it was, and the log, the marks and the bindings are there.
#
# From the server in FEATUL_OLD_SERVER (a folder with bin/, where the extension is installed
# too; test/matrix names one), else from the same version.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Featul;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @old_server = $ENV{FEATUL_OLD_SERVER} ? (install_path => $ENV{FEATUL_OLD_SERVER}) : ();

# What pg_upgrade must carry over and nothing changes later, as text.
my $state = <<'END';
SELECT 'event', e.id || ' ' || e.webhook_id || ' ' || md5(e.payload::text) FROM featul_integrations.event e
UNION ALL SELECT 'attempt', a.delivery_id || ' ' || a.state || ' ' || a.at FROM featul_integrations.attempt a
	WHERE a.state = 'pending' OR a.event_id = (SELECT min(id) FROM featul_integrations.event)
UNION ALL SELECT 'integration', i::text FROM featul_integrations.integration i
UNION ALL SELECT 'binding', b::text FROM featul_integrations.binding b
UNION ALL SELECT 'mark', m::text FROM featul_integrations.mark m
UNION ALL SELECT 'imported', m::text FROM featul_integrations.imported m
ORDER BY 1, 2
END

# The webhook-ids of what is pending for the endpoint, in the order it is to arrive in.
my $pending = <<'END';
SELECT string_agg('msg_' || e.webhook_id, ',' ORDER BY q.id)
FROM featul_integrations.queue q JOIN featul_integrations.event e ON e.id = q.event_id
JOIN featul_integrations.integration i ON i.id = q.integration_id AND i.type = 'webhook'
END

# A cluster that has delivered one post, has three deliveries in back-off and six behind them,
# and is stopped; with it what is in its tables and what is pending.
sub old_cluster
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, @old_server);
	my $featul = Featul->new(name => $name, node => $node, attach => 0);

	# a database whose oid is neither fixed, as that of postgres is, nor a new cluster's first
	$node->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(other app);
	$node->safe_psql('postgres', 'DROP DATABASE other');
	$featul->{dbname} = 'app';
	$featul->set_up_database('app');
	$featul->connect($_) foreach qw(slack discord webhook);

	$featul->sql("INSERT INTO post (id, board_id, title, content, slug) VALUES ('told', 'ideas', 'told', 'c', 'told')");
	$featul->wait_for_requests(3);
	$featul->wait_until_settled;
	$featul->sql("UPDATE post SET status = 'archived' WHERE id = 'told'");

	$featul->set('retry_delay', '1h');
	$featul->script({ '' => [ { status => 500 } ] });
	$featul->sql("INSERT INTO post (id, board_id, title, content, slug) VALUES ('late', 'ideas', 'late', 'c', 'late')");
	$featul->wait_for_requests(3, status => 500);
	$featul->wait_for_sql('SELECT count(*) = 3 FROM featul_integrations.queue WHERE attempts = 1');
	$featul->sql("UPDATE post SET roadmap_status = '$_' WHERE id = 'late'") foreach qw(planned completed);
	$featul->set('delivery', 'off');
	$featul->sql('UPDATE featul_integrations.queue SET next_attempt_at = NULL');
	my @before = ($featul->sql($state), $featul->sql($pending));
	$node->stop;

	# as soon as it is started again, it may deliver, and the endpoints are kind
	unlink($node->data_dir . '/postgresql.auto.conf');
	$featul->script({});
	$featul->forget;
	return ($featul, @before);
}

# A new, empty cluster for the same extension and endpoints, stopped.
sub new_cluster
{
	my ($name, $featul) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $version = $node->config_data('--version') =~ /PostgreSQL (\d+)/ ? $1 : 0;

	# on by default since 18, and both clusters must agree
	$node->init(extra => $version >= 18 ? ['--no-data-checksums'] : []);
	$node->append_conf('postgresql.conf', $featul->conf);
	return $node;
}

chdir $PostgreSQL::Test::Utils::tmp_check;    # where pg_upgrade leaves its scripts
foreach my $suffix (qw(copy link))
{
	my @mode = $suffix eq 'link' ? ('--link') : ();    # copying is the default
	my ($featul, $old_state, $old_pending) = old_cluster("old_$suffix");
	my $old = $featul->node;
	my $new = new_cluster("new_$suffix", $featul);

	ok( run_log(
			[   'pg_upgrade', '--no-sync', @mode, '-d', $old->data_dir, '-D', $new->data_dir,
				'-b', $old->config_data('--bindir'), '-B', $new->config_data('--bindir'),
				'-s', $new->host, '-p', $old->port, '-P', $new->port ]),
		"pg_upgrade by $suffix from " . $old->config_data('--version')) or last;
	is(scalar($featul->requests), 0, 'nothing is sent by either server meanwhile');

	$featul->{node} = $new;
	$new->start;
	$featul->wait_for_requests(9);
	$featul->wait_until_settled;
	my @told = $featul->requests(host => 'hook.example.com');
	is(join(',', map { $_->{headers}{'webhook-id'} } @told),
		$old_pending, 'what was pending arrives, as what it was, in order, with nothing done');
	is(join(',', map { $_->{json}{event} } @told),
		'post.created,post.status_changed,post.status_changed', 'all three of the post');
	is($featul->sql($state), $old_state, 'events, log, integrations, bindings and marks are as they were');
	is( $featul->sql("SELECT DISTINCT state, attempts FROM featul_integrations.attempt"
			  . " WHERE state = 'delivered' ORDER BY 1, 2"),
		"delivered|1\ndelivered|2", 'attempts from before count');
	is($featul->sql_as('olivia', "SELECT DISTINCT is_active, status FROM integration_list('acme')"),
		't|active', 'the integrations are active');

	$featul->forget;
	$featul->sql("UPDATE post SET status = 'published' WHERE id = 'told'");
	$featul->post(title => 'new');
	$featul->wait_for_requests(3);
	$featul->wait_until_settled;
	is(join(',', map { $_->{json}{post}{title} } $featul->requests(host => 'hook.example.com')),
		'new', 'what happens from now on is captured; what was announced is not again');
	unlike(slurp_file($new->logfile), qr/WARNING/, 'nothing to warn of');
	$new->stop;
}

done_testing();
