
=head1 NAME

Crash - processes that end at random moments under load

=head1 SYNOPSIS

  my $crash = Crash->new($featul, Load->new($featul));
  $crash->rounds(20, [ [ 'kill -9 of the worker' => sub { $crash->kill_nine($where) } ], ... ]);
  $featul->wait_until_settled;
  my $figures = $crash->check_books(20);

=cut

package Crash;

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

=head2 Crash->new($featul, $load)

One in twenty requests fails from now on.

=cut

sub new
{
	my ($class, $featul, $load) = @_;

	$featul->script({ 'hook.example.com/' => [ { status => 500, chance => 0.05 } ] });
	return bless { featul => $featul, load => $load }, $class;
}

# How many requests the receiver has got; cheap enough to be asked all the time.
sub received
{
	my ($self) = @_;

	return scalar(slurp_file($self->{featul}->dir . '/record.jsonl') =~ tr/\n//);
}

# Waits until it has got so many more.
sub wait_for_more
{
	my ($self, $count, $what) = @_;
	my $target = $self->received + $count;

	Featul::wait_for(sub { $self->received >= $target }, $what);
	return;
}

=head2 $crash->kill_nine($where)

Kills one process of the node, chosen by a condition over pg_stat_activity.

=cut

sub kill_nine
{
	my ($self, $where) = @_;
	my $pid;

	Featul::wait_for(
		sub {
			# may fail while the server restarts
			my ($status, $found) = $self->{featul}->node->psql('postgres',
				"SELECT pid FROM pg_stat_activity WHERE $where ORDER BY random() LIMIT 1");
			$pid = $found if $status == 0;
			return $pid;
		},
		"a process: $where");
	kill 'KILL', $pid;
	return;
}

=head2 kill_postmaster($cluster)

Kills it with all its processes, and starts it again.

=cut

sub kill_postmaster
{
	my ($cluster) = @_;
	my ($pid) = slurp_file($cluster->data_dir . '/postmaster.pid') =~ /^(\d+)/;

	$cluster->kill9;
	Featul::wait_for(sub { !kill 0, $pid }, 'the end of the postmaster');
	# its children have to notice and leave first
	Featul::wait_for(sub { $cluster->start(fail_ok => 1) }, 'a new postmaster');
	return;
}

=head2 lose_machine($cluster)

Ends all its processes at once, as a machine that is lost does: none sees another end, and
does anything about it.

=cut

sub lose_machine
{
	my ($cluster) = @_;
	my ($postmaster) = slurp_file($cluster->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	my @children;

	kill 'STOP', $postmaster;
	foreach my $stat (glob '/proc/[0-9]*/stat')
	{
		open(my $file, '<', $stat) or next;    # it has ended
		push @children, $1 if (readline($file) // '') =~ /^(\d+) .*\) \S $postmaster /;
	}
	kill 'STOP', @children;
	kill 'KILL', @children;
	$cluster->kill9;
	return;
}

=head2 $crash->rounds($rounds, \@crashes, $before)

Puts the load on, makes the crashes (a name and what to do) in turn, each after some dozens
of requests, and takes the load off.  $before->($round), if given, comes before each.

=cut

sub rounds
{
	my ($self, $rounds, $crashes, $before) = @_;

	$self->{load}->start(rate => 100);
	foreach my $round (1 .. $rounds)
	{
		my ($name, $crash) = @{ $crashes->[ $round % @$crashes ] };

		$before->($round) if $before;
		$self->wait_for_more(1 + int(rand(60)), "deliveries before: $name");
		$crash->();
		note "round $round: $name";
	}
	$self->wait_for_more(20, 'deliveries after the last crash');
	$self->{load}->stop;
	return;
}

=head2 $crash->check_books($rounds)

Call it when nothing is pending: what was committed has arrived.  Returns the figures.

=cut

sub check_books
{
	my ($self, $rounds) = @_;
	my ($problems, $figures) = $self->{load}->books;

	note join ', ', map { "$_: $figures->{$_}" } sort keys %$figures;
	is(join("\n", @$problems), '',
		'what was committed arrived in order, under one webhook-id each; nothing else did');
	cmp_ok($figures->{changes}, '>', $rounds * 10, 'there was something to lose');
	cmp_ok($figures->{failures}, '>', 0, 'and failures to retry');
	is( $self->{featul}->sql('SELECT count(*) FROM featul_integrations.deliveries'),
		$figures->{changes}, 'each change has its delivery');
	return $figures;
}

1;
