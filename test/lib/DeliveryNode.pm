
=head1 NAME

DeliveryNode - a publisher without the extension, and a node that subscribes to it

=head1 SYNOPSIS

  my $pair = DeliveryNode->new;             # all three types connected on the node
  $pair->app("INSERT INTO post ...");       # the application's database
  $pair->catch_up;
  my @requests = $pair->node->wait_for_requests(3);    # see Featul

Both sides are set up by the files in deploy/node, as the documentation says.

=cut

package DeliveryNode;

use strict;
use warnings;

use Featul;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our $deploy_dir = "$Featul::test_dir/../deploy/node";

=head1 METHODS

=head2 DeliveryNode->new(%options)

  connect        => list of types to connect on the node, [qw(slack discord webhook)]
  node_conf      => further lines of the node's postgresql.conf
  publisher_conf => of the publisher's
  before         => a sub that is called with the object when the publisher's tables and
                    data are there, and nothing else of the pair is
  subscribe      => 0: the node has neither tables nor subscription

=cut

sub new
{
	my ($class, %options) = @_;
	my $self = bless {%options}, $class;

	$self->{publisher} = PostgreSQL::Test::Cluster->new('publisher');
	$self->publisher->init(allows_streaming => 'logical');
	$self->publisher->append_conf('postgresql.conf', $options{publisher_conf} // '');
	$self->publisher->start;
	# its processes end before Featul's do, which would wait for the subscription's
	$self->{node} = Featul->new(name => 'node', attach => 0, conf => <<"END");
max_worker_processes = 20
max_logical_replication_workers = 8
max_sync_workers_per_subscription = 4
wal_retrieve_retry_interval = 100ms
@{[ $options{node_conf} // '' ]}
END
	Featul->create_application($self->publisher, 'postgres');
	$options{before}->($self) if $options{before};
	$self->publisher->safe_psql(
		'postgres',
		slurp_file("$deploy_dir/publisher.sql"),
		extra_params => [ '-v', 'password=secret' ]);
	return $self if defined $options{subscribe} && !$options{subscribe};

	$self->set_up;
	$self->node->connect($_) foreach @{ $options{connect} // [qw(slack discord webhook)] };
	return $self;
}

=head2 $pair->node, $pair->publisher

A Featul with the node's cluster; the PostgreSQL::Test::Cluster of the application's
database.

=cut

sub node { return $_[0]->{node} }
sub publisher { return $_[0]->{publisher} }

=head2 $pair->publisher_conninfo

=cut

sub publisher_conninfo
{
	my ($self) = @_;

	return $self->publisher->connstr('postgres') . ' user=featul_node';
}

=head2 $pair->set_up(%environment)

deploy/node/set-up for the node's database; waits until all is copied.

=cut

sub set_up
{
	my ($self, %environment) = @_;
	my $cluster = $self->node->node;

	local %ENV = (
		%ENV,
		PGHOST => $cluster->host,
		PGPORT => $cluster->port,
		PGDATABASE => 'postgres',
		FEATUL_PUBLISHER => $self->publisher_conninfo,
		%environment);
	system_or_bail("$deploy_dir/set-up");
	$self->wait_until_streaming;
	return;
}

=head2 $pair->wait_until_streaming

=cut

sub wait_until_streaming
{
	my ($self) = @_;

	return $self->node->wait_for_sql(
		q(SELECT bool_and(state = 'streaming') FROM featul_integrations.stat_subscription));
}

=head2 $pair->app($query)

safe_psql in the application's database.

=cut

sub app
{
	my ($self, $query) = @_;

	return $self->publisher->safe_psql('postgres', $query);
}

=head2 $pair->catch_up

Waits until the node has what the publisher has committed so far.

=cut

sub catch_up
{
	my ($self) = @_;

	$self->publisher->wait_for_catchup('featul');
	return;
}

=head2 $pair->catch_up_and_settle

And until it has sent all of it.

=cut

sub catch_up_and_settle
{
	my ($self) = @_;

	$self->catch_up;
	$self->node->wait_until_settled;
	return;
}

1;
