# A psql that stays open, of a role without any rights: what it is notified of.
#
#   my $listener = Listener->new($node);
#   $listener->run('LISTEN channel');       what is printed, notifications among it
#   $listener->quit;

package Listener;

use strict;
use warnings;

use Featul;
use IPC::Run;

sub new
{
	my ($class, $node) = @_;
	my $self = bless { in => '', out => '', err => '' }, $class;

	$node->safe_psql('postgres', 'CREATE ROLE listener LOGIN')
	  unless $node->safe_psql('postgres', q(SELECT to_regrole('listener')));
	$self->{psql} = IPC::Run::start(
		[ 'psql', '-XAtq', '-U', 'listener', '-d', $node->connstr('postgres') ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err});
	return $self;
}

sub run
{
	my ($self, $sql) = @_;

	@$self{qw(out in)} = ('', "$sql;\n\\echo done\n");
	Featul::wait_for(sub { $self->{psql}->pump_nb; $self->{out} =~ /^done$/m }, "the listener to run $sql");
	return $self->{out};
}

sub quit
{
	my ($self) = @_;

	$self->{in} = "\\q\n";
	return $self->{psql}->finish;
}

1;
