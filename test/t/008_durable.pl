# What is told is on disk: with synchronous_commit = off a transaction is visible
# before it is flushed, and a crash takes it back.  What was recorded as delivered
# stays recorded.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# nobody but the worker flushes anything soon
my $featul = Featul->new(
	connect => ['webhook'],
	conf => "wal_writer_delay = '10s'\nwal_writer_flush_after = 0\nfsync = on");

# The server dies as in a power cut: what was not flushed is gone.
sub crash
{
	$featul->node->stop('immediate');
	$featul->node->start;
	return;
}

sub posts
{
	return $featul->sql('SELECT string_agg(title, \',\' ORDER BY title) FROM post');
}

$featul->sql('CHECKPOINT');

# One event, committed without waiting for its flush.
$featul->sql(<<'END');
SET synchronous_commit = off;
INSERT INTO post (id, board_id, title, content, slug) VALUES ('p1', 'ideas', 'one', 'c', 'one');
END
$featul->wait_for_requests(1, event => 'post.created');
crash();
is(posts(), 'one', 'a post that was told is there after a crash');

# What was delivered, and seen as delivered, is not sent again.
$featul->wait_until_settled;
$featul->forget;
foreach my $n (1 .. 20)
{
	$featul->sql(<<"END");
INSERT INTO post (id, board_id, title, content, slug) VALUES ('q$n', 'ideas', 'many', 'c', 'q$n');
END
}
$featul->wait_until_settled;
crash();
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) VALUES ('r', 'ideas', 'last', 'c', 'last')");
$featul->wait_for_requests(1, where => sub { $_[0]->{json}{post}{title} eq 'last' });
$featul->wait_until_settled;
my %times;
$times{ $_->{headers}{'webhook-id'} // '' }++ foreach $featul->requests;
is_deeply([ sort { $a <=> $b } values %times ], [ (1) x 21 ],
	'what was recorded as delivered before a crash is not sent again');

# Many at once, under load, with the crash in the middle: nothing is told that is not there.
$featul->forget;
my $load = $featul->node->background_psql('postgres');
$load->query_safe('SET synchronous_commit = off');
$load->query_safe("INSERT INTO post (id, board_id, title, content, slug) VALUES ('s$_', 'ideas', 's$_', 'c', 's$_')")
  foreach 1 .. 300;
$featul->wait_for_requests(50);
$featul->node->stop('immediate');
$load->{run}->finish if $load->{run};
my %told = map { $_->{json}{post}{id} => 1 } $featul->requests;
$featul->node->start;
my %there = map { $_ => 1 } split /\n/, $featul->sql('SELECT id FROM post');
is_deeply([ grep { !$there{$_} } sort keys %told ], [],
	'of many posts none is told that a crash takes back');

done_testing();
