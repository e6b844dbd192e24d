
=head1 NAME

Load - committed and rolled-back changes from several sessions, and the books about them

=head1 SYNOPSIS

  my $load = Load->new($featul);
  $load->start(rate => 100);
  ... crashes ...
  $load->stop;
  $featul->wait_until_settled;
  my ($problems, $figures) = $load->books;
  is("@$problems", '', 'the books balance');

The application's own tables are the truth: C<load_history> notes each change in the
transaction that makes it, so after any crash it holds what was committed and nothing
else.  The receiver's record is held against it.

=cut

package Load;

use strict;
use warnings;

use POSIX qw(setsid);
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

# Posts that are changed over and over, so that order shows.
our $hot_posts = 12;

=head2 Load->new($featul, $application)

Creates the table of the truth and the posts that are changed over and over, in the
application's database: another cluster than $featul's, if it is given.

=cut

sub new
{
	my ($class, $featul, $application) = @_;
	my $self = bless {
		featul => $featul,
		application => $application // $featul->node,
		dir => PostgreSQL::Test::Utils::tempdir('load')
	}, $class;

	$self->{application}->safe_psql($featul->{dbname}, <<"END");
CREATE TABLE load_history (n bigserial PRIMARY KEY, post_id text, event text, status text);
CREATE SEQUENCE load_step;
WITH hot AS (
	INSERT INTO post (id, board_id, title, content, slug, author_id)
	SELECT 'hot' || i, 'ideas', 'hot', 'x', 'hot' || i, 'mina' FROM generate_series(1, $hot_posts) i
	RETURNING id)
INSERT INTO load_history (post_id, event) SELECT id, 'post.created' FROM hot;
END
	my %scripts = (
		post => <<'END',
WITH p AS (
	INSERT INTO post (id, board_id, title, content, author_id, slug)
	VALUES (gen_random_uuid(), 'ideas', 'kept', 'x', 'mina', gen_random_uuid()) RETURNING id)
INSERT INTO load_history (post_id, event) SELECT id, 'post.created' FROM p;
END
		status => <<"END",
\\set post random(1, $hot_posts)
WITH p AS (
	UPDATE post SET roadmap_status = 's' || nextval('load_step') WHERE id = 'hot:post'
	RETURNING id, roadmap_status)
INSERT INTO load_history (post_id, event, status) SELECT id, 'post.status_changed', roadmap_status FROM p;
END
		rollback => <<"END",
\\set post random(1, $hot_posts)
BEGIN;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'ideas', 'rolled back', 'x', gen_random_uuid(), 'mina');
UPDATE post SET roadmap_status = 'rolled back' WHERE id = 'hot:post';
ROLLBACK;
END
		savepoint => <<'END',
BEGIN;
WITH p AS (
	INSERT INTO post (id, board_id, title, content, slug, author_id)
	VALUES (gen_random_uuid(), 'ideas', 'kept', 'x', gen_random_uuid(), 'mina') RETURNING id)
INSERT INTO load_history (post_id, event) SELECT id, 'post.created' FROM p;
SAVEPOINT s;
INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'ideas', 'rolled back', 'x', gen_random_uuid(), 'mina');
ROLLBACK TO SAVEPOINT s;
COMMIT;
END
	);
	foreach my $name (keys %scripts)
	{
		# a script may break off half way
		append_to_file("$self->{dir}/$name.sql", $scripts{$name});
	}
	return $self;
}

=head2 $load->start(rate => transactions a second, clients => sessions)

Runs until stop(), connecting again whenever the server is back.

=cut

sub start
{
	my ($self, %options) = @_;
	my $node = $self->{application};
	my $rate = $options{rate} // 100;
	my $clients = $options{clients} // 3;
	my @pgbench = (
		'pgbench', '-n', '-T', '3600', '-c', $clients, '-R', $rate,
		'-h', $node->host, '-p', $node->port,
		(map { ('-f', "$self->{dir}/$_->[0].sql\@$_->[1]") }
			  ([ post => 4 ], [ status => 4 ], [ rollback => 1 ], [ savepoint => 1 ])),
		$self->{featul}{dbname});

	$self->{pid} = fork // die "fork: $!";
	return if $self->{pid};
	setsid();
	$ENV{PGAPPNAME} = 'load';
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>>', "$self->{dir}/log");
	open(STDERR, '>&', \*STDOUT);
	while (1)
	{
		system(@pgbench);
		usleep(50_000);
	}
}

=head2 $load->stop

=cut

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;

	local $?;
	kill 'KILL', -$pid, $pid;
	waitpid($pid, 0);
	return;
}

=head2 $load->books(%filter)

Call it when nothing is pending.  Returns (\@problems, \%figures): what is wrong with the
receiver's record (of requests that match the filter; those to the webhook by default),
held against what was committed; and the numbers of changes, requests, repeats (requests
for what had been answered with success before) and failures.

=cut

sub books
{
	my ($self, %filter) = @_;
	my $featul = $self->{featul};
	my (%place, %last, @problems);

	%filter = (host => 'hook.example.com') unless %filter;

	# key of a change -> the key of the one before it, of the same post
	my $n = 0;
	foreach (split /\n/,
		$self->{application}->safe_psql($featul->{dbname},
			q(SELECT concat_ws('|', post_id, event, status) FROM load_history ORDER BY n)))
	{
		my ($post) = split /\|/;
		$place{$_} = $last{$post} // '';
		$last{$post} = $_;
		$n++;
	}

	my (%id, %key, %done, %figures);
	%figures = (changes => $n, requests => 0, repeats => 0, failures => 0);
	foreach my $request ($featul->requests(%filter))
	{
		my $json = $request->{json};
		my $id = $request->{headers}{'webhook-id'};
		my $key = join '|', grep { defined }
		  $json->{post}{id}, $json->{event}, ($json->{changes} // {})->{status}{to};

		$figures{requests}++;
		push @problems, "never committed: $key" unless defined $place{$key};
		push @problems, "two webhook-ids: $key" if ($id{$key} //= $id) ne $id;
		push @problems, "one webhook-id, two changes: $key" if ($key{$id} //= $key) ne $key;
		push @problems, "$key before $place{$key}" if $place{$key} && !$done{ $place{$key} };
		$figures{repeats}++ if $done{$key};
		if (($request->{status} // 0) == 200)
		{
			$done{$key} = 1;
		}
		else
		{
			$figures{failures}++;
		}
	}
	push @problems, map { "never arrived: $_" } grep { !$done{$_} } sort keys %place;
	splice(@problems, 20) if @problems > 20;
	return (\@problems, \%figures);
}

sub DESTROY
{
	my ($self) = @_;

	$self->stop;
	return;
}

1;
