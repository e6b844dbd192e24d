
=head1 NAME

Featul - a cluster with featul's tables and a TLS receiver, for TAP tests

=head1 SYNOPSIS

  use FindBin;
  use lib "$FindBin::RealBin/../lib";
  use Featul;

  my $featul = Featul->new;    # a running node, slack, discord and webhook connected
  $featul->script({ 'hook.example.com/' => [ { status => 500, times => 2 }, {} ] });
  $featul->post(title => 'Dark mode');
  my @requests = $featul->wait_for_requests(3, host => 'hook.example.com');

Run as a user PostgreSQL accepts, not as root.

The data: users olivia (owner of workspace acme, plan professional), adam (its
admin), mina (member), vera (viewer), sam (of no workspace); the board ideas of acme.
All ids are these names.  The endpoints, all of them the receiver (test/receiver.py):
see C<%Featul::url>; any other host under example.com will do as well.

=cut

package Featul;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(time usleep);
use Test::More ();

our $test_dir = abs_path(dirname(__FILE__) . '/..');

our %url = (
	slack => 'https://hooks.slack.com/services/T0000/B0000/slacksecret',
	discord => 'https://discord.com/api/webhooks/1234567890/discordsecret',
	teams => 'https://prod-1.westeurope.logic.azure.com:443/workflows/0af1/triggers/manual/paths/invoke?sv=1.0&sig=teamssecret',
	webhook => 'https://hook.example.com/featul');

my $json = JSON::PP->new->utf8->canonical;

my @nodes;    # of this test

=head1 METHODS

=head2 Featul->new(%options)

  name     => node name, 'main'
  conf     => further lines of postgresql.conf
  attach   => 0: neither the extension nor featul's tables nor data
  connect  => list of types to connect, [qw(slack discord webhook)]
  node     => an existing node to use (with init => 0: neither initialised nor started here)

Deliveries are retried after 100 ms.

=cut

sub new
{
	my ($class, %options) = @_;
	my $name = $options{name} // 'main';
	my $self = bless { %options, dbname => 'postgres' }, $class;

	$self->{dir} = PostgreSQL::Test::Utils::tempdir("receiver_$name");
	system_or_bail("$test_dir/certificates", "$self->{dir}/certs");
	$self->start_receiver;

	$self->{node} //= PostgreSQL::Test::Cluster->new($name);
	push @nodes, $self->{node};
	return $self if defined $options{init} && !$options{init};

	$self->node->init;
	$self->node->append_conf('postgresql.conf', $self->conf . "\n" . ($options{conf} // ''));
	$self->node->start;
	return $self if defined $options{attach} && !$options{attach};

	$self->set_up_database($self->{dbname});
	$self->connect($_) foreach @{ $options{connect} // [qw(slack discord webhook)] };
	return $self;
}

=head2 $featul->node, ->port, ->dir

The PostgreSQL::Test::Cluster; the receiver's port of that name (server, expired, ...),
its directory.

=cut

sub node { return $_[0]->{node} }
sub dir { return $_[0]->{dir} }
sub port { return $_[0]->{ports}{ $_[1] // 'server' } }

=head2 $featul->conf

The lines of postgresql.conf that make a node deliver to the receiver.

=cut

sub conf
{
	my ($self) = @_;

	return <<END;
shared_preload_libraries = 'featul_integrations'
featul_integrations.allowed_networks = '127.0.0.0/8'
featul_integrations.connect_to = '::127.0.0.1:$self->{ports}{server}'
featul_integrations.ca_file = '$self->{dir}/certs/ca.pem'
featul_integrations.retry_delay = '100ms'
END
}

=head2 $featul->set_up_database($dbname)

The extension, featul's tables and the data, attached, in an existing database.

=cut

sub set_up_database
{
	my ($self, $dbname) = @_;

	$self->node->safe_psql($dbname, 'CREATE EXTENSION featul_integrations');
	$self->create_application($self->node, $dbname);
	$self->node->safe_psql($dbname, 'SELECT integration_attach()');
	return;
}

=head2 Featul->create_application($node, $dbname)

featul's tables and the data alone, in any cluster.

=cut

sub create_application
{
	my ($class, $node, $dbname) = @_;

	$node->safe_psql($dbname, slurp_file("$test_dir/featul.sql"));
	$node->safe_psql($dbname, <<'END');
INSERT INTO "user" (id, name, email, email_verified)
	SELECT u, initcap(u), u || '@example.com', true FROM unnest('{olivia,adam,mina,vera,sam}'::text[]) u;
INSERT INTO workspace (id, name, slug, plan, owner_id, domain)
	VALUES ('acme', 'Acme', 'acme', 'professional', 'olivia', 'https://acme.example.com');
INSERT INTO workspace_member (id, workspace_id, user_id, role)
	SELECT gen_random_uuid(), 'acme', u, r
	FROM (VALUES ('adam', 'admin'), ('mina', 'member'), ('vera', 'viewer')) v (u, r);
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('ideas', 'acme', 'Ideas', 'ideas', 'olivia');
END
	return;
}

=head2 $featul->workspace($id, %urls)

A further workspace (id, slug and name $id, owner olivia) with a board "$id-ideas" and
those types connected.

=cut

sub workspace
{
	my ($self, $id, %urls) = @_;

	$self->sql(<<END);
INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES ('$id', '$id', '$id', 'starter', 'olivia', '$id.example.com');
INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('$id-ideas', '$id', 'Ideas', 'ideas', 'olivia');
END
	$self->connect($_, url => $urls{$_}, workspace => $id) foreach sort keys %urls;
	return;
}

=head2 $featul->connect($type, %arguments)

integration_connect as olivia; arguments: url, workspace (slug), more (SQL that goes
on with the argument list, as C<, events =E<gt> '{post.created}'>).

=cut

sub connect
{
	my ($self, $type, %arguments) = @_;
	my $workspace = $arguments{workspace} // 'acme';
	my $url = $arguments{url} // $url{$type};

	return $self->sql_as('olivia',
		"SELECT message FROM integration_connect('$workspace', '$type', '$url' "
		  . ($arguments{more} // '') . ')');
}

=head2 $featul->sql($query), ->sql_as($user, $query)

safe_psql in the test's database; with an acting user.

=cut

sub sql
{
	my ($self, $query) = @_;

	return $self->node->safe_psql($self->{dbname}, $query);
}

sub sql_as
{
	my ($self, $user, $query) = @_;

	return $self->sql("SET featul_integrations.user_id = '$user'; $query");
}

=head2 $featul->post(%columns)

A post on the board ideas, by mina, as the application makes one: the post, its author's
own vote, the counter, each a transaction of its own.  Returns its id.

=head2 $featul->comment($post_id, %columns)

A comment, by adam, in the same manner: the comment, its author's own reaction, the
counters.  Returns its id.

=cut

sub post
{
	my ($self, %columns) = @_;
	my $number = $self->{posts}++ ? "-$self->{posts}" : '';
	my %row = (
		id => new_id(),
		board_id => 'ideas',
		title => 'Dark mode',
		content => 'My eyes hurt at night.',
		slug => "dark-mode$number",
		author_id => 'mina',
		%columns);
	my %vote = (id => new_id(), post_id => $row{id}, user_id => $row{author_id}, type => 'upvote');

	$self->sql(insert(post => %row) . insert(vote => %vote) . <<END);
UPDATE post SET upvotes = 1 WHERE id = '$row{id}';
END
	return $row{id};
}

sub comment
{
	my ($self, $post_id, %columns) = @_;
	my %row = (
		id => new_id(),
		post_id => $post_id,
		content => 'Mine too.',
		author_id => 'adam',
		%columns);
	my ($fingerprint) = ($row{metadata} // '') =~ /"fingerprint": *"(.*?)"/;
	my %reaction = (
		id => new_id(),
		comment_id => $row{id},
		user_id => $row{author_id},
		fingerprint => $fingerprint,
		type => 'upvote');

	$self->sql(insert(comment => %row) . insert(comment_reaction => %reaction) . <<END);
UPDATE comment SET upvotes = 1 WHERE id = '$row{id}';
UPDATE post SET comment_count = comment_count + 1 WHERE id = '$post_id';
END
	return $row{id};
}

# An id as the application makes them
sub new_id
{
	return join '', 'c', map { ('a' .. 'z', 0 .. 9)[ rand 36 ] } 1 .. 23;
}

sub insert
{
	my ($table, %row) = @_;
	my @names = sort keys %row;
	my @values = map { defined $row{$_} ? "'" . ($row{$_} =~ s/'/''/gr) . "'" : 'NULL' } @names;

	return "INSERT INTO $table (" . join(', ', @names) . ') VALUES (' . join(', ', @values) . ");\n";
}

=head2 Featul::code_blocks($page)

The code blocks of a page of docs/ that have a name, by name: "<!-- file: NAME -->" or
"<!-- run: NAME -->" on the line before.

=cut

sub code_blocks
{
	my ($page) = @_;
	my $text = slurp_file("$test_dir/../docs/$page");
	my %blocks;

	while ($text =~ /^ *<!-- (?:file|run): (\S+) -->\n( *)```\w+\n(.*?)^ *```$/msg)
	{
		my ($name, $indent, $code) = ($1, $2, $3);
		$code =~ s/^\Q$indent\E//mg;
		$blocks{$name} = $code;
	}
	return %blocks;
}

=head2 Featul::install_packages()

The folder of test/examples with the packages it names, installed once a run; undef where
there are no node and npm, or they have no packages for us.

=cut

sub install_packages
{
	my $dir = "$PostgreSQL::Test::Utils::tmp_check/packages";
	my @npm = ('env', '-C', $dir, 'npm', 'ci', qw(--no-audit --no-fund --ignore-scripts --fetch-retries=1 --fetch-timeout=20000));

	return $dir if -e "$dir/installed";
	local $ENV{HOME} = $dir;
	mkdir $dir;
	copy($_, $dir) foreach glob("$test_dir/examples/*");
	return undef unless IPC::Run::run([ 'sh', '-c', 'command -v node && command -v npm' ], '>', \my $out, '2>&1');
	return undef unless IPC::Run::run(\@npm, '>', \$out, '2>&1');
	append_to_file("$dir/installed", '');
	return $dir;
}

=head2 $featul->set($setting, $value)

Changes a setting featul_integrations.$setting and reloads.

=cut

sub set
{
	my ($self, $setting, $value) = @_;

	$self->sql("ALTER SYSTEM SET featul_integrations.$setting = '$value'");
	$self->node->reload;
	return;
}

=head2 $featul->script($lists)

How the receiver answers from now on: see test/receiver.py. {} is: kindly.

=cut

sub script
{
	my ($self, $lists) = @_;
	my $path = "$self->{dir}/script.json";

	open(my $file, '>', "$path.new") or die "$path.new: $!";
	print $file $json->encode($lists);
	close($file) or die "$path.new: $!";
	rename("$path.new", $path) or die "$path: $!";
	return;
}

=head2 $featul->release($name)

Lets the requests go on that a step's "until" holds back.

=cut

sub release
{
	my ($self, $name) = @_;

	append_to_file("$self->{dir}/$name", '');
	return;
}

=head2 $featul->requests(%filter)

What the receiver got, oldest first, as hashes (test/receiver.py says which keys;
further: json, the decoded body).  The filter compares host, path, status or event (the
payload's), or takes a sub as "where".

=cut

sub requests
{
	my ($self, %filter) = @_;
	my @requests = grep { matches($_, %filter) } $self->record;

	return @requests;
}

sub matches
{
	my ($request, %filter) = @_;

	foreach my $key (keys %filter)
	{
		my $wanted = $filter{$key};
		my $is =
			$key eq 'where' ? $wanted->($request)
		  : $key eq 'event' ? (($request->{json} // {})->{event} // '') eq $wanted
		  :                   ($request->{$key} // '') eq $wanted;
		return 0 unless $is;
	}
	return 1;
}

# All requests.  Each line is read once, and only what has been written by now: under load lines
# come faster than they are read.
sub record
{
	my ($self) = @_;

	open(my $file, '<', "$self->{dir}/record.jsonl") or return;
	my $end = -s $file;
	seek($file, $self->{read} // 0, 0);
	while (tell($file) < $end)
	{
		my $line = <$file>;
		last unless $line =~ /\n$/;
		my $request = $json->decode($line);
		$request->{line} = $line;
		my $body = $request->{body};
		utf8::encode($body);
		$request->{json} = eval { $json->decode($body) };
		push @{ $self->{record} }, $request;
		$self->{read} = tell($file);
	}
	close($file);
	return @{ $self->{record} // [] };
}

=head2 $featul->forget

requests() begins with what comes from now on.

=cut

sub forget
{
	my ($self) = @_;

	$self->{read} = -s "$self->{dir}/record.jsonl" // 0;
	$self->{record} = [];
	return;
}

=head2 $featul->wait_for_requests($count, %filter)

Returns the requests that match once there are at least so many; dies with what there
is when they do not come.

=cut

sub wait_for_requests
{
	my ($self, $count, %filter) = @_;
	my @requests;

	wait_for(sub { (@requests = $self->requests(%filter)) >= $count },
		sub {
			"$count requests; there are "
			  . scalar(@requests)
			  . ' that match of '
			  . join(', ', map { "$_->{host}$_->{path}" } $self->requests);
		});
	return @requests;
}

=head2 $featul->wait_for_sql($query, $expected)

poll_query_until in the test's database ($expected is 't' by default).

=cut

sub wait_for_sql
{
	my ($self, $query, $expected) = @_;

	$self->node->poll_query_until($self->{dbname}, $query, $expected // 't')
	  or die "never became " . ($expected // 't') . ": $query";
	return;
}

=head2 $featul->wait_until_settled

Waits until nothing is pending.

=cut

sub wait_until_settled
{
	my ($self) = @_;

	return $self->wait_for_sql('SELECT NOT EXISTS (SELECT FROM featul_integrations.queue)');
}

=head2 wait_for($condition, $what)

Polls a sub until it is true; dies after PostgreSQL's test time-out.

=cut

sub wait_for
{
	my ($condition, $what) = @_;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;

	until ($condition->())
	{
		die 'waited in vain for ' . (ref $what ? $what->() : $what) if time > $end;
		usleep(20_000);
	}
	return;
}

=head2 $featul->second

How long a session takes here and now that sleeps for a second: more than that where the machine
is busy.  A bound in seconds is a multiple of it.

=cut

sub second
{
	my ($self) = @_;
	my $start = time;

	$self->sql('SELECT pg_sleep(1)');
	return time - $start;
}

=head2 $featul->signature_problem($request, $secret)

'' if the independent implementation verifies the request, else what is wrong.

=cut

sub signature_problem
{
	my ($self, $request, $secret) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'python3', "$test_dir/verify_signature.py", $secret ],
		'<', \$request->{line}, '>', \$out, '2>', \$err)
	  and return '';
	return $out . $err || 'not verified';
}

=head2 $featul->start_receiver, ->stop_receiver

stop: nothing listens any more; start: again, on the same port.

=cut

sub start_receiver
{
	my ($self) = @_;
	my $ports = "$self->{dir}/ports.json";
	my @command = ('python3', "$test_dir/receiver.py", $self->{dir});

	push @command, '--port', $self->{ports}{server} if $self->{ports};
	unlink $ports;
	$self->{receiver} = fork // die "fork: $!";
	if (!$self->{receiver})
	{
		open(STDOUT, '>&', \*STDERR);
		exec(@command) or POSIX::_exit(127);
	}
	wait_for(
		sub {
			die 'the receiver does not start' if waitpid($self->{receiver}, WNOHANG) != 0;
			-e $ports;
		},
		'the receiver');
	$self->{ports} = $json->decode(slurp_file($ports));
	return;
}

=head2 $featul->start_hostile, ->hostile($behaviour, $event)

Starts test/hostile.py and returns its ports by behaviour; what it noted of one since then, as
hashes.  It ends with the test.

=cut

sub start_hostile
{
	my ($self) = @_;
	my $ports = "$self->{dir}/hostile.json";
	my $pid = fork // die "fork: $!";

	if (!$pid)
	{
		open(STDOUT, '>&', \*STDERR);
		exec('python3', "$test_dir/hostile.py", $self->{dir}) or POSIX::_exit(127);
	}
	wait_for(
		sub {
			die 'the hostile peer does not start' if waitpid($pid, WNOHANG) != 0;
			-e $ports;
		},
		'the hostile peer');
	return $json->decode(slurp_file($ports));
}

sub hostile
{
	my ($self, $behaviour, $event) = @_;
	my @notes = map { $json->decode($_) } split /\n/, slurp_file("$self->{dir}/hostile.jsonl");

	return grep { $_->{behaviour} eq $behaviour && $_->{event} eq $event } @notes;
}

sub stop_receiver
{
	my ($self) = @_;
	my $pid = delete $self->{receiver} or return;

	local $?;
	kill 'TERM', $pid;
	waitpid($pid, 0);

	# for 999_published, which holds what all tests have sent against its schema
	append_to_file("$PostgreSQL::Test::Utils::tmp_check/forms.jsonl", slurp_file("$self->{dir}/forms.jsonl"))
	  if -e "$self->{dir}/forms.jsonl";
	return;
}

# PostgreSQL::Test::Cluster would kill the servers now.  Their processes are to end by
# themselves: only then gcov gets its counts and valgrind looks for lost memory.
END
{
	local $?;
	$_->stop('fast', fail_ok => 1) foreach @nodes;
}

sub DESTROY
{
	my ($self) = @_;

	$self->stop_receiver;
	return;
}

1;
