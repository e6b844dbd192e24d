# No wake-up is lost: whatever commits while the worker reads, naps or is about to
# sleep, it does not sleep while something is pending.
#
# A worker that has been woken is runnable, however busy the machine is: so one that
# stays asleep, without being woken in between, while a committed row waits for it has
# missed something.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $featul = Featul->new(connect => ['webhook']);
my $sleeper = $featul->sql('SELECT pid FROM featul_integrations.stat_worker');
my $rounds = 3000;

# (state, times it went to sleep) of the worker
sub sleep_of
{
	my $status = slurp_file("/proc/$sleeper/status");

	return $status =~ /^State:\s+(\S)/m ? ($1, $status =~ /^voluntary_ctxt_switches:\s+(\d+)/m) : ('?', 0);
}

# Rows that wait although the worker is asleep and nothing happens.
sub overslept
{
	my ($session) = @_;
	my ($before, $count) = sleep_of();

	return 0 if $before ne 'S';
	usleep(30_000);
	return 0 if $session->query_safe('SELECT count(*) FROM featul_integrations.queue') eq '0';
	my ($after, $again) = sleep_of();
	return $after eq 'S' && $again == $count && $featul->sql('SELECT in_flight FROM featul_integrations.stat_worker') eq '0';
}

my $session = $featul->node->background_psql('postgres', on_error_stop => 1);
my $missed = 0;
my $n = 0;
foreach my $round (1 .. $rounds)
{
	foreach (0 .. $round % 3)
	{
		$session->query_safe('INSERT INTO post (id, board_id, title, content, slug) '
			  . "VALUES ('w" . $n++ . "', 'ideas', 't', 'c', 's' || gen_random_uuid())");
		usleep(int(rand(4_000)));
	}
	until ($session->query_safe('SELECT count(*) FROM featul_integrations.queue') eq '0')
	{
		next unless overslept($session);
		$missed++;
		$featul->sql("INSERT INTO post (id, board_id, title, content, slug) VALUES ('x$round', 'ideas', 't', 'c', 's' || gen_random_uuid())");
	}
}
is($missed, 0, "in $rounds rounds of commits close together the worker never slept over one");

done_testing();
