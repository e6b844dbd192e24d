# A setting that cannot be understood when the server starts stops deliveries and nothing
# else: they wait, with no attempt used up, until a reload with a good value.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new;
my $node = $featul->node;
my $auto = $node->data_dir . '/postgresql.auto.conf';

# Starts the server with a line as the last one of its settings
sub start_with
{
	my ($line) = @_;

	$node->stop;
	append_to_file($auto, "$line\n");
	return $node->start;
}

# ... and takes it away again, or puts another in its place
sub correct
{
	my ($line) = @_;
	my $text = slurp_file($auto);

	$text =~ s/[^\n]*\n\z//;
	open(my $file, '>', $auto) or die "$auto: $!";
	print $file $text, $line ? "$line\n" : '';
	close($file) or die "$auto: $!";
	return $node->reload;
}

# The worker waits for valid settings, and says so; a post goes nowhere
sub waits_ok
{
	my ($name, $why) = @_;

	$featul->wait_for_sql("SELECT last_error LIKE '%$why%' FROM featul_integrations.stat_worker");
	$featul->post(title => $name);
	$featul->wait_for_sql(q(SELECT query = 'waiting for valid settings' FROM pg_stat_activity WHERE backend_type = 'featul_integrations worker'));
	is($featul->sql(q(SELECT string_agg(DISTINCT state || attempts, ',') FROM featul_integrations.deliveries WHERE state <> 'delivered')),
		'pending0', "$name: the delivery waits, with no attempt used up");
	is(scalar($featul->requests), 0, "$name: nothing is sent");
	my @said = grep { /WARNING:  featul_integrations worker: nothing is delivered: .*\Q$why\E/ } split /\n/, slurp_file($node->logfile, $featul->{log_offset} // 0);
	is(scalar(@said), 1, "$name: said once");
	return;
}

# Then all of it is delivered
sub delivers_ok
{
	my ($name, $count) = @_;

	$featul->wait_until_settled;
	is(scalar($featul->requests(event => 'post.created', host => 'hook.example.com')), $count, "$name: a reload is enough");
	$featul->forget;
	$featul->{log_offset} = -s $node->logfile;
	return;
}

my $gone = $featul->dir . '/gone.pem';
my @bad = (
	[ delivery => "'disabled'", 'featul_integrations.delivery' ],
	[ proxy => "'not://a:proxy'", 'featul_integrations.proxy' ],
	[ ca_file => "'$gone'", 'featul_integrations.ca_file' ],
	[ allowed_networks => "'10.0.0.0/99'", 'featul_integrations.allowed_networks' ],
	[ retry_delay => "'soon'", 'featul_integrations.retry_delay' ]);
foreach my $bad (@bad)
{
	my ($name, $value, $why) = @$bad;

	start_with("featul_integrations.$name = $value");
	waits_ok("$name = $value", $why);
	like($featul->sql('SELECT worst_error FROM featul_integrations.report() WHERE type IS NULL'), qr/^$name /, "$name: report() names it");
	correct();
	delivers_ok("$name = $value", 1);
}

# Another bad value is no better, a good one is
start_with("featul_integrations.delivery = 'disabled'");
waits_ok('still bad', 'featul_integrations.delivery');
correct("featul_integrations.delivery = 'maybe'");
$featul->post(title => 'still bad');
$featul->wait_for_sql(q(SELECT count(*) = 6 FROM featul_integrations.deliveries WHERE state = 'pending'));
correct("featul_integrations.delivery = 'on'");
delivers_ok('then a good one', 2);

# Given on the command line, which no reload changes, it stays so, whatever a file says
$node->stop;
append_to_file($auto, "featul_integrations.proxy = ''\n");
system_or_bail('pg_ctl', '-w', '-s', '-D', $node->data_dir, '-l', $node->logfile, '-o', '-c featul_integrations.proxy=not://a:proxy', 'start');
$node->_update_pid(1);
waits_ok('on the command line', 'featul_integrations.proxy');
foreach my $change ('', 'featul_integrations.retry_delay = 50ms', "featul_integrations.proxy = 'http://127.0.0.1:9'")
{
	my $before = $featul->sql('SELECT now()');

	append_to_file($auto, "$change\n") if $change;
	$node->reload;
	$featul->wait_for_sql("SELECT config_loaded_at > '$before' FROM featul_integrations.stat_worker");
	is($featul->sql(q(SELECT query FROM pg_stat_activity WHERE backend_type = 'featul_integrations worker')), 'waiting for valid settings', "a reload changes nothing: $change");
}
correct() foreach 1 .. 3;
$node->stop; # a restart would keep the command line
$node->start;
delivers_ok('without it', 1);

# What may be dialled holds for test calls too; whether to deliver does not.
start_with("featul_integrations.delivery = 'disabled'");
is($featul->sql_as('olivia', q(SELECT success FROM integration_test('acme', 'webhook'))), 't', 'a test call works with delivery off');
correct();
start_with("featul_integrations.proxy = 'not://a:proxy'");
my ($status, $out, $err) = $node->psql('postgres',
	q(SET featul_integrations.user_id = 'olivia'; SELECT integration_test('acme', 'webhook')));
like($err, qr/DETAIL:  featul_integrations.proxy cannot be used: the server log says why/, 'but goes round no proxy');
correct();

# A CA bundle that has become unreadable at a reload: nothing is trusted, instead of something else.
my $bundle = $featul->dir . '/bundle.pem';
append_to_file($bundle, slurp_file($featul->dir . '/certs/ca.pem'));
$featul->forget;
$featul->set('ca_file', $bundle);
$featul->post(title => 'with the bundle');
$featul->wait_until_settled;
$featul->forget;
$featul->{log_offset} = -s $node->logfile;
unlink $bundle;
$node->reload;
waits_ok('without the bundle', 'cannot be read: No such file or directory');
append_to_file($bundle, slurp_file($featul->dir . '/certs/ca.pem'));
$node->reload;
delivers_ok('with it again', 1);

done_testing();
